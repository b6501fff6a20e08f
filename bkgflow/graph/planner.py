"""From associations to a plan: everything looked at once, nothing computed."""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bkgflow.association import Association, Product, load_program
from bkgflow.detector import Window
from bkgflow.errors import BkgflowError, ConflictError
from bkgflow.graph.costs import predict
from bkgflow.graph.decide import decide
from bkgflow.graph.plan import CombinedPlan, Plan, Unit
from bkgflow.io.exposure import ExposureFacts, inspect
from bkgflow.io.products import COMBINED_SUFFIX, check_writable, product_name
from bkgflow.outcome import Outcome
from bkgflow.settings import StepSettings
from bkgflow.version import VERSION

__all__ = ["DEFAULT_MEMORY", "combined_key", "make_plan", "product_suffix", "unit_key"]

DEFAULT_MEMORY = 64 << 20
"""Bytes that the strips of one combine task hold, unless the caller says otherwise: enough for
long sequential reads, little enough to be allocated again and again without cost."""


def make_plan(
    program: Any, output: str | Path, settings: StepSettings, memory: int = DEFAULT_MEMORY
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

    Raises
    ------
    PlanError
        If there is no association at all.
    OutputError
        If the output folder cannot be written to.
    """
    associations, refused = load_program(program)
    output = Path(output).absolute()
    check_writable(output)
    planner = _Planner(settings)
    units = [_refused_unit(path, "", error) for path, error in refused]
    for association in associations:
        units.extend(planner.units_of(association))
    units = _without_conflicts(_without_repeats(units), settings, output, planner.looked_at)
    return planner.plan(units, output, memory)


@dataclass
class _Planner:
    """Remembers what was looked at, so that nothing is looked at twice."""

    settings: StepSettings
    looked_at: dict[str, ExposureFacts | BkgflowError] = field(default_factory=dict)
    combined: dict[str, CombinedPlan] = field(default_factory=dict)

    def units_of(self, association: Association) -> Iterable[Unit]:
        """Plan every product of an association; the refused ones become QUARANTINED units."""
        for name, error in association.refused:
            yield _refused_unit(association.path, name, error)
        for product in association.products:
            try:
                yield self._unit(association, product)
            except BkgflowError as error:
                yield _refused_unit(association.path, product.name, error, product.science)

    def _unit(self, association: Association, product: Product) -> Unit:
        target = self._facts(product.science)
        decision = decide(target, [self._facts(path) for path in product.backgrounds])
        combined = ""
        if decision.used:
            combined = combined_key(self.settings, target.window, decision.used)
            paths = tuple(sorted(background.path for background in decision.used))
            self.combined.setdefault(combined, CombinedPlan(combined, target.window, paths))
        return Unit(
            key=unit_key(self.settings, target, combined or decision.skip_reason),
            association=association.path,
            product=product.name,
            target=target.path,
            output=product_name(target.path, product_suffix(target)),
            combined=combined or None,
            outcome=None if decision.used else Outcome.SKIPPED,
            reason=decision.skip_reason,
            notes=_notes(product) + decision.notes,
        )

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

    def plan(self, units: list[Unit], output: Path, memory: int) -> Plan:
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
            units=tuple(units),
            costs=predict(units, combined, exposures, self.settings, memory),
        )


def combined_key(
    settings: StepSettings, window: Window, backgrounds: Iterable[ExposureFacts]
) -> str:
    """Return the key of a combined background: its inputs, window, clip and version."""
    identities = sorted(
        (b.identity.name, b.identity.size, b.identity.mtime_ns, b.path) for b in backgrounds
    )
    return _hash(VERSION, settings.numeric(), asdict(window), identities)


def unit_key(settings: StepSettings, target: ExposureFacts, what: str) -> str:
    """Return the key of a unit: its target, settings, version, and the combined key or reason."""
    return _hash(VERSION, settings.model_dump(), asdict(target.identity), what)


def product_suffix(target: ExposureFacts) -> str:
    """Return what the pipeline calls the product: bsub for an image, bsubints for a cube."""
    return "bsub" if target.n_integrations is None else "bsubints"


def _notes(product: Product) -> tuple[str, ...]:
    others = tuple(
        f"{kind} member {Path(path).name} is left alone" for kind, path in product.others
    )
    return product.notes + others


def _refused_unit(association: str, product: str, error: BkgflowError, target: str = "") -> Unit:
    return Unit(
        key=_hash(VERSION, association, product, error.message),
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
    if settings.save_combined_background and unit.outcome is None:
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


def _hash(*parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
