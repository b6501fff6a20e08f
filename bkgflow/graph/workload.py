"""What an executor is given: units in an order, what they share, and the tasks of any of them.

A graph of all units together would take memory with their number, here and in a scheduler.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from bkgflow.graph.finish import Finished

__all__ = ["Parts", "Tasks", "Workload"]

Tasks = dict[Hashable, tuple[Any, ...]]
"""As dask wants them: key → (function, keys of what it waits for)."""


class Parts(NamedTuple):
    """The tasks of some shared results, and by their digests the keys of the parts of each.

    Attributes
    ----------
    light : frozenset
        The keys of tasks that only take something out of another's result.
    """

    tasks: Tasks
    keys: Mapping[str, Sequence[Hashable]]
    light: frozenset[Hashable] = frozenset()


class Workload(Protocol):
    """Units that are to be done. It holds no tasks: they are made when they are asked for."""

    @property
    def units(self) -> Sequence[str]:
        """The digests of the units, in the order in which they should be begun."""

    def shared(self, unit: str) -> str:
        """Return the digest of the shared result that a unit waits for; empty without one."""

    def group(self, unit: str) -> str:
        """Return a word for the shared results that are computed together with a unit's."""

    def parts(self, shared: Collection[str], divisor: int = 1) -> Parts:
        """Return the tasks of shared results of one group.

        Parameters
        ----------
        divisor : int
            They may hold so many times less pixels at once than was planned.
        """

    def last(self, unit: str) -> tuple[Hashable, Callable[..., Finished]]:
        """Return the key of a unit's last task, and the task: it takes the parts in order."""
