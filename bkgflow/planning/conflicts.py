"""Units that ask for the same, or that would write over each other or over an exposure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from bkgflow.errors import ConflictError
from bkgflow.io.storage.location import Location
from bkgflow.planning.unit import Unit
from bkgflow.verdict import State, Verdict

__all__ = ["without_conflicts", "without_repeats"]


def without_repeats(units: Iterable[Unit]) -> list[Unit]:
    """Keep one of units that are the same in all that determines the result."""
    first: dict[str, Unit] = {}
    for unit in units:
        kept = first.setdefault(unit.digest, unit)
        if kept is not unit and unit.verdict.state != State.QUARANTINED:
            note = f"{Path(unit.association).name} asks for the same once more"
            first[unit.digest] = replace(kept, notes=(*kept.notes, note))
    return list(first.values())


def without_conflicts(
    units: Sequence[Unit], output: Location, exposures: Iterable[Location]
) -> list[Unit]:
    """Quarantine units that would write one file, or write over an exposure."""
    writers: dict[str, list[Unit]] = defaultdict(list)
    for unit in units:
        for name in unit.files:
            writers[name].append(unit)
    # Through links: an exposure must not be written over by another name either.
    inputs = {location.real() for location in exposures}
    checked = []
    for unit in units:
        errors = (_conflict(unit, name, writers[name], inputs, output) for name in unit.files)
        error = next(filter(None, errors), None)
        checked.append(unit if error is None else replace(unit, verdict=Verdict.quarantined(error)))
    return checked


def _conflict(
    unit: Unit, name: str, writers: list[Unit], inputs: set[str], output: Location
) -> ConflictError | None:
    if len(writers) > 1:
        askers = sorted({Path(other.association).name for other in writers})
        return ConflictError(
            "Every unit writes a file of its own",
            file=unit.target,
            value=f"{len(writers)} different units would write {name} ({', '.join(askers)})",
            cure="Run these associations into different output folders",
        )
    if (output / name).real() in inputs:
        return ConflictError(
            "No product is written over an exposure of the program",
            file=unit.target,
            value=str(output / name),
            cure="Give another output folder",
        )
    return None
