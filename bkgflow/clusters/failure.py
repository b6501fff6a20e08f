"""Units that failed for no fault of their own: why, and how they end if they are given up."""

from __future__ import annotations

from dataclasses import dataclass, field

from distributed import KilledWorker

from bkgflow.clusters.executor import LOST
from bkgflow.clusters.refusals import MORE_MEMORY
from bkgflow.errors import RunError
from bkgflow.verdict import Verdict

__all__ = ["Failure", "Left"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a unit was not done: no fault of its own, as far as anybody knows.

    Attributes
    ----------
    problem : BaseException or None
        None where its task was cancelled by somebody.
    began : bool
        Whether its last task had begun.
    """

    problem: BaseException | None
    began: bool = False

    @property
    def killed(self) -> bool:
        """Whether workers died that had its tasks."""
        return isinstance(self.problem, KilledWorker)

    @property
    def verdict(self) -> Verdict:
        """How the unit ends, where it is not tried again."""
        problem = self.problem
        if problem is None:
            return LOST
        if isinstance(problem, RunError):
            return Verdict.blocked(problem)
        said = f"{type(problem).__name__}: {problem}"[:500]
        logs = "then run again; the workers' logs say more"
        if self.killed:
            rule = "Workers must live while they compute a unit: it is done by none that lived"
            return Verdict.blocked(RunError(rule, value=said, cure=f"{MORE_MEMORY}, {logs}"))
        rule = "A worker must compute its task to the end"
        if isinstance(problem, Exception):  # of a task itself, a guard makes a verdict
            cure = f"See that all workers have the same environment, {logs}"
            return Verdict.blocked(RunError(rule, value=said, cure=cure))
        return Verdict.quarantined(RunError(rule, value=said, cure=f"{MORE_MEMORY}, {logs}"))


@dataclass(slots=True)
class Left:
    """What an attempt did not end.

    Attributes
    ----------
    failed : dict
        Units that failed for no fault of their own, by digest.
    stuck : RunError or None
        Why the cluster is of no use any more.
    """

    failed: dict[str, Failure] = field(default_factory=dict)
    stuck: RunError | None = None
