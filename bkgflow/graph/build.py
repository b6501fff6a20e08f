"""From a plan, or what is left of it, to a dask graph.

It carries locations, windows, byte ranges and settings; never models, arrays or open files. Its
keys are ``("VERB-<digest>", number)`` for each part of a shared result, such as a band of rows;
``("family-<digest>", number)`` where one task computes parts of several;
``("mask-<digest>", number)`` and the like for what the parts of a family take; and
``subtract-<digest>`` or ``skip-<digest>`` for each unit.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from operator import itemgetter
from pathlib import PurePath

from bkgflow.graph.finish import Finished, finish
from bkgflow.graph.guard import guarded
from bkgflow.graph.workload import Parts, Tasks
from bkgflow.io.products.ahead import Foreseen
from bkgflow.io.products.fits import FitsWriter
from bkgflow.io.products.writer import ProductWriter
from bkgflow.kinds.base import Assignment
from bkgflow.kinds.table import KINDS, Kinds
from bkgflow.planning.kind import Facts, Piece, Prelude
from bkgflow.planning.plan import Plan
from bkgflow.planning.unit import Shared, Unit
from bkgflow.record import HAD_IMPRINT, NO_IMPRINT, Record
from bkgflow.verdict import State

__all__ = ["Graph", "PlannedWork", "build"]

FILES = FitsWriter()


@dataclass(frozen=True)
class Graph:
    """A dask graph and the task in it that ends each unit; whole, it is a `Workload` as well.

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

    @property
    def units(self) -> Sequence[str]:
        """The digests of the units, as they stand."""
        return tuple(self.ends.values())

    def shared(self, unit: str) -> str:
        """Return a word for all that a unit waits for; empty where that is nothing."""
        return "+".join(map(str, self._task_of(unit)[2]))

    def group(self, unit: str) -> str:
        """Return one word for all units that wait for something."""
        return "shared" if self.shared(unit) else ""

    def parts(self, shared: Collection[str], divisor: int = 1) -> Parts:
        """Return the tasks that units wait for; they are as they are, whatever they hold."""
        wanted = {each: self._task_of(unit)[2] for unit in self.units
                  if (each := self.shared(unit)) in shared}  # fmt: skip
        tasks: Tasks = {}
        left = [key for keys in wanted.values() for key in keys]
        while left:
            key = left.pop()
            if key not in tasks:
                tasks[key] = self.tasks[key]
                left += self.tasks[key][1:]
        return Parts(tasks, wanted)

    def last(self, unit: str) -> tuple[Hashable, Callable[..., Finished]]:
        """Return the key of a unit's last task, and the task without what it waits for."""
        key, task, _ = self._task_of(unit)
        return key, task

    def _task_of(self, unit: str) -> tuple[Hashable, Callable[..., Finished], tuple[Hashable, ...]]:
        key = self._key_of[unit]
        task, *upstream = self.tasks[key]
        return key, task, tuple(upstream)

    @cached_property
    def _key_of(self) -> dict[str, Hashable]:
        return {unit: key for key, unit in self.ends.items()}


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
    work = PlannedWork(plan, units, kinds=kinds, writer=writer, threads=threads)
    shared = dict.fromkeys(filter(None, map(work.shared, work.units)))
    tasks, parts, _ = work.parts(shared)
    ends: dict[Hashable, str] = {}
    for unit in work.units:
        key, task = work.last(unit)
        upstream = work.shared(unit)
        tasks[key] = (task, *(parts[upstream] if upstream else ()))
        ends[key] = unit
    return Graph(tasks, ends)


class PlannedWork:
    """The units of a plan that are left to do, as a `Workload`: their graph is built as asked.

    Its units stand in the order in which results that they share can be given up soonest: those
    of one family follow each other, and in it those that wait for the same result.
    """

    def __init__(
        self,
        plan: Plan,
        units: Iterable[Unit] | None = None,
        *,
        kinds: Kinds = KINDS,
        writer: ProductWriter = FILES,
        threads: int = 1,
    ) -> None:
        self.plan, self.kinds, self.writer, self.threads = plan, kinds, writer, threads
        self._facts = plan.facts()
        self._shared = {each.digest: each for each in plan.shared}
        asked = plan.units if units is None else units
        chosen = [unit for unit in asked if unit.verdict.state != State.QUARANTINED]
        wanted = dict.fromkeys(filter(None, map(_waits_for, chosen)))
        self._group_of = self._grouped(wanted)
        first: dict[str, int] = {}

        def place(number: int, unit: Unit) -> tuple[int, int, int]:
            if not (shared := _waits_for(unit)):
                return number, number, number
            group = self._group_of[shared]
            of_group = first.setdefault(f"group {group}", number)
            return of_group, first.setdefault(shared, number), number

        placed = sorted(place(number, unit) for number, unit in enumerate(chosen))
        self._units = {chosen[number].digest: chosen[number] for _, _, number in placed}

    @property
    def units(self) -> Sequence[str]:
        """The digests of the units, in the order in which they should be begun."""
        return tuple(self._units)

    def shared(self, unit: str) -> str:
        """Return the digest of the shared result that a unit waits for; empty without one."""
        return _waits_for(self._units[unit])

    def group(self, unit: str) -> str:
        """Return a word for the shared results that are computed together with a unit's."""
        return self._group_of.get(self.shared(unit), "")

    def parts(self, shared: Collection[str], divisor: int = 1) -> Parts:
        """Return the tasks of shared results, each with a part of the memory that was planned."""
        tasks: Tasks = {}
        keys: dict[str, list[Hashable]] = defaultdict(list)
        numbers: Counter[tuple[str, ...]] = Counter()
        preludes: dict[Prelude, Hashable] = {}
        for piece in self._pieces(shared, max(1, self.plan.memory // divisor)):
            number = numbers[piece.serves]
            numbers[piece.serves] += 1
            own = [(f"{self._verb_of(digest)}-{digest}", number) for digest in piece.serves]
            for digest, key in zip(piece.serves, own, strict=True):
                keys[digest].append(key)
            upstream = _add_preludes(tasks, preludes, piece.takes, _family_of(piece))
            _add_piece(tasks, piece, own, number, upstream)
        light = frozenset(key for key, (task, *_) in tasks.items() if _takes_out(task))
        return Parts(tasks, {digest: tuple(of) for digest, of in keys.items()}, light)

    def last(self, unit: str) -> tuple[Hashable, Callable[..., Finished]]:
        """Return the key of a unit's last task, and the task without what it waits for."""
        it = self._units[unit]
        kind, work = self.kinds.named(it.kind), self._work(it)
        task = partial(finish, kind, self.writer, self.threads, work)
        return f"{'subtract' if it.verdict.to_do else 'skip'}-{unit}", task

    def foreseen(self, unit: str) -> Foreseen | None:
        """Return what a unit's product will most likely be; None if nobody knows."""
        it = self._units[unit]
        if not it.verdict.to_do:
            return None
        work = self._work(it)
        change = self.kinds.named(it.kind).foresee(work)
        if change is None or work.imprint is not None:
            return None
        changes = replace(change.changes, imprint=work.imprint_state)
        return Foreseen(changes, change.verdict, work.output)

    def _work(self, unit: Unit) -> Assignment:
        shared = self._shared.get(unit.shared)
        return _assignment(self.plan, self.kinds, unit, self._facts, shared)

    def _verb_of(self, digest: str) -> str:
        return self.kinds.named(self._shared[digest].kind).verb

    def _pieces(self, shared: Collection[str], memory: int) -> Iterator[Piece]:
        wanted = [self._shared[digest] for digest in shared]
        names = {each.kind for each in wanted}
        for kind in (self.kinds.named(name) for name in self.kinds.names if name in names):
            own = [each for each in wanted if each.kind == kind.name]
            yield from kind.pieces(own, self._facts, self.plan.settings, memory, self.threads)

    def _grouped(self, shared: Collection[str]) -> dict[str, str]:
        """Return for each shared result a word for those whose tasks it has in common."""
        group_of: dict[str, str] = {}
        for piece in self._pieces(shared, self.plan.memory):
            for digest in piece.serves:
                group_of.setdefault(digest, piece.serves[0])
        return group_of


def _waits_for(unit: Unit) -> str:
    return unit.shared if unit.verdict.to_do else ""


def _family_of(piece: Piece) -> str:
    return hashlib.sha256("".join(piece.serves).encode()).hexdigest()[:32]


def _add_preludes(
    tasks: Tasks, known: dict[Prelude, Hashable], wanted: Iterable[Prelude], family: str
) -> list[Hashable]:
    """Add the tasks of preludes that are not there yet; return the keys of all."""
    keys: list[Hashable] = []
    for each in wanted:
        if each not in known:
            upstream = _add_preludes(tasks, known, each.takes, family)
            known[each] = key = (f"{each.verb}-{family}", len(known))
            tasks[key] = (partial(guarded, each.compute), *upstream)
        keys.append(known[each])
    return keys


def _add_piece(
    tasks: Tasks,
    piece: Piece,
    keys: list[tuple[str, int]],
    number: int,
    upstream: Sequence[Hashable],
) -> None:
    """Add the tasks of a piece of shared results, which has a key for each of them."""
    if len(keys) == 1:
        # One task instead of two: unpacking would send what it holds through the scheduler again.
        tasks[keys[0]] = (partial(_first, piece.compute), *upstream)
        return
    whole = (f"family-{_family_of(piece)}", number)
    tasks[whole] = (partial(guarded, piece.compute), *upstream)
    for position, key in enumerate(keys):
        tasks[key] = (partial(guarded, itemgetter(position)), whole)


def _takes_out(task: Callable[..., object]) -> bool:
    """Whether a task is one of those that take a result out of several."""
    match task:
        case partial(func=function, args=(itemgetter(), *_)):
            return function is guarded
    return False


def _first(compute: Callable[..., object], *given: object) -> object:
    """Compute parts of one result and unpack the only one."""
    return guarded(itemgetter(0), guarded(compute, *given))


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
