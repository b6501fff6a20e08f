"""What a campaign still needs: units that the program has, and files that these are made from."""

from __future__ import annotations

from collections.abc import Sequence, Set

from bkgflow.campaign.ledger.rows import Kept
from bkgflow.io.storage.identity import Identity
from bkgflow.io.storage.location import Location

__all__ = ["input_names", "still_wanted"]


def still_wanted(units: Sequence[Kept], listed: Set[str]) -> set[str]:
    """Return the units that the program still has: by their names, or refused, without these.

    Parameters
    ----------
    units : sequence of Kept
        All that the ledger has.
    listed : set of str
        Names of those that the last plan had.
    """
    refused = [_called(each) for each in units if each.unit in listed and not each.kind]
    return {
        each.unit
        for each in units
        if each.unit in listed or any(_called(each) & other for other in refused)
    }


def input_names(units: Sequence[Kept]) -> set[str]:
    """Return the names of all files that any unit was made from, wherever they lie."""
    keys = (key for unit in units for key in (unit.key, unit.shared_key) if key is not None)
    values = (part.value for key in keys for part in key.parts)
    errors = (unit.verdict.error for unit in units if unit.verdict and unit.verdict.error)
    return {each.name for each in values if isinstance(each, Identity)} | {
        Location.of(each.file).name for each in errors if each.file
    }


def _called(unit: Kept) -> set[str]:
    places = (unit.target, unit.association)
    return {Location.of(each).name for each in places if each}
