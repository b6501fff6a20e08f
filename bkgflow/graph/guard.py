"""Failure as data: a task that cannot be done returns a verdict, and its neighbours go on."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import Any

from bkgflow.errors import BkgflowError, RunError
from bkgflow.verdict import Verdict

__all__ = ["ATTEMPTS", "PAUSE", "guarded"]

ATTEMPTS = 3

PAUSE = 0.5
"""Seconds before the second attempt; each further one waits twice as long."""

PASSING = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EINTR, errno.ENETRESET}
"""Errors of network file systems that may be gone a moment later."""


def guarded(
    function: Callable[..., Any], *arguments: Any, sleep: Callable[[float], object] = time.sleep
) -> Any:
    """Call a function; return its result, or a QUARANTINED `Verdict` that says what went wrong.

    A verdict among the arguments is passed on: what depends on a bad input fails with that
    input's error. What failed on an error that may pass is tried three times.
    """
    for argument in arguments:
        if isinstance(argument, Verdict):
            return argument
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return function(*arguments)
        except Exception as problem:
            if attempt == ATTEMPTS or not _may_pass(problem):
                return Verdict.quarantined(_as_error(problem, attempt))
        sleep(PAUSE * 2 ** (attempt - 1))
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
