"""The executor of everything that is reached through a client of dask.distributed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from queue import SimpleQueue
from uuid import uuid4

from distributed import Client, Future, get_worker, secede
from distributed.client import ClosedClientError

from bkgflow.clusters.drain import let_end
from bkgflow.clusters.executor import LOST, Executor, OnEnd, OnStart
from bkgflow.errors import RunError
from bkgflow.graph.build import Graph
from bkgflow.graph.finish import Finished, published
from bkgflow.kinds.warm import Kind, warm_up
from bkgflow.verdict import Verdict

__all__ = ["MOST_BESIDE", "ClientExecutor"]

COMPUTED_AGAIN = {"lost", "pending"}
"""A future is in one of these states when the worker that held its result has died: the
scheduler computes it once more."""

LOOK_AGAIN = 0.1
"""Seconds after which such a future is asked once more: one that is lost calls back at once."""

COMPILING = 120
"""Seconds that workers may take to compile before the run begins all the same."""

MOST_BESIDE = 2
"""Tasks of a process that may publish beside its threads. With more of them a slow disk would
only get a longer queue, and what they hold takes memory."""

_compiled: set[tuple[str, tuple[Kind, ...]]] = set()
"""Workers that were asked to compile, by their address, and for which kinds."""

_places = threading.BoundedSemaphore(MOST_BESIDE)


@contextmanager
def _beside_the_thread() -> Iterator[None]:
    """Leave the worker's thread to the next task, as soon as there is room beside it.

    What is done inside waits for a disk or a network; the task ends when it has ended.
    """
    with _places:  # first a place, then the step: who waits for one keeps the thread busy
        secede()
        yield


class ClientExecutor(Executor):
    """Computes graphs on a distributed cluster, through its client."""

    def __init__(self, client: Client) -> None:
        self.client = client

    @property
    def where(self) -> str:
        """How many workers, and of which scheduler."""
        return f"{len(self._limits())} workers of {self.client.scheduler.address}"

    @property
    def worker_memory(self) -> int | None:
        """The least of the workers' memory limits in bytes; None if none has a limit."""
        return min(filter(None, self._limits()), default=None)

    def _workers(self) -> dict[str, dict[str, object]]:
        """Return what the scheduler says of each worker, by its address."""
        found: dict[str, dict[str, object]] = self.client.scheduler_info(n_workers=-1)["workers"]
        return found

    def _limits(self) -> list[int]:
        """Return the memory limit of each worker in bytes; 0 for none."""
        return [int(str(each.get("memory_limit") or 0)) for each in self._workers().values()]

    def compile(self, kinds: Sequence[Kind]) -> None:
        """Compile on every worker that is there: one process of a machine, others wait for it."""
        asked = [(each, tuple(kinds)) for each in self._workers()]
        new = [each for each in asked if each not in _compiled]
        futures = [
            self.client.submit(warm_up, kinds, workers=[worker], pure=False) for worker, _ in new
        ]
        with suppress(TimeoutError):  # a worker that is gone by now must not stop the run
            for future in futures:
                future.exception(timeout=COMPILING)
        _compiled.update(new)

    def execute(self, graph: Graph, on_start: OnStart, on_end: OnEnd) -> None:
        """Compute on the workers.

        Starts come from them over a topic of their own, ends as futures; one queue brings both
        to this thread.
        """
        said: SimpleQueue[str | Future] = SimpleQueue()
        topic = f"bkgflow-{uuid4().hex}"
        ends = {
            key: (partial(_on_worker, topic, unit, task), *upstream)
            for key, unit in graph.ends.items()
            for task, *upstream in [graph.tasks[key]]
        }
        self.client.subscribe_topic(topic, lambda event: said.put(event[1]))
        futures = self.client.get(graph.tasks | ends, list(ends), sync=False)
        unit_of = {f.key: graph.ends[key] for f, key in zip(futures, ends, strict=True)}
        left = dict(zip(unit_of.values(), futures, strict=True))
        for future in futures:
            future.add_done_callback(said.put)
        del futures  # the cluster releases a result as soon as nobody here holds its future
        begun: set[str] = set()

        def ended(future: Future) -> None:
            unit = unit_of[future.key]
            del left[unit]
            on_end(unit, _verdict_of(future))

        try:
            while left:
                match said.get():
                    case str() as unit:
                        if unit in left:  # a start that comes after the end is no news
                            begun.add(unit)
                            on_start(unit)
                    case future if future.status in COMPUTED_AGAIN:
                        again = partial(future.add_done_callback, said.put)
                        loop = self.client.loop
                        loop.add_callback(loop.call_later, LOOK_AGAIN, again)
                    case future:
                        ended(future)
        except BaseException:
            let_end(self.client, left, begun, said, ended)
            raise
        finally:
            with suppress(ClosedClientError):  # then the scheduler has forgotten us already
                self.client.unsubscribe_topic(topic)
                if left:  # the run was stopped: nobody wants the rest
                    self.client.cancel(list(left.values()))


def _on_worker(topic: str, unit: str, task: Callable[..., Finished], *upstream: object) -> Verdict:
    """Say that a unit begins, then compute and publish it; called on a worker."""
    get_worker().log_event(topic, unit)
    return published(task, *upstream, leave=_beside_the_thread)


def _verdict_of(future: Future) -> Verdict:
    if future.status == "finished":
        verdict: Verdict = future.result()
        return verdict
    if future.status != "error":
        return LOST
    problem = future.exception()
    return Verdict.quarantined(
        RunError(
            "A worker must compute its task to the end",
            value=f"{type(problem).__name__}: {problem}"[:500],
            cure="Give the workers more memory, then run again; the workers' logs say more",
        )
    )
