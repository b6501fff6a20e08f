"""What computes units while a cluster is open, and what it tells meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

from bkgflow.clusters.attempts import OnAttempt, unheard
from bkgflow.clusters.policy import RetryPolicy
from bkgflow.kinds.warm import Kind, warm_up
from bkgflow.verdict import Verdict

if TYPE_CHECKING:
    from bkgflow.graph.workload import Workload
    from bkgflow.planning.plan import Plan

__all__ = ["LOST", "POLICY", "Executor", "OnEnd", "OnStart", "Say", "Telling", "silent"]

Say = Callable[[str], object]
"""Called with a sentence that a user should read while the run goes on."""

OnStart = Callable[[str], None]
"""Called with the digest of a unit whose last task begins: once, or once more where the worker
that had begun it died."""

OnEnd = Callable[[str, Verdict], None]
"""Called with the digest of a unit and how it ended: once, or once more where the run was stopped
while it was being called."""

LOST = Verdict.blocked(
    "the run ended before its turn: the cluster went away or the run was stopped"
)
"""Of a unit that nobody computed any more."""


POLICY = RetryPolicy()
"""Of a run, unless something else is said."""


def silent(text: str) -> None:
    """Say nothing."""


class Telling(NamedTuple):
    """Who is told what while units are computed, all in one thread."""

    start: OnStart
    end: OnEnd
    attempt: OnAttempt = unheard
    say: Say = silent


class Executor(Protocol):
    """Computes units on a cluster that is open."""

    @property
    def where(self) -> str:
        """A few words for the log."""

    @property
    def worker_memory(self) -> int | None:
        """The least of the workers' memory limits in bytes; None where it is unknown."""
        return None

    def ready(self, say: Say = silent) -> None:
        """Wait until there is a worker; `RunError` where none comes."""
        return None

    def check(self, plan: Plan, say: Say = silent) -> None:
        """See that the workers can compute a plan: that they are like this process.

        Raises
        ------
        BkgflowError
            If one cannot: it names the worker, what is wrong with it, and the cure.
        """
        return None

    def compile(self, kinds: Sequence[Kind]) -> None:
        """Have the kernels of these kinds ready where the graph will be computed."""
        warm_up(kinds)

    ends_tasks: ClassVar[bool] = True
    """Whether it can end a task that takes too long."""

    def execute(
        self,
        work: Workload,
        on_start: OnStart,
        on_end: OnEnd,
        say: Say = silent,
        on_attempt: OnAttempt = unheard,
        policy: RetryPolicy = POLICY,
    ) -> None:
        """Compute and publish all units of a workload, a few of them at a time.

        All functions are called in the thread that called this one: a unit's start before its
        attempt, and the last attempt before its end.
        """
