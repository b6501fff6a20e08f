"""Which units are tried again after their workers died, or failed in another way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bkgflow.clusters.failure import Failure
from bkgflow.verdict import Verdict

__all__ = ["Tries"]

MOST = 2
"""Failures of a unit that are taken for its workers' fault, where these did not die."""

LONE_FAILURES = 3
"""Units, one after the other, that may kill workers that have nothing else to do."""


@dataclass(slots=True)
class _History:
    """The failures of one unit."""

    failures: int = 0
    last: Failure | None = None
    alone: bool = False


class Tries:
    """The units that are left, and what is tried next.

    First all together. A scheduler blames every task that waited on a worker when it died: those
    that had not even begun are tried together once more. One that had begun may be what kills
    workers, and is tried alone, so that it takes nothing with it.
    """

    def __init__(self, units: Iterable[str]) -> None:
        self.left = {unit: _History() for unit in units}
        self.number = 0
        self._lone_failures = 0

    def next(self) -> list[str]:
        """Return the units of the next attempt; none when all have ended."""
        self.number += 1
        together = [unit for unit, history in self.left.items() if not history.alone]
        chosen = together or list(self.left)[:1]
        if self.number > 1 and len(chosen) == 1:
            self.left[chosen[0]].alone = True
        return chosen

    def end(self, unit: str) -> None:
        """A unit has ended, and is not left any more; to say so twice changes nothing."""
        history = self.left.pop(unit, None)
        if history is not None and history.alone:
            self._lone_failures = 0

    def fail(self, unit: str, failure: Failure) -> dict[str, Verdict]:
        """A unit has failed; return those that are left no more for it, with how they end."""
        history = self.left[unit]
        history.failures += 1
        history.last = failure
        given_up = [unit]
        if not failure.killed:
            if history.failures < MOST:
                return {}
        elif not history.alone:
            history.alone = failure.began or history.failures >= MOST
            return {}
        else:
            self._lone_failures += 1
            if self._lone_failures >= LONE_FAILURES:
                given_up = [each for each, tried in self.left.items() if tried.alone]
        ended = {each: self.left.pop(each).last for each in given_up}
        return {each: last.verdict for each, last in ended.items() if last is not None}
