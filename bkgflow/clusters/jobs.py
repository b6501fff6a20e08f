"""Tasks as workers are given them: what is said, measured and waited for around each."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from distributed import Reschedule, Worker, get_worker, secede
from distributed.protocol.pickle import dumps, loads

from bkgflow.clusters.alone import room
from bkgflow.clusters.executor import LOST
from bkgflow.clusters.measured import Began, Ended, measured
from bkgflow.clusters.on_worker import beside_the_threads, is_stopped, wait_for_admission
from bkgflow.graph.finish import Finished, published
from bkgflow.io.storage.owner import Owner
from bkgflow.verdict import Verdict

__all__ = ["Job"]

SAID = 0.25
"""Seconds after which others have heard that a task begins which may kill its process, and have
taken it back where it did before."""


@dataclass(frozen=True, slots=True)
class Job:
    """A task of a unit, or of a shared result, for one attempt.

    Attributes
    ----------
    topic : str
        Where a worker says that it begins.
    key : str
        The key in words, by which it is told from others.
    trial : str
        What a worker must have passed to compute it; empty where workers cannot differ.
    alone : bool
        Whether nothing else may be computed in the process meanwhile.
    ends : bool
        Whether it is the last one of a unit: it publishes.
    sealed : bytes
        The task itself, pickled and packed. Schedulers unpickle what they are given, and keep the
        last thousand messages to each worker: of plain bytes that costs little, and of packed ones
        half of it.
    """

    topic: str
    key: str
    trial: str
    alone: bool
    ends: bool
    sealed: bytes

    @classmethod
    def of(
        cls,
        task: Callable[..., object],
        *,
        topic: str,
        key: str,
        trial: str,
        alone: bool,
        ends: bool,
    ) -> Job:
        """Return the job of a task."""
        return cls(topic, key, trial, alone, ends, zlib.compress(dumps(task), 1))

    @property
    def task(self) -> Callable[..., Finished]:
        """The task, unpacked; that of a shared result gives something else."""
        task: Callable[..., Finished] = loads(zlib.decompress(self.sealed))
        return task

    def __call__(self, *upstream: object) -> object:
        """Compute; of a unit, return an `Ended`."""
        worker = get_worker()
        if self.trial:
            wait_for_admission(self.topic, self.trial)
        with room.within(alone=self.alone):
            if self.ends and is_stopped(self.topic):
                return Ended(LOST, worker.address)
            me = Owner.me()
            began = Began(self.key, worker.address, me.words, me.host, time.time())
            _say(worker, self.topic, began)
            if self.alone:
                time.sleep(SAID)
                if not _is_wanted(worker):
                    raise Reschedule
            task = self.task
            return _end(task, worker.address, upstream) if self.ends else task(*upstream)


def _end(task: Callable[..., Finished], worker: str, upstream: tuple[object, ...]) -> Ended:
    """Compute the last task of a unit, and publish."""

    def end() -> Verdict:
        return published(task, *upstream, leave=_beside_the_thread)

    verdict, took = measured(end)
    given = any(each is verdict for each in upstream)
    return Ended(verdict, worker, given, took)


def _is_wanted(worker: Worker) -> bool:
    """Whether a scheduler still wants what this thread computes.

    What killed its worker is given to another one at once, before anybody can take it back.
    """
    task = worker.state.tasks.get(worker.get_current_task())
    return task is not None and task.state != "cancelled"


def _say(worker: Worker, topic: str, began: Began) -> None:
    """Say that a task begins, and wait until that is on its way: it may take the process with it.

    That is a tenth of a millisecond, two turns of the worker's loop.
    """
    worker.log_event(topic, ("begins", *began))
    with suppress(Exception):  # a worker that closes may not turn any more
        asyncio.run_coroutine_threadsafe(_turn(), worker.loop.asyncio_loop).result(1.0)


async def _turn() -> None:
    for _ in range(2):
        await asyncio.sleep(0)


@contextmanager
def _beside_the_thread() -> Iterator[None]:
    """Leave the worker's thread to the next task, as soon as there is room beside it.

    What is done inside waits for a disk or a network; the task ends when it has ended.
    """
    with beside_the_threads:  # first a place: who waits for one keeps the thread busy
        secede()
        yield
