"""Failure as data: a task that cannot be done returns a verdict, and its neighbours go on."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from bkgflow.errors import BkgflowError, RunError, StorageError
from bkgflow.verdict import Passing, Verdict

__all__ = ["MORE_MEMORY", "PATIENCE", "Patience", "guarded"]

T = TypeVar("T")

MORE_MEMORY = (
    "Give the workers more memory (--memory; those at an address are started with "
    "--memory-limit of dask worker), or, from Python, plan for less (bkgflow.plan(…, memory=BYTES))"
)
"""The cure where memory is what is missing."""

_no_memory = RunError(
    "A task must find the memory that it needs", value="MemoryError", cure=MORE_MEMORY
)

NO_MEMORY = replace(Verdict.blocked(_no_memory), passing=Passing.MEMORY)
"""Made beforehand: who has no memory may not find any for this either."""

PASSING = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EINTR, errno.ENETRESET}
"""Errors of network file systems that may be gone a moment later."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How often something is tried that fails on an error which may pass.

    Attributes
    ----------
    pause : float
        Seconds before the second attempt; each further one waits twice as long.
    """

    attempts: int = 3
    pause: float = 0.5
    sleep: Callable[[float], object] = time.sleep


PATIENCE = Patience()
"""Of every task, unless something else is said."""


def guarded(
    function: Callable[..., T], *arguments: object, patience: Patience = PATIENCE, **options: object
) -> T | Verdict:
    """Call a function; return its result, or a verdict that says what went wrong.

    It is QUARANTINED, or BLOCKED where nothing but the disk was at fault. A verdict among the
    arguments stands for an input that could not be made, and is passed on: what depends on a bad
    input fails with that input's error.
    """
    for argument in arguments:
        if isinstance(argument, Verdict):
            return argument
    for attempt in range(1, patience.attempts + 1):
        try:
            return function(*arguments, **options)
        except MemoryError:  # the machine's fault, not the input's
            return NO_MEMORY
        except Exception as problem:
            passes = _may_pass(problem)
            if attempt == patience.attempts or not passes:
                error = _as_error(problem, attempt)
                verdict = Verdict.stopped_by(error)
                # What befalls the whole folder ends the run: nobody need try again.
                again = passes and not isinstance(error, StorageError)
                return replace(verdict, passing=Passing.DISK) if again else verdict
        patience.sleep(patience.pause * 2 ** (attempt - 1))
    raise AssertionError("unreachable: the last attempt returns")


def _may_pass(problem: BaseException | None) -> bool:
    """Whether an error, or one that it was raised for, may be gone a moment later."""
    while problem is not None:
        if isinstance(problem, OSError) and problem.errno in PASSING:
            return True
        problem = problem.__cause__ or problem.__context__
    return False


def _as_error(problem: Exception, attempts: int) -> BkgflowError:
    if isinstance(problem, BkgflowError):
        return problem
    return RunError(
        "A task must end without an unforeseen error",
        file=getattr(problem, "filename", None),
        value=f"{type(problem).__name__}: {problem} (attempt {attempts})"[:500],
        cure="Run it again; if it fails again, report it with the log",
    )
