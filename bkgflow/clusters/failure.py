"""Why a unit was not done though its inputs may be good, and how it ends if it is given up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from bkgflow.clusters.executor import LOST
from bkgflow.errors import BkgflowError, RunError
from bkgflow.graph.guard import MORE_MEMORY
from bkgflow.verdict import Passing, Verdict

__all__ = ["Cause", "Failure"]

LOGS = "then run again; the workers' logs say more"


class Cause(StrEnum):
    """What was at fault."""

    KILLED = "its worker died"
    MEMORY = "a task did not find its memory"
    TIME = "it took too long"
    DISK = "the disk failed for a while"
    PROBLEM = "a worker did not compute it to the end"
    CANCELLED = "somebody cancelled it"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a unit, or what it shares with others, was not done.

    Attributes
    ----------
    story : str
        What is known of it.
    verdict : Verdict or None
        How it ended on its worker, if it did.
    problem : BaseException or None
        What its task raised.
    """

    cause: Cause
    story: str = ""
    verdict: Verdict | None = None
    problem: BaseException | None = None

    @classmethod
    def ended(cls, verdict: Verdict) -> Failure:
        """Return the failure of what ended, but may end better another time."""
        cause = Cause.MEMORY if verdict.passing is Passing.MEMORY else Cause.DISK
        return cls(cause, verdict.reason, verdict)

    @classmethod
    def raised(cls, problem: BaseException | None) -> Failure:
        """Return the failure of what raised something; None where its task was cancelled."""
        if problem is None:
            return cls(Cause.CANCELLED)
        said = problem.message if isinstance(problem, BkgflowError) else ""
        return cls(Cause.PROBLEM, said or f"{type(problem).__name__}: {problem}"[:500], None, problem)

    def given_up(self, story: str, *, proven: bool) -> Verdict:
        """Return how it ends, where it is not tried again.

        Parameters
        ----------
        story : str
            Of all attempts.
        proven : bool
            Whether it alone must be at fault.
        """
        match self.cause:
            case Cause.KILLED:
                rule = "Workers must live while they compute a unit: it is done by none that lived"
                error = RunError(rule, value=story, cure=f"{MORE_MEMORY}, {LOGS}")
                return Verdict.quarantined(error) if proven else Verdict.blocked(error)
            case Cause.TIME:
                rule = "A unit must end within the time that it may take (--timeout)"
                cure = f"Give it more time, or leave the limit out, {LOGS}"
                return Verdict.blocked(RunError(rule, value=story, cure=cure))
            case Cause.CANCELLED:
                return LOST
        if self.verdict is not None:
            return replace(self.verdict, passing=None)
        if isinstance(self.problem, RunError):
            return Verdict.blocked(self.problem)
        rule = "A worker must compute its task to the end"
        if isinstance(self.problem, Exception):  # of a task itself, a guard makes a verdict
            cure = f"See that all workers have the same environment, {LOGS}"
            return Verdict.blocked(RunError(rule, value=self.story, cure=cure))
        error = RunError(rule, value=self.story, cure=f"{MORE_MEMORY}, {LOGS}")
        return Verdict.quarantined(error)
