"""What a unit's last task took, measured where it is computed, and told as an attempt."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from bkgflow.clusters.attempts import BROKEN, LOST, TIMEOUT, Attempt
from bkgflow.clusters.failure import Cause, Failure
from bkgflow.clusters.last_words import last_words
from bkgflow.io.storage.owner import Owner
from bkgflow.io.storage.usage import forget_peak, usage
from bkgflow.verdict import Verdict

__all__ = ["Began", "Ended", "Measured", "attempt_of", "measured", "told_of"]


class Began(NamedTuple):
    """Said by a worker: a task begins. Its key, where and when (seconds since 1970)."""

    key: str
    worker: str
    process: str
    host: str
    started: float


class Measured(NamedTuple):
    """What a unit's last task took; see `bkgflow.clusters.attempts.Attempt`."""

    process: str
    host: str
    started: float
    seconds: float
    read: int
    written: int
    peak: int
    log: tuple[str, ...]


class Ended(NamedTuple):
    """How a unit ended, and on which worker.

    Attributes
    ----------
    handed_on : bool
        Whether the verdict is that on a shared result, which it was given.
    measured : Measured or None
        None where it never began.
    """

    verdict: Verdict
    worker: str
    handed_on: bool = False
    measured: Measured | None = None


def measured(end: Callable[[], Verdict]) -> tuple[Verdict, Measured]:
    """Call what ends a unit in this thread; return how it ended, and what it took."""
    me, words = Owner.me(), last_words()
    said, started, began = words.number, time.time(), time.monotonic()
    forget_peak()
    before = usage()
    verdict = end()
    after, seconds = usage(), time.monotonic() - began
    log = words.since(said if verdict.error is None else 0)
    counted = before.read >= 0 <= after.read
    read = after.read - before.read if counted else -1
    written = after.written - before.written if counted else -1
    return verdict, Measured(me.words, me.host, started, seconds, read, written, after.peak, log)


def attempt_of(number: int, ended: Ended, reason: str = "") -> Attempt:
    """Return the attempt that ended on its worker."""
    took, verdict = ended.measured, ended.verdict
    assert took is not None
    return Attempt(
        number=number,
        worker=ended.worker,
        process=took.process,
        host=took.host,
        started=datetime.fromtimestamp(took.started, UTC),
        seconds=took.seconds,
        read=took.read,
        written=took.written,
        peak=took.peak,
        state=verdict.state.value,
        reason=reason or verdict.reason,
        log=took.log,
    )


def told_of(
    number: int, began: Began | None, failure: Failure, log: tuple[str, ...] = ()
) -> Attempt:
    """Return the attempt that its worker told nothing of."""
    states = {Cause.KILLED: LOST, Cause.TIME: TIMEOUT}
    now = time.time()
    started = now if began is None else began.started
    return Attempt(
        number=number,
        worker=began.worker if began else "",
        process=began.process if began else "",
        host=began.host if began else "",
        started=datetime.fromtimestamp(started, UTC),
        seconds=max(0.0, now - started),
        read=-1,
        written=-1,
        peak=-1,
        state=states.get(failure.cause, BROKEN),
        reason=failure.story or failure.cause.value,
        log=log,
    )
