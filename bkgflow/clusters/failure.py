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
        said = f"{type(problem).__name__}: {problem}"[:500]
        if isinstance(problem, BkgflowError):
            said = problem.message
        return cls(Cause.PROBLEM, said, None, problem)

    def given_up(self, story: str, *, proven: bool) -> Verdict:
        """Return how it ends, where it is not tried again.

        Parameters
        ----------
        story : str
            Of all attempts.
        proven : bool
            Whether it alone must be at fault.
        """
        if self.cause is Cause.CANCELLED:
            return LOST
        if self.verdict is not None:
            return replace(self.verdict, passing=None)
        if isinstance(self.problem, RunError):
            return Verdict.blocked(self.problem)
        error = self._error(story)
        # What a task itself raises, its guard makes a verdict of: an exception is the worker's.
        beyond = self.problem is not None and not isinstance(self.problem, Exception)
        return Verdict.quarantined(error) if proven or beyond else Verdict.blocked(error)

    def _error(self, story: str) -> RunError:
        if self.cause is Cause.KILLED:
            rule = "Workers must live while they compute a unit: it is done by none that lived"
            return RunError(rule, value=story, cure=f"{MORE_MEMORY}, {LOGS}")
        if self.cause is Cause.TIME:
            rule = "A unit must end within the time that it may take (--timeout)"
            cure = f"Give it more time, or leave the limit out, {LOGS}"
            return RunError(rule, value=story, cure=cure)
        cure = f"{MORE_MEMORY}, {LOGS}"
        if isinstance(self.problem, Exception):
            cure = f"See that all workers have the same environment, {LOGS}"
        rule = "A worker must compute its task to the end"
        return RunError(rule, value=self.story, cure=cure)
