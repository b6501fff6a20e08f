"""Whether something is tried again after it failed, when, and in which way."""

from __future__ import annotations

from dataclasses import dataclass, field

from bkgflow.clusters.failure import Cause, Failure
from bkgflow.clusters.policy import RetryPolicy
from bkgflow.verdict import Verdict

__all__ = ["FIRST", "Tries", "Way"]

DEATHS_ALONE = 2
"""Workers that something may kill which it has for itself: then nothing else is at fault."""

PROBLEMS = 1
"""Retries of what a task raised in spite of its guard: the next worker may be a better one. They
are counted apart: what kills workers needs all its retries to be found out."""

SUSPICIONS = 2
"""Workers that may die with something that waits on them, before it is tried alone: a worker may
die so fast that nobody hears what it had begun."""

FEWER = 4
"""Of the memory that was planned, a task that failed for memory gets this part."""


@dataclass(frozen=True, slots=True)
class Way:
    """How something is tried.

    Attributes
    ----------
    divisor : int
        Its shared tasks hold so many times less pixels at once than was planned.
    alone : bool
        Whether it has its worker process for itself.
    larger : bool
        Whether it gets a worker with more memory, where the cluster can start one.
    """

    divisor: int = 1
    alone: bool = False
    larger: bool = False


FIRST = Way()
"""How everything is tried at first."""


@dataclass(slots=True)
class _History:
    """What became of one unit, or of what several share."""

    way: Way = FIRST
    begun: int = 0
    submitted: int = 0
    retries: int = 0
    memory: int = 0
    deaths_alone: int = 0
    problems: int = 0
    cancelled: int = 0
    suspicions: int = 0
    story: list[str] = field(default_factory=list)


class Tries:
    """What was tried, by the digests of units and the words for groups of shared results.

    What may have killed its worker is tried with smaller bands, then alone, then on a larger
    worker; its neighbors are not blamed. What had not even begun is no cause of anything.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self.policy = policy
        self._of: dict[str, _History] = {}

    def way(self, name: str) -> Way:
        """Return how it is tried now."""
        return self._of[name].way if name in self._of else FIRST

    def begun(self, name: str) -> int:
        """It begins; return the number of the attempt."""
        history = self._history(name)
        history.begun += 1
        return history.begun

    def number(self, name: str) -> int:
        """Return the number of the attempt that was begun last; 1 before the first."""
        return max(1, self._of[name].begun) if name in self._of else 1

    def submitted(self, name: str) -> int:
        """A scheduler is given it; return how often that was."""
        history = self._history(name)
        history.submitted += 1
        return history.submitted

    def end(self, name: str) -> None:
        """It has ended, and is forgotten."""
        self._of.pop(name, None)

    def suspect(self, name: str) -> bool:
        """A worker died that had it; return whether it is tried alone from now on."""
        history = self._history(name)
        history.suspicions += 1
        if history.suspicions < SUSPICIONS:
            return False
        history.way = Way(max(history.way.divisor, FEWER), alone=True)
        return True

    def fail(self, name: str, failure: Failure) -> float | Verdict:
        """It failed; return the seconds until it is tried again, or how it ends."""
        history = self._history(name)
        way = history.way
        history.story.append(f"attempt {max(1, history.begun)}{_words(way)}: {failure.story}")
        if failure.cause is Cause.KILLED and way.alone:
            history.deaths_alone += 1
        proven = history.deaths_alone >= DEATHS_ALONE
        if proven or not self._again(history, failure):
            return failure.given_up(_told(history.story), proven=proven)
        return self.policy.delay(history.retries + history.problems + history.cancelled)

    def _again(self, history: _History, failure: Failure) -> bool:
        """Whether it is tried again; say how."""
        most = self.policy.max_retries
        match failure.cause:
            case Cause.PROBLEM:
                history.problems += 1
                return history.problems <= min(PROBLEMS, most)
            case Cause.CANCELLED:
                history.cancelled += 1
                return history.cancelled <= most
            case Cause.KILLED | Cause.MEMORY:
                history.memory += 1
                before = history.way.alone
                history.way = Way(FEWER, alone=before or history.memory > 1, larger=before)
        history.retries += 1
        return history.retries <= most

    def _history(self, name: str) -> _History:
        return self._of.setdefault(name, _History())


def _words(way: Way) -> str:
    words = ["smaller bands"] * (way.divisor > 1) + ["alone"] * way.alone
    words += ["on a larger worker"] * way.larger
    return f" ({', '.join(words)})" if words else ""


def _told(story: list[str]) -> str:
    return "; ".join(story)[:1500]
