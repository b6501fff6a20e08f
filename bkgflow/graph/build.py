"""From a plan to a dask graph.

The graph carries paths, windows, byte offsets and settings; never models, arrays or open
files. Its keys are ``("family-<key>", band)`` where several backgrounds are computed together,
``("combine-<key>", band)`` for each combined background, and ``subtract-<key>`` or
``skip-<key>`` for each unit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

from bkgflow.graph.combine import combine_band
from bkgflow.graph.families import Family, band_rows, families
from bkgflow.graph.finish import Assignment, finish_file
from bkgflow.graph.guard import guarded
from bkgflow.graph.plan import Plan, Unit
from bkgflow.io.sources import FileSource
from bkgflow.outcome import Outcome

__all__ = ["Graph", "assignment", "build"]


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
    tasks: dict[Hashable, tuple[Any, ...]] = {}
    bands: dict[str, list[Hashable]] = {}
    for family in families(plan.combined):
        bands |= _add_family(tasks, family, plan)
    ends: dict[Hashable, Unit] = {}
    for unit in plan.units:
        if unit.outcome == Outcome.QUARANTINED:
            continue
        verb = "skip" if unit.outcome == Outcome.SKIPPED else "subtract"
        key = f"{verb}-{unit.key}"
        work = assignment(plan, unit)
        tasks[key] = (partial(guarded, finish_file, work), *bands.get(unit.combined or "", ()))
        ends[key] = unit
    return Graph(tasks, ends)


def _add_family(
    tasks: dict[Hashable, tuple[Any, ...]], family: Family, plan: Plan
) -> dict[str, list[Hashable]]:
    """Add a family's tasks; return the band keys of each of its backgrounds."""
    facts = plan.facts()
    sources = tuple(FileSource.of(facts[path]) for path in family.members)
    keys: dict[str, list[Hashable]] = {b.key: [] for b in family.backgrounds}
    for number, band in enumerate(family.window.bands(band_rows(family.window))):
        compute: Callable[..., Any] = partial(
            guarded,
            combine_band,
            sources,
            family.sets,
            band,
            **plan.settings.numeric(),
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


def _first(compute: Callable[[], Any]) -> Any:
    """Compute a family of one and unpack it."""
    return guarded(itemgetter(0), compute())


def _family_key(family: Family) -> str:
    text = "".join(background.key for background in family.backgrounds)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def assignment(plan: Plan, unit: Unit) -> Assignment:
    """Write down what the last task of a unit needs to know."""
    facts = plan.facts()
    members = {b.key: b.members for b in plan.combined}
    backgrounds = members.get(unit.combined or "", ())
    record = {
        "version": plan.version,
        "key": unit.key,
        "background_key": unit.combined or "",
        "association": Path(unit.association).name,
        "backgrounds": [Path(path).name for path in backgrounds],
        "settings": plan.settings.model_dump(),
        "notes": list(unit.notes),
    }
    return Assignment(
        key=unit.key,
        target=unit.target,
        window=facts[unit.target].window,
        output=str(plan.output_path(unit)),
        propagate_errors=plan.settings.propagate_errors,
        save_combined=plan.settings.save_combined_background,
        record=record,
        backgrounds=backgrounds,
        skip_reason=unit.reason if unit.outcome == Outcome.SKIPPED else "",
    )
