"""What is done on a worker around a task: who may compute it, and who hears of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import NamedTuple

from distributed import Reschedule, get_worker

from bkgflow.errors import OutputError
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.trial import drop_token, leave_token, look, read_token

__all__ = [
    "MOST_BESIDE",
    "Visit",
    "admit",
    "beside_the_threads",
    "clear",
    "is_stopped",
    "stop",
    "visit",
    "wait_for_admission",
]

MOST_BESIDE = 2
"""Tasks of a process that may publish beside its threads. With more of them a slow disk would
only get a longer queue, and what they hold takes memory."""

PATIENCE = 60
"""Seconds that a task waits on a worker that nobody has asked yet."""

beside_the_threads = threading.BoundedSemaphore(MOST_BESIDE)

_admitted: set[str] = set()
"""The trials that this process has passed."""

_news = threading.Condition()


_stopped: set[str] = set()
"""The topics of runs that were stopped: of these nothing begins any more."""


def stop(topic: str) -> None:
    """Let no unit of a run begin in this process any more."""
    _stopped.add(topic)


def is_stopped(topic: str) -> bool:
    """Whether nothing of a run begins here any more."""
    return topic in _stopped


# Whether this worker may compute at all: asked by the driver before it is given anything, or, of
# a worker that came later, before its first task.


class Visit(NamedTuple):
    """What a worker sees.

    Attributes
    ----------
    files : dict
        The files that it sees otherwise than the driver, and how.
    output : str
        What is wrong with the output folder; empty if it has left its token there.
    """

    files: dict[Location, str]
    output: str


def visit(files: Mapping[Location, str], output: Location, token: str, mine: str) -> Visit:
    """Look at the inputs, and leave a token in the output folder if the driver's is there.

    Parameters
    ----------
    files : mapping
        What the driver sees of each.
    token, mine : str
        The name of the driver's token, and of this worker's; a token says its own name.
    """
    wrong = {file: seen for file, seen in look(files).items() if seen != files[file]}
    if read_token(output, token) != token:
        return Visit(wrong, "it does not see what the driver writes there")
    try:
        leave_token(output, mine, mine)
    except OutputError as problem:
        return Visit(wrong, f"it cannot write there: {problem.value}")
    return Visit(wrong, "")


def clear(output: Location, mine: str) -> None:
    """Remove this worker's token, which the driver may not see."""
    drop_token(output, mine)


def admit(trial: str) -> None:
    """Let this process compute what belongs to a trial."""
    with _news:
        _admitted.add(trial)
        _news.notify_all()


def wait_for_admission(topic: str, trial: str) -> None:
    """Return where this process has passed a trial, at once or when the driver has asked it.

    Raises
    ------
    Reschedule
        If that is in vain: another worker takes the task.
    """
    if trial in _admitted:
        return
    worker = get_worker()
    worker.log_event(topic, ("stranger", worker.address))
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and worker.status.name in {"running", "paused"}:
        with _news:
            if _news.wait_for(lambda: trial in _admitted, timeout=0.5):
                return
    raise Reschedule
