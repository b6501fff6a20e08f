"""Where a graph is computed: threads of this process, or a distributed cluster."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, Protocol

from dask.callbacks import Callback
from dask.threaded import get as threaded_get
from distributed import Client, Future, as_completed

from bkgflow.campaign.aside import stepping_aside
from bkgflow.errors import RunError
from bkgflow.graph.build import Graph
from bkgflow.graph.guard import Failure

__all__ = ["ClusterExecutor", "Executor", "Lost", "OnEnd", "ThreadExecutor"]

COMPUTED_AGAIN = {"lost", "pending"}
"""A future is in one of these states when the worker that held its result has died: the
scheduler computes it once more."""


class Lost:
    """Stands for the result of a task that nobody computed any more."""


OnEnd = Callable[[Hashable, Any], None]
"""Called in the driver with the key of a unit's last task and its result, a
`bkgflow.graph.guard.Failure`, or `Lost`."""


class Executor(Protocol):
    """Computes graphs."""

    @property
    def where(self) -> str:
        """A few words for the log."""

    def execute(self, graph: Graph, on_end: OnEnd) -> None:
        """Compute all ends of a graph; announce each one as it is done."""


class ThreadExecutor:
    """A pool of threads in this process; no cluster, no other process."""

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers

    @property
    def where(self) -> str:
        """A few words for the log."""
        return f"{self.workers or 'all'} threads of this process"

    def execute(self, graph: Graph, on_end: OnEnd) -> None:
        """Compute all ends of a graph; announce each one as it is done."""

        def after(key: Hashable, value: Any, *_: Any) -> None:
            if key in graph.ends:
                on_end(key, value)

        with Callback(posttask=after):
            threaded_get(graph.tasks, list(graph.ends), num_workers=self.workers)


class ClusterExecutor:
    """A distributed cluster, through its client."""

    def __init__(self, client: Client) -> None:
        self.client = client

    @property
    def where(self) -> str:
        """A few words for the log."""
        workers = len(self.client.scheduler_info(n_workers=-1).get("workers", ()))
        return f"{workers} workers of {self.client.scheduler.address}"

    def execute(self, graph: Graph, on_end: OnEnd) -> None:
        """Compute all ends of a graph; announce each one as it is done."""
        keys = list(graph.ends)
        ends = {
            key: _aside(*graph.tasks[key])
            for key, unit in graph.ends.items()
            if unit.mode != "wfss"  # it holds a whole model to the end
        }
        futures = self.client.get(graph.tasks | ends, keys, sync=False)
        key_of = {future.key: key for future, key in zip(futures, keys, strict=True)}
        waiting = as_completed(futures, loop=self.client.loop, raise_errors=False)
        del futures  # a result is released by the cluster as soon as it was announced
        for future in waiting:
            if future.status in COMPUTED_AGAIN:
                waiting.add(future)
                continue
            on_end(key_of[future.key], _result_of(future))


def _aside(task: Callable[..., Any], *upstream: Hashable) -> tuple[Any, ...]:
    return (partial(stepping_aside, task), *upstream)


def _result_of(future: Future) -> Any:
    if future.status == "finished":
        return future.result()
    if future.status == "error":
        problem = future.exception()
        return Failure(
            RunError(
                "A worker computes its task to the end",
                value=f"{type(problem).__name__}: {problem}"[:500],
                cure="Give the workers more memory, then run again; the workers' logs say more",
            )
        )
    return Lost()
