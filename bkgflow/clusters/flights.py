"""What is with a scheduler: units by their futures, and shared results that are held for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from uuid import uuid4

from distributed import Client, Future

from bkgflow.clusters.feed import Feed
from bkgflow.clusters.jobs import Job
from bkgflow.clusters.measured import Began
from bkgflow.clusters.tries import Tries, Way
from bkgflow.graph.workload import Tasks

__all__ = ["Flight", "Flights", "Group", "began_on"]


@dataclass(slots=True)
class Flight:
    """A unit that a scheduler has.

    Attributes
    ----------
    began : Began or None
        Where its last task is computed, if that has begun.
    due : float
        When it is given up, by this process's clock.
    """

    unit: str
    group: str
    future: Future
    way: Way
    began: Began | None = None
    due: float = math.inf

    @property
    def key(self) -> str:
        """What stands for its last task."""
        return str(self.future.key)


@dataclass(slots=True)
class Group:
    """Shared results that a scheduler has, or computes: their parts, by the result's digest."""

    name: str
    way: Way
    parts: dict[str, list[Future]]
    keys: set[str]
    began: dict[str, Began] = field(default_factory=dict)
    due: dict[str, float] = field(default_factory=dict)


class Flights:
    """Gives units to a scheduler, and takes them back.

    Parameters
    ----------
    trial : str
        What workers must have passed; empty where they cannot differ.
    heard : callable
        Called with a future that has ended, in another thread.

    Attributes
    ----------
    units, groups : dict
        What the scheduler has, by the digest of a unit and the word for a group.
    """

    def __init__(
        self, client: Client, feed: Feed, tries: Tries, trial: str, heard: Callable[[Future], None]
    ) -> None:
        self.client, self.feed, self.tries = client, feed, tries
        self.topic = f"bkgflow-{uuid4().hex}"
        self.units: dict[str, Flight] = {}
        self.groups: dict[str, Group] = {}
        self._trial, self._heard = trial, heard
        self._unit_of: dict[str, str] = {}
        self._group_of: dict[str, str] = {}

    def of_key(self, key: str) -> Flight | Group | None:
        """Return whose task a key stands for; None where that is of no interest any more."""
        if key in self._unit_of:
            return self.units.get(self._unit_of[key])
        return self.groups.get(self._group_of.get(key, ""))

    def open(self, groups: Iterable[str], worker: str = "") -> None:
        """Have shared results computed, in one message; those that are there already stay."""
        tasks: Tasks = {}
        made: dict[str, tuple[dict[str, list[Hashable]], set[str]]] = {}
        for name in groups:
            if name and name not in self.groups and name not in made:
                made[name] = self._add_group(tasks, name)
        if not tasks:
            return
        wanted = [key for parts, _ in made.values() for keys in parts.values() for key in keys]
        futures = self._submit(tasks, wanted, worker)
        for name, (parts, own) in made.items():
            held = {shared: [futures[key] for key in keys] for shared, keys in parts.items()}
            self.groups[name] = Group(name, self.tries.way(name), held, own)

    def _add_group(self, tasks: Tasks, name: str) -> tuple[dict[str, list[Hashable]], set[str]]:
        """Add the tasks of a group; return the keys of each result's parts, and all in words."""
        way, number = self.tries.way(name), self.tries.submitted(name)
        of_group, parts, light = self.feed.workload.parts(self.feed.shared_in(name), way.divisor)
        for key, (task, *upstream) in of_group.items():
            new = _again(key, number)
            self._group_of[str(new)] = name
            # What is done in no time nobody need hear of.
            job = task if key in light else self._job(task, new, way, ends=False)
            tasks[new] = (job, *(_again(each, number) for each in upstream))
        keys = {shared: [_again(each, number) for each in of] for shared, of in parts.items()}
        return keys, {str(_again(key, number)) for key in of_group}

    def add(self, units: Collection[str], worker: str = "") -> None:
        """Have units done: their groups are open."""
        tasks: Tasks = {}
        keys: dict[str, Hashable] = {}
        for unit in units:
            plain, task = self.feed.workload.last(unit)
            key = keys[unit] = _again(plain, self.tries.submitted(unit))
            job = self._job(task, key, self.tries.way(unit), ends=True)
            tasks[key] = (job, *self._parts_for(unit))
        futures = self._submit(tasks, list(keys.values()), worker)
        for unit, key in keys.items():
            future, group = futures[key], self.feed.workload.group(unit)
            self.units[unit] = Flight(unit, group, future, self.tries.way(unit))
            self._unit_of[str(key)] = unit
            future.add_done_callback(self._heard)

    def _job(self, task: Callable[..., object], key: Hashable, way: Way, *, ends: bool) -> Job:
        topic, trial = self.topic, self._trial
        return Job.of(task, topic=topic, key=str(key), trial=trial, alone=way.alone, ends=ends)

    def _parts_for(self, unit: str) -> list[Future]:
        if not (shared := self.feed.workload.shared(unit)):
            return []
        return self.groups[self.feed.workload.group(unit)].parts[shared]

    def _submit(
        self, tasks: Tasks, wanted: list[Hashable], worker: str
    ) -> Mapping[Hashable, Future]:
        """Give tasks to the scheduler; what was given before them goes first."""
        workers = [worker] if worker else None
        futures = self.client.get(tasks, wanted, sync=False, fifo_timeout="0s", workers=workers)
        return dict(zip(wanted, futures, strict=True))

    def take_back(self, unit: str) -> Flight | None:
        """Have the scheduler forget a unit; return what it was, if it was there."""
        flight = self.units.pop(unit, None)
        if flight is not None:
            self._unit_of.pop(flight.key, None)
            if not flight.future.done():
                self.client.cancel([flight.future])
        return flight

    def end(self, unit: str) -> None:
        """A unit has ended: nothing is held for it any more."""
        group = self.feed.workload.group(unit)
        shared = self.feed.end(unit)
        flight = self.units.pop(unit, None)
        if flight is not None:
            self._unit_of.pop(flight.key, None)
        self.tries.end(unit)
        # The cluster releases a result as soon as nobody here holds its future.
        if shared and group in self.groups:
            self.groups[group].parts.pop(shared, None)
            if not self.groups[group].parts:
                self._forget(self.groups.pop(group))
                self.tries.end(group)

    def close(self, group: str) -> list[str]:
        """Have the scheduler forget a group, and the units that wait for it; return these."""
        waiting = [unit for unit, flight in self.units.items() if flight.group == group]
        for unit in waiting:
            self.take_back(unit)
        if (closed := self.groups.pop(group, None)) is not None:
            self.client.cancel([each for parts in closed.parts.values() for each in parts])
            self._forget(closed)
        return waiting

    def next_due(self) -> float:
        """Return when the first task is given up; infinity where none ever is."""
        units = [each.due for each in self.units.values()]
        groups = [due for each in self.groups.values() for due in each.due.values()]
        return min([*units, *groups], default=math.inf)

    def late(self, now: float) -> list[tuple[Flight | Group, Began | None]]:
        """Return what should have ended by now, each once, and where it began."""
        found: list[tuple[Flight | Group, Began | None]] = [
            (each, each.began) for each in self.units.values() if each.due <= now
        ]
        for group in self.groups.values():
            found += [(group, group.began[key]) for key, due in group.due.items() if due <= now][:1]
        return found

    def cancel_all(self) -> None:
        """Have the scheduler forget all that is left: nobody wants it any more."""
        parts = [
            each for group in self.groups.values() for of in group.parts.values() for each in of
        ]
        futures = [flight.future for flight in self.units.values()]
        self.units.clear()
        self.groups.clear()
        if futures or parts:
            self.client.cancel([*futures, *parts])

    def _forget(self, group: Group) -> None:
        for key in group.keys:
            self._group_of.pop(key, None)


def began_on(worker: str, key: str, each: Flight | Group) -> Began | None:
    """Return where and when a task began; None where that was on no such worker."""
    began = each.began if isinstance(each, Flight) else each.began.get(key)
    return began if began is not None and began.worker == worker else None


def _again(key: Hashable, number: int) -> Hashable:
    """Return another key for another attempt: a scheduler knows the first."""
    if number == 1:
        return key
    if isinstance(key, tuple):
        return (f"{key[0]}-again-{number}", *key[1:])
    return f"{key}-again-{number}"
