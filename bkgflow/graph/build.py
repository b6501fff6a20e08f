"""From a plan to a dask graph.

The graph carries paths, windows, byte offsets and settings; never models, arrays or open
files. Its keys are ``("family-<key>", band)`` where several backgrounds are computed together,
``("combine-<key>", band)`` for each combined background, ``fit-<key>`` for each SOSS fit, and
``subtract-<key>`` or ``skip-<key>`` for each unit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any

from bkgflow.graph.finish import Assignment, finish_file
from bkgflow.graph.guard import guarded
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.kinds.bands import combine_band
from bkgflow.kinds.families import Family, band_rows, families
from bkgflow.kinds.soss import fit_exposure
from bkgflow.outcome import Outcome
from bkgflow.planning.plan import FitPlan, Plan, Unit
from bkgflow.planning.units import make_record

__all__ = ["Graph", "build"]

Facts = Mapping[str, ExposureFacts]


@dataclass(frozen=True, slots=True)
class Graph:
    """A dask graph and the task in it that ends each unit.

    Attributes
    ----------
    tasks : dict
        As dask wants it: key → (function, keys of what it waits for).
    ends : dict
        The key of each unit's last task → the unit.
    """

    tasks: dict[Hashable, tuple[Any, ...]]
    ends: dict[Hashable, Unit]


def build(plan: Plan) -> Graph:
    """Return the graph of all units that are not quarantined."""
    facts = plan.facts()
    members = {background.key: background.members for background in plan.combined}
    tasks: dict[Hashable, tuple[Any, ...]] = {}
    bands: dict[str, list[Hashable]] = {}
    for family in families(plan.combined):
        bands |= _add_family(tasks, family, plan, facts)
    fits = {fit.key: _add_fit(tasks, fit, plan, facts) for fit in plan.fits}
    ends: dict[Hashable, Unit] = {}
    for unit in plan.units:
        if unit.outcome == Outcome.QUARANTINED:
            continue
        verb = "skip" if unit.outcome == Outcome.SKIPPED else "subtract"
        key = f"{verb}-{unit.key}"
        work = _assignment(plan, unit, facts, members.get(unit.combined or "", ()))
        upstream = bands.get(unit.combined or "", ())
        if unit.fit in fits and unit.outcome is None:
            upstream = [fits[unit.fit]]
        tasks[key] = (partial(guarded, finish_file, work), *upstream)
        ends[key] = unit
    return Graph(tasks, ends)


def _add_family(
    tasks: dict[Hashable, tuple[Any, ...]], family: Family, plan: Plan, facts: Facts
) -> dict[str, list[Hashable]]:
    """Add a family's tasks; return the band keys of each of its backgrounds."""
    sources = tuple(facts[path].source for path in family.members)
    keys: dict[str, list[Hashable]] = {b.key: [] for b in family.backgrounds}
    rows = band_rows(family.window, (facts[path] for path in family.members))
    for number, band in enumerate(family.window.bands(rows)):
        compute: Callable[..., Any] = partial(
            guarded,
            combine_band,
            sources,
            family.sets,
            band,
            **plan.settings.numeric(),
            errors=plan.settings.with_errors,
            budget=plan.memory,
        )
        if len(family.backgrounds) == 1:
            key = (f"combine-{family.backgrounds[0].key}", number)
            tasks[key] = (partial(_first, compute),)
            keys[family.backgrounds[0].key].append(key)
            continue
        whole = (f"family-{_family_key(family)}", number)
        tasks[whole] = (compute,)
        for position, background in enumerate(family.backgrounds):
            key = (f"combine-{background.key}", number)
            tasks[key] = (partial(guarded, itemgetter(position)), whole)
            keys[background.key].append(key)
    return keys


def _add_fit(
    tasks: dict[Hashable, tuple[Any, ...]], fit: FitPlan, plan: Plan, facts: Facts
) -> Hashable:
    """Add the task of a SOSS fit; return its key."""
    segments = tuple(facts[path] for path in fit.members)
    key = f"fit-{fit.key}"
    tasks[key] = (partial(guarded, fit_exposure, segments, fit.background, plan.settings),)
    return key


def _first(compute: Callable[[], Any]) -> Any:
    """Compute a family of one and unpack it."""
    return guarded(itemgetter(0), compute())


def _family_key(family: Family) -> str:
    text = "".join(background.key for background in family.backgrounds)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _assignment(plan: Plan, unit: Unit, facts: Facts, backgrounds: tuple[str, ...]) -> Assignment:
    """Write down what the last task of a unit needs to know."""
    return Assignment(
        key=unit.key,
        target=unit.target,
        window=facts[unit.target].window,
        output=str(plan.output_path(unit)),
        mode=unit.mode,
        settings=plan.settings,
        record=make_record(unit, plan.settings, backgrounds, plan.version),
        backgrounds=backgrounds,
        skip_reason=unit.reason if unit.outcome == Outcome.SKIPPED else "",
        inputs=unit.inputs,
    )
