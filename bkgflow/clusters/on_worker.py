"""What is done on a worker around a task: who may compute it, and who hears of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from distributed import Reschedule, get_worker, secede

from bkgflow.clusters.executor import LOST
from bkgflow.errors import OutputError
from bkgflow.graph.finish import Finished, published
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.trial import drop_token, leave_token, look, read_token
from bkgflow.verdict import Verdict

__all__ = [
    "MOST_BESIDE",
    "Begins",
    "Ended",
    "Stranger",
    "Visit",
    "admit",
    "admitted_only",
    "clear",
    "end_unit",
    "stop",
    "visit",
]

MOST_BESIDE = 2
"""Tasks of a process that may publish beside its threads. With more of them a slow disk would
only get a longer queue, and what they hold takes memory."""

PATIENCE = 60
"""Seconds that a task waits on a worker that nobody has asked yet."""

_places = threading.BoundedSemaphore(MOST_BESIDE)

_admitted: set[str] = set()
"""The trials that this process has passed."""

_news = threading.Condition()


class Begins(NamedTuple):
    """Said by a worker: a unit begins."""

    unit: str


class Stranger(NamedTuple):
    """Said by a worker that got a task before anybody asked it."""

    worker: str


class Ended(NamedTuple):
    """How a unit ended, and on which worker."""

    verdict: Verdict
    worker: str


_stopped: set[str] = set()
"""The topics of attempts that were stopped: of these nothing begins any more."""


def stop(topic: str) -> None:
    """Let no unit of an attempt begin in this process any more."""
    _stopped.add(topic)


def end_unit(topic: str, unit: str, task: Callable[..., Finished], *upstream: object) -> Ended:
    """Say that a unit begins, then compute and publish it; but not in a run that was stopped."""
    worker = get_worker()
    if topic in _stopped:
        return Ended(LOST, worker.address)
    worker.log_event(topic, ("begins", unit))
    return Ended(published(task, *upstream, leave=_beside_the_thread), worker.address)


@contextmanager
def _beside_the_thread() -> Iterator[None]:
    """Leave the worker's thread to the next task, as soon as there is room beside it.

    What is done inside waits for a disk or a network; the task ends when it has ended.
    """
    with _places:  # first a place, then the step: who waits for one keeps the thread busy
        secede()
        yield


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


def admitted_only(topic: str, trial: str, task: Callable[..., object], *upstream: object) -> object:
    """Compute a task, but only where the worker has passed the trial."""
    if trial not in _admitted:
        _wait_for_admission(topic, trial)
    return task(*upstream)


def _wait_for_admission(topic: str, trial: str) -> None:
    """Ask the driver to be asked, and wait; another worker takes the task if that is in vain."""
    worker = get_worker()
    worker.log_event(topic, ("stranger", worker.address))
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and worker.status.name in {"running", "paused"}:
        with _news:
            if _news.wait_for(lambda: trial in _admitted, timeout=0.5):
                return
    raise Reschedule
