"""Which units are next: a few at a time, and the shared results that they still need."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterator

from bkgflow.graph.workload import Workload

__all__ = ["Feed"]


class Feed:
    """The units of a workload that are left, and who still waits for which shared result.

    Attributes
    ----------
    left : set of str
        Units that have not ended.
    """

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.left = set(workload.units)
        self._queue = deque(workload.units)
        self._again: deque[str] = deque()
        self._waiting: Counter[str] = Counter()
        self._groups: dict[str, dict[str, None]] = defaultdict(dict)
        for unit in workload.units:
            if shared := workload.shared(unit):
                self._waiting[shared] += 1
                self._groups[workload.group(unit)][shared] = None

    def take(self, number: int) -> Iterator[str]:
        """Yield the next units, at most so many: first those that are tried again."""
        for _ in range(number):
            queue = self._again or self._queue
            if not queue:
                return
            if (unit := queue.popleft()) in self.left:
                yield unit

    def again(self, unit: str) -> None:
        """Have a unit be one of the next."""
        self._again.append(unit)

    def all_again(self) -> None:
        """Have every unit that is left be taken again: nobody computes any more."""
        self._queue = deque(unit for unit in self.workload.units if unit in self.left)
        self._again.clear()

    @property
    def waits(self) -> bool:
        """Whether a unit can be taken."""
        return bool(self._again or self._queue)

    def ahead(self) -> str:
        """Return the group of the next unit that waits for something; empty where none does."""
        return self.workload.group(self._queue[0]) if self._queue else ""

    def shared_in(self, group: str) -> Collection[str]:
        """Return the shared results of a group that units wait for which are left."""
        return tuple(self._groups.get(group, ()))

    def units_of(self, group: str) -> list[str]:
        """Return the units of a group that are left, in order."""
        return [
            unit
            for unit in self.workload.units
            if unit in self.left and self.workload.group(unit) == group
        ]

    def end(self, unit: str) -> str:
        """A unit has ended; return the shared result that nobody waits for any more, if any."""
        if unit not in self.left:
            return ""
        self.left.remove(unit)
        shared = self.workload.shared(unit)
        if not shared:
            return ""
        self._waiting[shared] -= 1
        if self._waiting[shared]:
            return ""
        del self._waiting[shared]
        group = self.workload.group(unit)
        del self._groups[group][shared]
        if not self._groups[group]:
            del self._groups[group]
        return shared
