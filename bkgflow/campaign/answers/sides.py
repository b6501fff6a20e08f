"""The units of a folder, by its ledger or by its products alone, to be held against others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bkgflow.campaign.answers.asked import asked
from bkgflow.campaign.answers.found_products import Earlier, products_of
from bkgflow.campaign.ledger.opening import LEDGER
from bkgflow.campaign.ledger.rows import Kept
from bkgflow.campaign.place import PLACE_FILE
from bkgflow.errors import LedgerError, UsageError
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.refused import asking_about
from bkgflow.record import Found, SlitlessFound, SossFound
from bkgflow.verdict import State, Verdict

__all__ = ["Pair", "Side", "Standing", "pairs_of", "side_of"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a unit stands in a folder.

    Attributes
    ----------
    name : str
        Its product's file name; of a unit without one, what the ledger calls it.
    target : str
        File name of its target; empty where nobody knows.
    file : Location or None
        Its product.
    scales : tuple of float
        Components, or left and right of a step, integration after integration.
    template : int or None
        Of a library, counted from 0.
    """

    name: str
    state: State
    target: str = ""
    reason: str = ""
    file: Location | None = None
    scales: tuple[float, ...] = ()
    template: int | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """The units of a folder; ``note`` says what they are told by, if that is not its ledger."""

    folder: Location
    units: tuple[Standing, ...]
    note: str = ""


Pair = tuple[Standing | None, Standing | None]
"""A unit in both folders; None where it is not."""


def side_of(folder: Location) -> Side:
    """Return the units of a folder.

    Raises
    ------
    UsageError
        If it is no folder, or holds neither a ledger nor products.
    StorageError
        If its disk or its store does not say.
    """
    with asking_about(folder.url):
        if not folder.is_dir():
            raise _nothing(folder, "no such folder")
        ledger = (folder / PLACE_FILE).exists() or (folder / LEDGER).exists()
    note = "no ledger: its products alone are compared"
    if ledger:
        try:
            with asked(folder) as reader:
                return Side(folder, tuple(_kept(each, folder) for each in reader.units()))
        except LedgerError as error:
            note = f"its products alone are compared ({error.rule}: {error.value})"
    earlier = Earlier.of(folder)
    products, _ = products_of(folder, stores=earlier.stores(folder), checksums=False)
    if not products:
        raise _nothing(folder, "neither a ledger nor products that bkgflow wrote")
    units = (
        _standing(each.name, each.verdict, _called(each.target), folder / each.name)
        for each in earlier.told(products)
    )
    return Side(folder, tuple(units), f"{folder}: {note}")


def _nothing(folder: Location, value: str) -> UsageError:
    return UsageError(
        "A folder must hold a campaign, or products",
        file=folder,
        value=value,
        cure="Give two output folders of bkgflow",
    )


def _kept(kept: Kept, folder: Location) -> Standing:
    own = [each.file for each in kept.files if each.digest == kept.digest]
    file = folder / own[0] if own else None
    target = _called(kept.target)
    if kept.verdict is None:
        return Standing(kept.unit, kept.state, target, "it never ended", file)
    return _standing(kept.unit, kept.verdict, target, file)


def _called(target: str) -> str:
    return Location.of(target).name if target else ""


def _standing(name: str, verdict: Verdict, target: str, file: Location | None) -> Standing:
    found = verdict.record.found if verdict.record is not None else None
    template = found.template if isinstance(found, SossFound) else None
    scales = tuple(_scales(found))
    return Standing(name, verdict.state, target, verdict.reason, file, scales, template)


def _scales(found: Found | None) -> Iterator[float]:
    match found:
        case SlitlessFound():
            yield from found.scaling_factors
        case SossFound(left_scale=left, right_scale=right):
            for side in (left, right):
                yield from side if isinstance(side, tuple) else () if side is None else (side,)


def pairs_of(one: Side, other: Side) -> list[Pair]:
    """Match units by their products' names; those without a product, by their targets."""
    left = {each.name: each for each in other.units}
    pairs: list[Pair] = []
    alone = []
    for each in one.units:
        if each.name in left:
            pairs.append((each, left.pop(each.name)))
        else:
            alone.append(each)
    targets = {each.target: each for each in left.values() if each.target}
    for each in alone:
        match = targets.pop(each.target, None) if each.target else None
        if match is not None:
            del left[match.name]
        pairs.append((each, match))
    return [*pairs, *((None, each) for each in left.values())]
