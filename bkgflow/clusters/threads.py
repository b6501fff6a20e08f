"""Threads of this process: no cluster, no other process."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from bkgflow.clusters.base import OnEnd, OnStart, check_workers, workers_option

if TYPE_CHECKING:
    from bkgflow.graph.build import Graph

__all__ = ["ThreadExecutor", "Threads"]


@dataclass(frozen=True, slots=True)
class Threads:
    """Threads of this process.

    Attributes
    ----------
    workers : int or None
        How many; None for one per core.
    """

    here: ClassVar[bool] = True
    WORD: ClassVar = "threads"
    SUMMARY: ClassVar = "threads (this process)"

    workers: int | None = workers_option()

    def __post_init__(self) -> None:
        """Refuse settings that cannot be meant."""
        check_workers(self.workers)

    @property
    def worker_memory(self) -> int | None:
        """Unknown: the threads share what this process may have."""
        return None

    @contextmanager
    def open(self) -> Iterator[ThreadExecutor]:
        """Give an executor; the threads are started when it computes."""
        yield ThreadExecutor(self.workers)


class ThreadExecutor:
    """Computes graphs on a pool of threads."""

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers

    @property
    def where(self) -> str:
        """A few words for the log."""
        return f"{self.workers or 'all'} threads of this process"

    @property
    def worker_memory(self) -> int | None:
        """Unknown."""
        return None

    def execute(self, graph: Graph, on_start: OnStart, on_end: OnEnd) -> None:
        """Compute and publish all ends of a graph; dask calls back in this thread."""
        from dask.callbacks import Callback
        from dask.threaded import get

        from bkgflow.graph.finish import published

        def before(key: Hashable, *_: Any) -> None:
            if key in graph.ends:
                on_start(graph.ends[key])

        def after(key: Hashable, verdict: Any, *_: Any) -> None:
            if key in graph.ends:
                on_end(graph.ends[key], verdict)

        ends = {}
        for key in graph.ends:
            task, *upstream = graph.tasks[key]
            ends[key] = (partial(published, task), *upstream)
        with Callback(pretask=before, posttask=after):
            get(graph.tasks | ends, list(ends), num_workers=self.workers)
