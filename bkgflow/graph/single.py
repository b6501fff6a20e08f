"""One target, here and now: the same tasks as a run's, on threads of this process."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dask.threaded import get as threaded_get

from bkgflow.detector import Window
from bkgflow.errors import ConflictError, UsageError
from bkgflow.graph.finish import (
    Assignment,
    UnitResult,
    prepare,
    publish,
    target_of,
)
from bkgflow.io.exposures.facts import ExposureFacts, inspect
from bkgflow.io.exposures.from_model import is_model, model_facts, model_source
from bkgflow.io.exposures.source import FileSource, Source
from bkgflow.io.products.fits import FitsWriter
from bkgflow.io.products.model import ModelWriter
from bkgflow.io.references.folder import ReferenceFolder
from bkgflow.io.storage.publish import check_writable
from bkgflow.kinds.backgrounds import Decision, own_background
from bkgflow.kinds.bands import Band, combine_band
from bkgflow.kinds.families import band_rows
from bkgflow.kinds.soss import fit_exposure, fit_segments
from bkgflow.methods.soss import ArraySegment
from bkgflow.planning.plan import Unit
from bkgflow.planning.planner import DEFAULT_MEMORY
from bkgflow.planning.units import make_record, make_unit
from bkgflow.settings import StepSettings

__all__ = ["subtract_file", "subtract_one"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Job:
    """One target, what is done to it, and its backgrounds by path."""

    facts: ExposureFacts
    unit: Unit
    work: Assignment
    decision: Decision
    members: dict[str, tuple[ExposureFacts, Any]]
    model: Any

    def upstream(self) -> list[Any]:
        """Compute what the target waits for: the bands of its background, or its SOSS fit."""
        work = self.work
        if self.decision.used:
            return _combine(work.window, self.decision, self.members, work.settings)
        if work.mode == "soss" and work.inputs is not None:
            library = work.inputs.background[0]
            if self.model is not None:
                alone = {self.facts.path: ArraySegment(self.model.data, self.model.dq)}
                return [fit_segments({**alone}, library, work.settings, os.cpu_count() or 1)]
            return [fit_exposure((self.facts,), library, work.settings, os.cpu_count() or 1)]
        return []

    def log(self, result: UnitResult) -> None:
        """Say what a user should know."""
        path = self.facts.path
        for note in self.unit.notes:
            log.warning("%s: %s", path, note)
        if result.reason:
            log.warning("%s: %s, %s", path, result.outcome.lower(), result.reason)
        if result.n_unsubtracted:
            log.warning("%s: %d pixels have no valid background", path, result.n_unsubtracted)


def subtract_one(
    target: Any,
    backgrounds: Sequence[Any],
    settings: StepSettings,
    output_dir: Path,
    references: ReferenceFolder | None = None,
    catalogs: tuple[str, ...] = (),
) -> Any:
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
    JwstDataModel
        A new model of the target's type.

    Raises
    ------
    BkgflowError
        If an input is bad, or the combined background cannot be written.
    """
    job = _prepare(target, backgrounds, settings, output_dir, references, catalogs)
    upstream = job.upstream()
    if settings.save_combined_background and upstream and job.work.mode == "image":
        check_writable(output_dir)
    writer = ModelWriter(job.model)
    with writer.open(target_of(job.work)) as opened:
        prepared = prepare(job.work, opened, upstream, model=job.model)
    result = publish(*prepared)
    for path in result.products[1:]:
        log.info("combined background written to %s", path)
    job.log(result)
    return writer.result


def subtract_file(
    target: str | Path,
    backgrounds: Sequence[Any],
    settings: StepSettings,
    output_dir: Path,
    references: ReferenceFolder | None = None,
    catalogs: tuple[str, ...] = (),
) -> Path:
    """Do `subtract_one` on a file, and write its product; return its path.

    Raises
    ------
    BkgflowError
        As `subtract_one`; and if the product cannot be written, or would replace an input.
    """
    job = _prepare(target, backgrounds, settings, output_dir, references, catalogs)
    work = job.work
    _check_overwrite(work.output, [target, *backgrounds])
    with ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        opening = pool.submit(stack.enter_context, FitsWriter().open(target_of(work)))
        upstream = job.upstream()  # meanwhile: it leaves the interpreter alone
        prepared = prepare(work, opening.result(), upstream, os.cpu_count() or 1)
    result = publish(*prepared)
    for path in result.products[1:]:
        log.info("combined background written to %s", path)
    job.log(result)
    return Path(work.output)


def _prepare(
    target: Any,
    backgrounds: Sequence[Any],
    settings: StepSettings,
    output_dir: Path,
    references: ReferenceFolder | None,
    catalogs: tuple[str, ...],
) -> _Job:
    """Look at everything and decide."""
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
    work = _assignment(facts, unit, decision, settings, output_dir)
    return _Job(facts, unit, work, decision, members, target if is_model(target) else None)


def _check_overwrite(output: str, inputs: Sequence[Any]) -> None:
    """Refuse to write a product over an exposure that it was made of."""
    place = os.path.realpath(output)
    for path in inputs:
        if isinstance(path, str | Path) and os.path.realpath(path) == place:
            raise ConflictError(
                "A product is not written over an exposure",
                file=path,
                value=output,
                cure="Give another output folder",
            )


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
                errors=settings.with_errors,
                budget=DEFAULT_MEMORY,
            ),
        )
        for number, band in enumerate(window.bands(band_rows(window, decision.used)))
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
