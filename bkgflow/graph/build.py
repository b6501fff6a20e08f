"""From a plan, or what is left of it, to a dask graph.

It carries locations, windows, byte ranges and settings; never models, arrays or open files. Its
keys are ``("VERB-<digest>", number)`` for each part of a shared result, such as a band of rows;
``("family-<digest>", number)`` where one task computes parts of several; and ``subtract-<digest>``
or ``skip-<digest>`` for each unit.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from pathlib import PurePath
from typing import Any

from bkgflow.graph.finish import finish
from bkgflow.graph.guard import guarded
from bkgflow.io.products.fits import FitsWriter
from bkgflow.io.products.writer import ProductWriter
from bkgflow.kinds.base import Assignment
from bkgflow.kinds.table import KINDS, Kinds
from bkgflow.planning.kind import Facts
from bkgflow.planning.plan import Plan
from bkgflow.planning.unit import Shared, Unit
from bkgflow.record import HAD_IMPRINT, NO_IMPRINT, Record
from bkgflow.verdict import State

__all__ = ["Graph", "build"]

FILES = FitsWriter()

Tasks = dict[Hashable, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Graph:
    """A dask graph and the task in it that ends each unit.

    Attributes
    ----------
    tasks : dict
        As dask wants it: key → (function, keys of what it waits for).
    ends : dict
        The key of each unit's last task → the digest of the unit's key. These tasks return a
        `bkgflow.graph.finish.Finished`: whoever computes them has `published` call them.
    """

    tasks: Tasks
    ends: dict[Hashable, str]

    def only(self, units: Collection[str]) -> Graph:
        """Return the part that ends some of the units."""
        wanted = set(units)
        ends = {key: unit for key, unit in self.ends.items() if unit in wanted}
        tasks: Tasks = {}
        left = list(ends)
        while left:
            key = left.pop()
            if key not in tasks:
                tasks[key] = self.tasks[key]
                left += self.tasks[key][1:]
        return Graph(tasks, ends)

    def again(self, number: int) -> Graph:
        """Return the same under other keys, for another attempt: a scheduler knows the first."""
        if number == 1:
            return self

        def other(key: Any) -> Hashable:
            if isinstance(key, tuple):
                return (f"{key[0]}-again-{number}", *key[1:])
            return f"{key}-again-{number}"

        return Graph(
            {
                other(key): (task, *map(other, upstream))
                for key, (task, *upstream) in self.tasks.items()
            },
            {other(key): unit for key, unit in self.ends.items()},
        )


def build(
    plan: Plan,
    units: Iterable[Unit] | None = None,
    *,
    kinds: Kinds = KINDS,
    writer: ProductWriter = FILES,
    threads: int = 1,
) -> Graph:
    """Return the graph of units that can be done.

    Parameters
    ----------
    units : iterable of Unit, optional
        Those of the plan's that are left to do; all by default. QUARANTINED ones have no task.
    threads : int
        That one task may use; 1 where many run side by side.
    """
    asked = plan.units if units is None else units
    chosen = [unit for unit in asked if unit.verdict.state != State.QUARANTINED]
    facts, shared = plan.facts(), {each.digest: each for each in plan.shared}
    tasks: Tasks = {}
    wanted = dict.fromkeys(unit.shared for unit in chosen if unit.verdict.to_do and unit.shared)
    parts = _add_shared(tasks, plan, kinds, facts, [shared[digest] for digest in wanted], threads)
    ends: dict[Hashable, str] = {}
    for unit in chosen:
        verb = "subtract" if unit.verdict.to_do else "skip"
        key = f"{verb}-{unit.digest}"
        work = _assignment(plan, kinds, unit, facts, shared.get(unit.shared))
        task = partial(finish, kinds.named(unit.kind), writer, threads, work)
        tasks[key] = (task, *(parts[unit.shared] if unit.verdict.to_do else ()))
        ends[key] = unit.digest
    return Graph(tasks, ends)


def _add_shared(
    tasks: Tasks, plan: Plan, kinds: Kinds, facts: Facts, shared: list[Shared], threads: int
) -> dict[str, list[Hashable]]:
    """Add the tasks of all shared results; return the keys of the parts of each."""
    parts: dict[str, list[Hashable]] = defaultdict(list)
    wanted = {each.kind for each in shared}
    for kind in (kinds.named(name) for name in kinds.names if name in wanted):
        own = [each for each in shared if each.kind == kind.name]
        numbers: Counter[tuple[str, ...]] = Counter()
        for piece in kind.pieces(own, facts, plan.settings, plan.memory, threads):
            number = numbers[piece.serves]
            numbers[piece.serves] += 1
            keys = [(f"{kind.verb}-{digest}", number) for digest in piece.serves]
            for digest, key in zip(piece.serves, keys, strict=True):
                parts[digest].append(key)
            if len(keys) == 1:
                # One task instead of two: unpacking would send what it holds through the
                # scheduler again.
                tasks[keys[0]] = (partial(_first, piece.compute),)
                continue
            family = hashlib.sha256("".join(piece.serves).encode()).hexdigest()[:32]
            whole = (f"family-{family}", number)
            tasks[whole] = (partial(guarded, piece.compute),)
            for position, key in enumerate(keys):
                tasks[key] = (partial(guarded, itemgetter(position)), whole)
    return parts


def _first(compute: Callable[[], object]) -> object:
    """Compute parts of one result and unpack the only one."""
    return guarded(itemgetter(0), guarded(compute))


def _assignment(
    plan: Plan, kinds: Kinds, unit: Unit, facts: Facts, shared: Shared | None
) -> Assignment:
    """Write down what the last task of a unit needs to know."""
    kind, references = kinds.named(unit.kind), unit.references
    members = shared.members if shared is not None else ()
    imprint = unit.imprint.location if unit.imprint else None
    record = Record(
        version=plan.version,
        key=unit.digest,
        background_key=unit.shared,
        association=PurePath(unit.association).name,
        # The members of a SOSS fit are its segments: only backgrounds are listed as such.
        backgrounds=tuple(each.name for each in members) if kind.shares_backgrounds else (),
        settings=plan.settings.only(kind.arguments),
        notes=unit.notes,
        mismatches=unit.mismatches,
        references=None if references is None else tuple(each.name for each in references.files),
        reference_origins=None if references is None else dict(references.origins),
        imprint=None if imprint is None else imprint.name,
        background_imprints=_background_imprints(shared, facts),
    )
    return Assignment(
        target=facts[unit.target],
        output=plan.output / unit.output,
        settings=plan.settings,
        verdict=unit.verdict,
        record=record,
        companions=tuple(plan.output / name for name in unit.companions),
        members=members,
        references=references,
        imprint=None if imprint is None else facts[imprint].source,
        imprint_state=unit.imprint.state if unit.imprint else None,
        keywords=unit.keywords,
    )


def _background_imprints(shared: Shared | None, facts: Facts) -> tuple[str, ...] | None:
    """Return what was subtracted from each background first; None where it is nothing."""
    if shared is None or not shared.imprints:
        return None
    return tuple(
        imprint.name if imprint else HAD_IMPRINT if facts[member].had_imprint else NO_IMPRINT
        for member, imprint in shared.pairs
    )
