"""One attempt to compute a graph on a distributed cluster: what ends, and what is left."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Hashable, Iterator
from contextlib import suppress
from errno import EACCES, EIO, ENOENT, ENOTDIR, EPERM, ESTALE
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any
from uuid import uuid4

from distributed import Client, Future
from distributed.client import ClosedClientError

from bkgflow.clusters.crew import Limits
from bkgflow.clusters.drain import let_end
from bkgflow.clusters.executor import LOST, OnEnd, OnStart
from bkgflow.clusters.failure import Failure, Left
from bkgflow.clusters.on_worker import Ended, admitted_only, end_unit, stop
from bkgflow.clusters.trial import Trial
from bkgflow.clusters.watch import Notice, Stuck, Watch
from bkgflow.errors import FileError, RunError
from bkgflow.graph.build import Graph
from bkgflow.io.storage.location import Location

__all__ = ["Attempt"]

LOOK_AGAIN = 0.1
"""Seconds after which a future is asked once more that was lost: its callback comes at once."""

GATHER = 15
"""Seconds that results may take from workers to here; one that holds some may have stopped."""

UNSEEN = {os.strerror(each) for each in (EACCES, EIO, ENOENT, ENOTDIR, EPERM, ESTALE)}
"""What a system says of a file that it has not, or may not read."""


class Attempt:
    """Computes a graph once, and watches the workers meanwhile.

    Parameters
    ----------
    trial : Trial or None
        What workers must have passed to compute; None where they cannot differ.
    asked : collection of str
        Workers that were asked already.
    """

    def __init__(
        self, client: Client, trial: Trial | None, asked: Collection[str], limits: Limits
    ) -> None:
        self.client, self.trial = client, trial
        self.topic = f"bkgflow-{uuid4().hex}"
        self.said: SimpleQueue[Any] = SimpleQueue()
        self.watch = Watch(client, self.said.put, trial, asked, limits)
        self.left: dict[str, Future] = {}
        self.unit_of: dict[Hashable, str] = {}
        self.begun: set[str] = set()
        self.result = Left()

    def run(
        self, graph: Graph, on_start: OnStart, on_end: OnEnd, say: Callable[[str], object]
    ) -> Left:
        """Compute; starts come over a topic, ends as futures, and one queue brings all here."""
        try:
            self._submit(graph)
            while self.left and self.result.stuck is None:
                self._take(self._news(), on_start, on_end, say)
        except (ClosedClientError, OSError):  # the scheduler went away under a call
            for unit in self.left:
                self.result.failed[unit] = Failure(None, unit in self.begun)
            self.left = {}
        except BaseException:  # the run is stopped: what has begun comes to its end
            let_end(
                self.client,
                partial(stop, self.topic),
                self.left,
                self.begun,
                self.said,
                partial(self._ended, on_end),
            )
            raise
        finally:
            self.watch.stop()
            with suppress(ClosedClientError, OSError):  # then the scheduler forgets us by itself
                self.client.unsubscribe_topic(self.topic)
                if self.left:  # nobody wants the rest
                    self.client.cancel(list(self.left.values()))
        return self.result

    def _submit(self, graph: Graph) -> None:
        self.watch.start()
        self.client.subscribe_topic(self.topic, lambda event: self.said.put(tuple(event[1])))
        tasks = graph.tasks | {
            key: (partial(end_unit, self.topic, unit, task), *upstream)
            for key, unit in graph.ends.items()
            for task, *upstream in [graph.tasks[key]]
        }
        if self.trial is not None:
            tasks = {
                key: (partial(admitted_only, self.topic, self.trial.name, task), *upstream)
                for key, (task, *upstream) in tasks.items()
            }
        futures = self.client.get(tasks, list(graph.ends), sync=False)
        self.unit_of = {
            future.key: unit for future, unit in zip(futures, graph.ends.values(), strict=True)
        }
        self.left = dict(zip(graph.ends.values(), futures, strict=True))
        for future in futures:
            future.add_done_callback(self.said.put)

    def _news(self) -> list[Any]:
        """Wait for news, and return all that there are."""
        found = [self.said.get()]
        with suppress(Empty):
            while len(found) < 1000:
                found.append(self.said.get_nowait())
        return found

    def _take(
        self, news: list[Any], on_start: OnStart, on_end: OnEnd, say: Callable[[str], object]
    ) -> None:
        finished: list[Future] = []
        for each in news:
            match each:
                case ("begins", unit):
                    if unit in self.left:  # a start that comes after the end is no news
                        self.begun.add(unit)
                        on_start(unit)
                case ("stranger", worker):
                    self.watch.stranger(worker)
                case Notice(text):
                    say(text)
                case Stuck(error):
                    self.result.stuck = error
                case Future(status="finished"):
                    finished.append(each)
                case Future(status="lost" | "pending"):
                    # Its worker died with the result: the scheduler computes it once more.
                    self._ask_again(each)
                case future:
                    self._fail(self.unit_of[future.key], _problem_of(future))
        for unit, ended in self._gathered(finished):
            if unseen := self._unseen(ended):
                self._fail(unit, unseen)
                continue
            if ended.verdict.state.good:
                self.watch.good_end()
            self._end(unit, ended, on_end)

    def _gathered(self, futures: list[Future]) -> Iterator[tuple[str, Ended]]:
        """Fetch results together: one by one they would take milliseconds each."""
        if not futures:
            return
        results: list[Ended | None] = [None] * len(futures)
        with suppress(TimeoutError):
            results = self.client.sync(_gather, self.client, futures)
        for future, result in zip(futures, results, strict=True):
            if result is None:
                self._ask_again(future)
            else:
                yield self.unit_of[future.key], result

    def _ended(self, on_end: OnEnd, future: Future) -> None:
        """Take a result that came after the run was stopped."""
        for unit, ended in self._gathered([future]):
            if ended.verdict != LOST:  # it never began
                self._end(unit, ended, on_end)

    def _end(self, unit: str, ended: Ended, on_end: OnEnd) -> None:
        """Pass on how a unit ended, then forget it: stopped in between, it is passed on twice."""
        on_end(unit, ended.verdict)
        # The cluster releases a result as soon as nobody here holds its future.
        del self.left[unit]

    def _ask_again(self, future: Future) -> None:
        again = partial(future.add_done_callback, self.said.put)
        loop = self.client.loop
        loop.add_callback(loop.call_later, LOOK_AGAIN, again)

    def _fail(self, unit: str, problem: BaseException | None) -> None:
        if self.left.pop(unit, None) is not None:
            self.result.failed[unit] = Failure(problem, unit in self.begun)

    def _unseen(self, ended: Ended) -> RunError | None:
        """Say that a worker does not see an input that is seen from here; None where it does."""
        error = ended.verdict.error
        if self.trial is None or not isinstance(error, FileError) or error.value not in UNSEEN:
            return None
        try:
            Location.of(error.file or "").identity()
        except FileError:
            return None
        return RunError(
            "Every worker must see the inputs as the driver sees them",
            file=error.file,
            value=f"{error.value}: {ended.worker}, or a worker that computed what it needs",
            cure="Share the folder with every worker under the same path",
        )


async def _gather(client: Client, futures: list[Future]) -> list[Ended | None]:
    found: list[Ended | None] = await asyncio.wait_for(
        client.gather(futures, errors="skip", asynchronous=True), GATHER
    )
    return found


def _problem_of(future: Future) -> BaseException | None:
    if future.status != "error":
        return None
    problem: BaseException = future.exception(timeout=GATHER)
    return problem
