"""Units that ask for the same, or that would write over each other or over an exposure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bkgflow.errors import BackgroundError, ConflictError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.storage.location import Location, real_paths
from bkgflow.planning.unit import Unit
from bkgflow.texts import listed
from bkgflow.verdict import State, Verdict

__all__ = ["already_subtracted", "own_background", "without_conflicts", "without_repeats"]


def own_background(
    target: ExposureFacts, background: ExposureFacts | None = None
) -> BackgroundError:
    """Return the error for a target that is among its backgrounds, perhaps by another name."""
    value = target.name
    if background is not None and background.location != target.location:
        value = f"{background.location} holds the exposure of {target.name}"
        if target.exposure_id:
            value += f", {target.exposure_id}"
    return BackgroundError(
        "A target must not be its own background",
        file=target.location,
        value=value,
        cure="Remove it from the list of backgrounds",
    )


def already_subtracted(exposure: ExposureFacts, what: str) -> BackgroundError:
    """Return the error for an exposure from which a background was subtracted before."""
    return BackgroundError(
        f"{what} must be as it was before a background was subtracted from it",
        file=exposure.location,
        value=f"{exposure.subtracted} COMPLETE",
        cure="Give the product of the pipeline's first stage (rate or rateints), or allow it with "
        "allow_subtracted",
    )


def without_repeats(units: Iterable[Unit]) -> list[Unit]:
    """Keep one of units that are the same in all that determines the result."""
    first: dict[str, Unit] = {}
    for unit in units:
        kept = first.setdefault(unit.digest, unit)
        if kept is not unit and unit.verdict.state != State.QUARANTINED:
            note = f"{Path(unit.association).name} asks for the same once more"
            first[unit.digest] = replace(kept, notes=(*kept.notes, note))
    return list(first.values())


def _same_file(unit: Unit, name: str, writers: Sequence[Unit]) -> ConflictError:
    """Return why several units cannot write a file: associations that ask for it, or targets."""
    askers = sorted({Path(other.association).name for other in writers if other.association})
    cure = "Run these associations into different output folders, or remove what is out of date"
    if len(askers) < 2:
        askers = sorted({str(other.target) for other in writers})
        cure = "Give one of these exposures another name, or run them into different output folders"
    what = f"{len(writers)} different units would write {name}"
    return ConflictError(
        "Every unit must write a file of its own",
        file=unit.target,
        value=f"{what} ({listed(askers)})",
        cure=cure,
    )


def without_conflicts(
    units: Sequence[Unit], output: Location, exposures: Iterable[Location]
) -> list[Unit]:
    """Quarantine units that would write one file, or write over an exposure."""
    writers: dict[str, list[Unit]] = defaultdict(list)
    for unit in units:
        for name in unit.files:
            writers[name].append(unit)
    # Through links: an exposure must not be written over by another name either.
    inputs = set(real_paths(exposures))
    outputs = dict(zip(writers, real_paths(output / name for name in writers), strict=True))

    def conflicts(unit: Unit) -> Iterator[ConflictError]:
        for name in unit.files:
            if len(writers[name]) > 1:
                yield _same_file(unit, name, writers[name])
            if outputs[name] in inputs:
                yield ConflictError(
                    "No product must be written over an exposure of the program",
                    file=unit.target,
                    value=str(output / name),
                    cure="Give another output folder",
                )

    found = [(unit, next(conflicts(unit), None)) for unit in units]
    return [
        replace(unit, verdict=Verdict.quarantined(error)) if error else unit
        for unit, error in found
    ]
