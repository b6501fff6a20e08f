"""From associations to a plan: everything looked at once, nothing computed."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bkgflow.association import Association, Product, load_program
from bkgflow.errors import BkgflowError, ConflictError, PlanError
from bkgflow.io.exposures.facts import ExposureFacts, inspect
from bkgflow.io.products.describe import COMBINED_SUFFIX, product_name
from bkgflow.io.references.folder import ReferenceFolder
from bkgflow.io.storage.publish import check_writable
from bkgflow.kinds.table import mode_of
from bkgflow.outcome import Outcome
from bkgflow.planning.costs import predict
from bkgflow.planning.old_keys import digest
from bkgflow.planning.plan import CombinedPlan, FitPlan, Plan, Unit
from bkgflow.planning.units import make_unit, with_fits
from bkgflow.settings import Mode, StepSettings
from bkgflow.version import VERSION

__all__ = ["DEFAULT_MEMORY", "make_plan"]

DEFAULT_MEMORY = 64 << 20
"""Bytes that the strips of one combine task hold, unless the caller says otherwise: enough for
long sequential reads, little enough to be allocated again and again without cost."""


def make_plan(
    program: Any,
    output: str | Path,
    settings: StepSettings,
    memory: int = DEFAULT_MEMORY,
    references: str | Path | None = None,
) -> Plan:
    """Look at every exposure of a program once and decide what will be done.

    Parameters
    ----------
    program : path, list of paths, or folder
        Associations, or a folder of ``*_asn.json``.
    output : path
        Folder of the products; a run makes it if it is not there.
    settings : StepSettings
        The step's arguments.
    memory : int
        Bytes that the strips of one combine task may hold.
    references : path, optional
        A folder of reference files for WFSS and SOSS; CRDS is asked without one.

    Raises
    ------
    PlanError
        If there is no association at all, or a path is no text.
    OutputError
        If the output folder cannot be written to.
    """
    associations, refused = load_program(program)
    output = Path(output).absolute()
    named = [str(each.location) for each in associations] + [path for path, _ in refused]
    _check_text([*named, output, references or ""])
    check_writable(output)
    folder = None if references is None else ReferenceFolder(references)
    planner = _Planner(settings, folder)
    units = [_refused_unit(path, "", error) for path, error in refused]
    for association in associations:
        units.extend(planner.units_of(association))
    units, fits = with_fits(units, planner.good, settings)
    units = _without_conflicts(_without_repeats(units), settings, output, planner.looked_at)
    return planner.plan(units, fits, output, memory)


def _check_text(paths: Iterable[str | Path]) -> None:
    """Refuse paths that are no text: a plan, a log and a result could not name them."""
    for path in map(str, paths):
        try:
            path.encode()
        except UnicodeEncodeError:
            raise PlanError(
                "The paths of a program, its references and its output are text (UTF-8)",
                value=os.fsencode(path),
                cure="Rename the file or the folder, or link to it by another name",
            ) from None


@dataclass
class _Planner:
    """Remembers what was looked at, so that nothing is looked at twice."""

    settings: StepSettings
    references: ReferenceFolder | None = None
    looked_at: dict[str, ExposureFacts | BkgflowError] = field(default_factory=dict)
    combined: dict[str, CombinedPlan] = field(default_factory=dict)

    def units_of(self, association: Association) -> Iterable[Unit]:
        """Plan every product of an association; the refused ones become QUARANTINED units."""
        for name, error in association.refused:
            yield _refused_unit(str(association.location), name, error)
        for product in association.products:
            try:
                yield self._unit(association, product)
            except BkgflowError as error:
                yield _refused_unit(
                    str(association.location), product.name, error, str(product.science)
                )

    def _unit(self, association: Association, product: Product) -> Unit:
        target = self._facts(str(product.science))
        unit, decision = make_unit(
            target,
            [self._facts(str(path)) for path in product.backgrounds],
            self.settings,
            self.references,
            tuple(str(path) for kind, path in product.others if kind == "sourcecat"),
            association=str(association.location),
            product=product.name,
            notes=_notes(product, mode_of(target.exp_type)),
        )
        if unit.combined:
            paths = tuple(sorted(background.path for background in decision.used))
            combined = CombinedPlan(unit.combined, target.window, paths)
            self.combined.setdefault(unit.combined, combined)
        return unit

    def _facts(self, path: str) -> ExposureFacts:
        if path not in self.looked_at:
            try:
                self.looked_at[path] = inspect(path)
            except BkgflowError as error:
                self.looked_at[path] = error
        found = self.looked_at[path]
        if isinstance(found, BkgflowError):
            raise found
        return found

    @property
    def good(self) -> dict[str, ExposureFacts]:
        """The exposures that can be used, by the path that the program names."""
        return {f.path: f for f in self.looked_at.values() if isinstance(f, ExposureFacts)}

    def plan(self, units: list[Unit], fits: list[FitPlan], output: Path, memory: int) -> Plan:
        """Freeze what was found."""
        wanted = {unit.combined for unit in units if unit.outcome is None}
        combined = tuple(b for key, b in self.combined.items() if key in wanted)
        paths = dict.fromkeys(path for b in combined for path in b.members)
        paths |= dict.fromkeys(u.target for u in units if u.outcome != Outcome.QUARANTINED)
        exposures = {path: self._facts(path) for path in paths}
        return Plan(
            version=VERSION,
            output=str(output),
            settings=self.settings,
            memory=memory,
            exposures=tuple(exposures.values()),
            combined=combined,
            fits=tuple(fit for fit in fits if fit.key in {u.fit for u in units}),
            units=tuple(units),
            costs=predict(units, combined, exposures, self.settings, memory),
        )


def _notes(product: Product, mode: Mode) -> tuple[str, ...]:
    others = tuple(
        f"{kind} member {Path(path).name} is left alone"
        for kind, path in product.others
        if (mode, kind) != ("wfss", "sourcecat")
    )
    return product.notes + others


def _refused_unit(association: str, product: str, error: BkgflowError, target: str = "") -> Unit:
    return Unit(
        key=digest(VERSION, association, product, error.message),
        association=association,
        product=product,
        target=target or association,
        output="",
        outcome=Outcome.QUARANTINED,
        reason=error.message,
        error=error.to_dict(),
    )


def _without_repeats(units: list[Unit]) -> list[Unit]:
    """Keep one of units that are the same in all that determines the result."""
    first: dict[str, Unit] = {}
    for unit in units:
        kept = first.setdefault(unit.key, unit)
        if kept is not unit and unit.outcome != Outcome.QUARANTINED:
            note = f"{Path(unit.association).name} asks for the same once more"
            first[unit.key] = replace(kept, notes=(*kept.notes, note))
    return list(first.values())


def _without_conflicts(
    units: list[Unit], settings: StepSettings, output: Path, exposures: Iterable[str]
) -> list[Unit]:
    """Quarantine units that would write one file, or write over an exposure."""
    writers: dict[str, list[Unit]] = defaultdict(list)
    for unit in units:
        for name in _files(unit, settings):
            writers[name].append(unit)
    inputs = {os.path.realpath(path) for path in exposures}
    checked = []
    for unit in units:
        errors = (_conflict(unit, n, writers[n], inputs, output) for n in _files(unit, settings))
        checked.append(_quarantined(unit, next(filter(None, errors), None)))
    return checked


def _files(unit: Unit, settings: StepSettings) -> list[str]:
    """Name the files that a unit will write."""
    if not unit.output:
        return []
    if settings.save_combined_background and unit.combined and unit.outcome is None:
        return [unit.output, product_name(unit.target, COMBINED_SUFFIX)]
    return [unit.output]


def _conflict(
    unit: Unit, name: str, writers: list[Unit], inputs: set[str], output: Path
) -> ConflictError | None:
    if len(writers) > 1:
        askers = sorted({Path(other.association).name for other in writers})
        return ConflictError(
            "Every unit writes a file of its own",
            file=unit.target,
            value=f"{len(writers)} different units would write {name} ({', '.join(askers)})",
            cure="Run these associations into different output folders",
        )
    if os.path.realpath(output / name) in inputs:
        return ConflictError(
            "No product is written over an exposure of the program",
            file=unit.target,
            value=str(output / name),
            cure="Give another output folder",
        )
    return None


def _quarantined(unit: Unit, error: ConflictError | None) -> Unit:
    if error is None:
        return unit
    return replace(unit, outcome=Outcome.QUARANTINED, reason=error.message, error=error.to_dict())
