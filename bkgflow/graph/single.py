"""One target, here and now: the same tasks as a run's, on threads of this process."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dask.threaded import get as threaded_get

from bkgflow.detector import Window
from bkgflow.errors import UsageError
from bkgflow.graph.combine import Band, combine_band
from bkgflow.graph.decide import Decision, own_background
from bkgflow.graph.families import band_rows
from bkgflow.graph.finish import Assignment, UnitResult, finish_model, save_combined
from bkgflow.graph.plan import Unit
from bkgflow.graph.planner import DEFAULT_MEMORY
from bkgflow.graph.units import make_record, make_unit
from bkgflow.io.exposure import ExposureFacts, inspect
from bkgflow.io.folder_references import ReferenceFolder
from bkgflow.io.memory import is_model, model_facts, model_source
from bkgflow.io.models import open_model
from bkgflow.io.products import check_writable
from bkgflow.io.sources import FileSource, Source
from bkgflow.settings import StepSettings

__all__ = ["Subtracted", "subtract_one"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Subtracted:
    """A model that was subtracted, and the path that its product gets if it is written."""

    model: Any
    output: Path


def subtract_one(
    target: Any,
    backgrounds: Sequence[Any],
    settings: StepSettings,
    output_dir: Path,
    references: ReferenceFolder | None = None,
    catalogs: tuple[str, ...] = (),
) -> Subtracted:
    """Subtract backgrounds from one target; paths and data models may be mixed.

    Parameters
    ----------
    target : path or data model
        Never changed.
    backgrounds : sequence of paths or data models
        May be empty: then the result is SKIPPED.
    settings : StepSettings
        The step's arguments.
    output_dir : Path
        Where a combined background is saved, if it is.
    references : ReferenceFolder, optional
        Where references for WFSS and SOSS are looked for; CRDS is asked without one.
    catalogs : tuple of str
        The association's source catalogues.

    Returns
    -------
    Subtracted
        A new model of the target's type, and where its product belongs.

    Raises
    ------
    BkgflowError
        If an input is bad, or the combined background cannot be written.
    """
    _check_kinds(target, backgrounds)
    facts = _facts(target, "target")
    roles = {id(background): f"background {i}" for i, background in enumerate(backgrounds, 1)}
    looked_at = [_facts(background, roles[id(background)]) for background in backgrounds]
    unit, decision = make_unit(
        facts, looked_at, settings, references, catalogs, association="", product=""
    )
    members = {
        member.path: (member, background)
        for member, background in zip(looked_at, backgrounds, strict=True)
    }
    bands = _combine(facts.window, decision, members, settings) if decision.used else []
    work = _assignment(facts, unit, decision, settings, output_dir)
    model = target.copy() if is_model(target) else open_model(target)
    try:
        result = finish_model(work, model, bands)
        if settings.save_combined_background and bands:
            check_writable(output_dir)
            log.info("combined background written to %s", save_combined(work, model, bands))
    except BaseException:
        model.close()
        raise
    _log_result(facts, unit, result)
    return Subtracted(model, Path(work.output))


def _check_kinds(target: Any, backgrounds: Sequence[Any]) -> None:
    for thing in (target, *backgrounds):
        if not isinstance(thing, str | Path) and not is_model(thing):
            raise UsageError(
                "Target and backgrounds are paths or JWST data models",
                value=f"{type(thing).__name__}: {thing!r}"[:200],
                cure="Give the path of an exposure, or the data model that it opens as",
            )
    if is_model(target) and any(background is target for background in backgrounds):
        raise own_background(target.meta.filename or "target")


def _facts(thing: Any, role: str) -> ExposureFacts:
    if is_model(thing):
        name = thing.meta.filename or role
        return model_facts(thing, name if role == "target" else f"{role} ({name})")
    return inspect(thing)


def _combine(
    window: Window,
    decision: Decision,
    members: dict[str, tuple[ExposureFacts, Any]],
    settings: StepSettings,
) -> list[Band]:
    sources: list[Source] = []
    for used in sorted(decision.used, key=lambda facts: facts.path):
        thing = members[used.path][1]
        sources.append(model_source(thing, used) if is_model(thing) else FileSource.of(used))
    tasks = {
        ("combine", number): (
            partial(
                combine_band,
                sources,
                [range(len(sources))],
                band,
                **settings.numeric(),
                budget=DEFAULT_MEMORY,
            ),
        )
        for number, band in enumerate(window.bands(band_rows(window)))
    }
    return [family[0] for family in threaded_get(tasks, list(tasks))]


def _assignment(
    facts: ExposureFacts,
    unit: Unit,
    decision: Decision,
    settings: StepSettings,
    output_dir: Path,
) -> Assignment:
    paths = tuple(sorted(used.path for used in decision.used))
    return Assignment(
        key=unit.key,
        target=facts.path,
        window=facts.window,
        output=str(output_dir / unit.output),
        mode=unit.mode,
        settings=settings,
        record=make_record(unit, settings, paths),
        backgrounds=paths,
        skip_reason=unit.reason,
        inputs=unit.inputs,
    )


def _log_result(facts: ExposureFacts, unit: Unit, result: UnitResult) -> None:
    for note in unit.notes:
        log.warning("%s: %s", facts.path, note)
    if result.reason:
        log.warning("%s: %s, %s", facts.path, result.outcome.lower(), result.reason)
    if result.n_unsubtracted:
        log.warning("%s: %d pixels have no valid background", facts.path, result.n_unsubtracted)
