"""Clusters of this machine: threads of this process, or processes that are started for a run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from bkgflow.clusters.adaptive import Adaptive
from bkgflow.clusters.base import Configured, Option
from bkgflow.clusters.listening import LOOPBACK, Endpoint
from bkgflow.clusters.sizing import bytes_of, check_size, fitted
from bkgflow.errors import SettingsError, UsageError

if TYPE_CHECKING:
    from bkgflow.clusters.client import ClientExecutor
    from bkgflow.clusters.threads import ThreadExecutor
    from bkgflow.planning.plan import Plan

__all__ = ["Here", "Local", "Threads"]

FEW_UNITS, FEW_BYTES = 24, 256 << 20
"""Units, and bytes that they read and write, which threads have done before worker processes
have been started."""


@dataclass(frozen=True)
class Here(Configured):
    """Workers on this machine; each kind has a word of its own, and a summary for the help."""

    here: ClassVar[bool] = True
    WORD: ClassVar[str]
    SUMMARY: ClassVar[str]

    workers: Annotated[
        int | None, Option("Processes or threads.", default="one per core", least=1)
    ] = None

    def __post_init__(self) -> None:
        """Refuse a number of workers with which nothing would ever be computed."""
        if self.workers is not None and self.workers < 1:
            raise SettingsError(
                "A cluster must have at least one worker",
                value=f"workers={self.workers}",
                cure="Give 1 or more, or leave workers out: then there is one for each core",
            )

    def one(self) -> Self:
        """Return it with a single worker."""
        return replace(self, workers=1)


@dataclass(frozen=True)
class Threads(Here):
    """Threads of this process: ``workers`` of them, or one per core."""

    WORD = "threads"
    SUMMARY = "threads (this process)"

    @contextmanager
    def open(self) -> Iterator[ThreadExecutor]:
        """Give an executor; the threads are started when it computes."""
        from bkgflow.clusters.threads import ThreadExecutor

        yield ThreadExecutor(self.workers)


@dataclass(frozen=True)
class Local(Here):
    """Worker processes on this machine, of one thread each: ``workers`` of them, or one per core.

    Where nothing is asked for, a plan of few small units is computed by threads.

    Attributes
    ----------
    memory : str or None
        Memory limit of each, as dask writes it ("4GiB"); None and "auto" for its share of the
        machine's.
    adaptive : Adaptive or None
        Between how many workers there are, by what is to be done.
    tls : bool
        Whether scheduler, workers and client speak TLS, with certificates that are made for it
        and never leave the memory of their processes.
    dashboard : str
        Host and port where the cluster shows what it does, as dask does by default, but to
        nobody outside; another port where this one is taken.
    start : callable or None
        Makes the cluster, with the arguments of `distributed.LocalCluster`; None for that.
    """

    WORD = "local"
    SUMMARY = "local (worker processes here)"

    memory: Annotated[
        str | None,
        Option(
            "Memory limit of each local worker, such as 4GiB.", default="dask's", metavar="SIZE"
        ),
    ] = None
    adaptive: Annotated[
        Adaptive | None,
        Option("Between how many workers.", default="as --workers", metavar="N:M", typed=str),
    ] = None
    tls: Annotated[
        bool, Option("Encrypt what local processes say to each other.", default="no")
    ] = False
    dashboard: Annotated[
        str,
        Option(
            "Where a local cluster shows what it does; whoever can reach it sees it.",
            default=f"{LOOPBACK}:8787",
            metavar="HOST:PORT",
        ),
    ] = f"{LOOPBACK}:8787"
    start: Callable[..., AbstractContextManager[Any]] | None = None

    def __post_init__(self) -> None:
        """Refuse settings that cannot be meant."""
        super().__post_init__()
        object.__setattr__(self, "adaptive", Adaptive.of(self.adaptive))
        if self.workers is not None and self.adaptive is not None:
            raise SettingsError(
                "Workers must be a number, or adaptive between two numbers",
                value=f"workers={self.workers}, adaptive={self.adaptive}",
                cure="Leave one of them out",
            )
        if self.memory is not None and self.memory != "auto":
            check_size("A worker's memory limit", "memory", self.memory)
        Endpoint.of(self.dashboard)

    def one(self) -> Self:
        """Return it with a single worker."""
        return replace(self, workers=1, adaptive=None)

    @property
    def _first(self) -> int:
        """How many workers there are at first."""
        return self.adaptive.minimum if self.adaptive else self.workers or os.cpu_count() or 1

    @property
    def worker_memory(self) -> int | None:
        """The memory limit in bytes; None where dask chooses it."""
        return None if self.memory is None or self.memory == "auto" else bytes_of(self.memory)

    @contextmanager
    def open(self) -> Iterator[ClientExecutor]:
        """Start the workers and close them afterwards."""
        from bkgflow.clusters.client import ClientExecutor
        from bkgflow.clusters.dask_log import quiet
        from bkgflow.clusters.defaults import settled
        from bkgflow.clusters.own import Own

        own = Own(self._started)
        with settled(), quiet():
            try:
                yield ClientExecutor(
                    own.connect(),
                    own=True,
                    expected=self._first,
                    connect=own.connect,
                    larger=own.larger,
                    remarks=Endpoint.of(self.dashboard).remarks,
                )
            finally:
                own.close()

    def suited(self, plan: Plan) -> tuple[Configured, str]:
        """Return threads for a plan that takes less time than processes take to start.

        Else as many workers as have room for its tasks, each with its part of the memory.
        """
        if self == Local() and _is_small(plan):
            return Threads(), "few small units: computed by threads of this process"
        if self.memory is not None:
            return self, ""
        fits = fitted(plan.costs.task, self.adaptive.maximum if self.adaptive else self.workers)
        if fits is None:
            return self, ""
        if self.adaptive:
            most = min(self.adaptive.maximum, fits.workers)
            bounds = Adaptive(min(self.adaptive.minimum, most), most)
            return replace(self, adaptive=bounds, memory=fits.memory), fits.why
        return replace(self, workers=fits.workers, memory=fits.memory), fits.why

    def _started(self) -> AbstractContextManager[Any]:
        from distributed import LocalCluster

        from bkgflow.clusters.own import PRELOAD
        from bkgflow.clusters.processes import ScriptlessNanny
        from bkgflow.clusters.security import temporary

        security = {"security": temporary(), "protocol": "tls://"} if self.tls else {}
        start: Callable[..., AbstractContextManager[Any]] = self.start or LocalCluster
        try:
            made: Any = start(
                n_workers=self._first,
                threads_per_worker=1,
                memory_limit=self.memory or "auto",
                host=LOOPBACK,
                dashboard_address=Endpoint.of(self.dashboard).free(),
                preload=PRELOAD,
                worker_class=ScriptlessNanny,
                **security,
            )
            if self.adaptive:
                made.adapt(minimum=self.adaptive.minimum, maximum=self.adaptive.maximum)
        except ValueError as problem:
            raise UsageError(
                "Workers and memory must make a cluster",
                value=f"workers={self.workers}, memory={self.memory}: {problem}",
                cure="Give a number of workers and a memory such as 4GiB",
            ) from None
        except RuntimeError as problem:
            raise UsageError(
                "Worker processes must be able to start on this machine",
                value=problem,
                cure='Give cluster="threads"',
            ) from problem
        begun: AbstractContextManager[Any] = made
        return begun


def _is_small(plan: Plan) -> bool:
    """Whether a plan has few units of few bytes."""
    to_do = sum(unit.verdict.to_do for unit in plan.units)
    return to_do <= FEW_UNITS and plan.costs.read + plan.costs.written <= FEW_BYTES
