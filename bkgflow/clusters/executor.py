"""What computes graphs while a cluster is open; and the one that has threads alone."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Protocol

from bkgflow.kinds.warm import Kind, warm_up
from bkgflow.verdict import Verdict

if TYPE_CHECKING:
    from bkgflow.graph.build import Graph
    from bkgflow.graph.finish import Finished
    from bkgflow.planning.plan import Plan

__all__ = ["LOST", "Executor", "OnEnd", "OnStart", "Say", "ThreadExecutor", "silent"]

Say = Callable[[str], object]
"""Called with a sentence that a user should read while the run goes on."""

OnStart = Callable[[str], None]
"""Called with the digest of a unit whose last task begins: once, or once more where the worker
that had begun it died."""

OnEnd = Callable[[str, Verdict], None]
"""Called with the digest of a unit and how it ended: once, or once more where the run was stopped
while it was being called."""

LOST = Verdict.blocked(
    "the run ended before its turn: the cluster went away or the run was stopped"
)
"""Of a unit that nobody computed any more."""


def silent(text: str) -> None:
    """Say nothing."""


class Executor(Protocol):
    """Computes graphs on a cluster that is open."""

    @property
    def where(self) -> str:
        """A few words for the log."""

    @property
    def worker_memory(self) -> int | None:
        """The least of the workers' memory limits in bytes; None where it is unknown."""
        return None

    def ready(self, say: Say = silent) -> None:
        """Wait until there is a worker; `RunError` where none comes."""
        return None

    def check(self, plan: Plan, say: Say = silent) -> None:
        """See that the workers can compute a plan: that they are like this process.

        Raises
        ------
        BkgflowError
            If one cannot: it names the worker, what is wrong with it, and the cure.
        """
        return None

    def compile(self, kinds: Sequence[Kind]) -> None:
        """Have the kernels of these kinds ready where the graph will be computed."""
        warm_up(kinds)

    def execute(self, graph: Graph, on_start: OnStart, on_end: OnEnd, say: Say = silent) -> None:
        """Compute and publish all ends of a graph.

        All functions are called in the thread that called this one, a unit's start before its
        end.
        """


class ThreadExecutor(Executor):
    """Computes graphs on a pool of threads; they share the memory of this process."""

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers

    @property
    def where(self) -> str:
        """How many threads."""
        return f"{self.workers or 'all'} threads of this process"

    def execute(self, graph: Graph, on_start: OnStart, on_end: OnEnd, say: Say = silent) -> None:
        """Compute with dask, which calls back in this thread."""
        from dask.callbacks import Callback
        from dask.system import CPU_COUNT
        from dask.threaded import get

        from bkgflow.graph.finish import published

        ended: dict[Hashable, Verdict] = {}

        def finish(key: Hashable, task: Callable[..., Finished], *upstream: object) -> Verdict:
            ended[key] = verdict = published(task, *upstream)
            return verdict

        def before(key: Hashable, *_: object) -> None:
            if key in graph.ends:
                on_start(graph.ends[key])

        def after(key: Hashable, *_: object) -> None:
            if key in graph.ends:
                on_end(graph.ends[key], ended[key])
                del ended[key]  # not before: the run may be stopped here

        ends = {
            key: (partial(finish, key, task), *upstream)
            for key in graph.ends
            for task, *upstream in [graph.tasks[key]]
        }
        try:
            with (
                ThreadPoolExecutor(self.workers or CPU_COUNT) as pool,
                Callback(pretask=before, posttask=after),
            ):
                get(graph.tasks | ends, list(ends), pool=pool)
        finally:  # what was still under way when the run was stopped has ended by now
            for key, verdict in list(ended.items()):
                with suppress(Exception):
                    on_end(graph.ends[key], verdict)
