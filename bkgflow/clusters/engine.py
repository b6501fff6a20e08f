"""Clusters whose workers an engine starts for a run, as far as they are all the same.

An engine is a cluster object of one of dask's own libraries. It is told how many workers there
may be, and brings new ones for those that end: a job that is preempted costs what it held.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Protocol, Self

from bkgflow.clusters.adaptive import Adaptive
from bkgflow.clusters.address import There
from bkgflow.clusters.base import Option
from bkgflow.clusters.defaults import libraries
from bkgflow.clusters.options import given_options, refuse_secrets
from bkgflow.clusters.sizing import bytes_of, check_size
from bkgflow.errors import BkgflowError, RunError, SettingsError

if TYPE_CHECKING:
    from distributed import Client

    from bkgflow.clusters.client import ClientExecutor
    from bkgflow.clusters.crew import Limits
    from bkgflow.planning.plan import Plan

__all__ = ["ENVIRONMENT", "LEAST_MEMORY", "Engine", "Started"]

GIB = 1 << 30

LEAST_MEMORY = 2 * GIB
"""Bytes of a worker of which nothing is said."""

PART = 4
"""A task holds no more than one of so many parts of its worker's memory."""

ENVIRONMENT = {
    "DASK_DISTRIBUTED__WORKER__MEMORY__SPILL": "False",
    "DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "False",
    **libraries(1),
}
"""Variables of all workers: what can be read or computed again is not spilled, and libraries do
not start threads beside those that compute."""

BEFORE = 2.0
"""Seconds that an engine may take to end a client whose cluster it closes."""


class Engine(Protocol):
    """What is asked of a cluster object of dask."""

    @property
    def scheduler_address(self) -> str:
        """Where its scheduler is."""

    def adapt(self, *, minimum: int, maximum: int) -> object:
        """Have no fewer and no more workers than that."""

    def close(self) -> object:
        """End all of it."""


@dataclass(frozen=True, kw_only=True)
class Started(There):
    """Workers that an engine starts for a run, and ends with it.

    Attributes
    ----------
    workers : int or None
        How many; None for one, or as many as ``adaptive`` says.
    memory : str or None
        Of each, as dask writes it ("4GiB"); None for what the plan needs.
    adaptive : Adaptive or None
        Between how many workers there are, by what is to be done.
    options : mapping
        What the engine is told beside our settings, as it is.
    """

    WORD: ClassVar[str]
    SUMMARY: ClassVar[str]
    PASSES: ClassVar[bool] = True
    CONFIGURATION: ClassVar[Mapping[str, object]] = {}

    workers: Annotated[
        int | None, Option("Processes or threads.", default="one per core", least=1)
    ] = None
    memory: Annotated[
        str | None,
        Option("Memory of each worker, such as 4GiB.", default="as the plan needs", metavar="SIZE"),
    ] = None
    adaptive: Annotated[
        Adaptive | None,
        Option("Between how many workers.", default="as --workers", metavar="N:M", typed=str),
    ] = None
    options: Annotated[
        Mapping[str, object],
        Option(
            "What its engine is told beside this, as it is; may be given several times.",
            default="nothing",
            metavar="KEY=VALUE",
            typed=list[str],
        ),
    ] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse settings that cannot be meant, and have the others in one form."""
        super().__post_init__()
        object.__setattr__(self, "adaptive", Adaptive.of(self.adaptive))
        object.__setattr__(self, "options", given_options(self.options))
        refuse_secrets(self.options)
        if self.workers is not None and self.workers < 1:
            raise SettingsError(
                "A cluster must have at least one worker",
                value=f"workers={self.workers}",
                cure="Give 1 or more",
            )
        if self.workers is not None and self.adaptive is not None:
            raise SettingsError(
                "Workers must be a number, or adaptive between two numbers",
                value=f"workers={self.workers}, adaptive={self.adaptive}",
                cure="Leave one of them out",
            )
        if self.memory is not None:
            check_size("A worker's memory", "memory", self.memory)
        self.check_options()

    def check_options(self) -> None:
        """Refuse options that the engine does not have."""

    @property
    def worker_memory(self) -> int | None:
        """The memory of a worker in bytes; None if nothing is said."""
        return None if self.memory is None else bytes_of(self.memory)

    @property
    def bounds(self) -> Adaptive:
        """Between how many workers there are."""
        number = self.workers or 1
        return self.adaptive or Adaptive(number, number)

    @property
    def limits(self) -> Limits:
        """How long a run is patient: a whole partition may be preempted at a time."""
        usual = super().limits
        return replace(usual, deaths=max(usual.deaths, 4 * self.bounds.maximum))

    def fitted(self, plan: Plan) -> Self:
        """Give workers of which nothing is said the memory that a plan's largest task needs."""
        if self.memory is not None:
            return self
        memory = max(LEAST_MEMORY, PART * plan.costs.task + GIB)
        return replace(self, memory=f"{-(-memory // GIB)}GiB")

    def one(self) -> Self:
        """Return it with a single worker."""
        return replace(self, workers=1, adaptive=None)

    def start(self) -> Engine:
        """Start the engine and its scheduler.

        Raises
        ------
        BkgflowError
            If it cannot be started, and why.
        """
        raise NotImplementedError

    def ask(self, engine: Engine) -> None:
        """Have an engine start workers, and start others where these end."""
        engine.adapt(minimum=self.bounds.minimum, maximum=self.bounds.maximum)

    def end(self, engine: Engine) -> None:
        """End an engine, with all that it has started."""
        engine.close()

    def client_of(self, engine: Engine) -> Client:
        """Return a client of an engine's scheduler."""
        from distributed import Client

        return Client(engine, set_as_default=False)

    @contextmanager
    def open(self) -> Iterator[ClientExecutor]:
        """Start the engine, ask it for workers, and end it afterwards."""
        import dask

        from bkgflow.clusters.client import ClientExecutor
        from bkgflow.clusters.dask_log import quiet
        from bkgflow.clusters.defaults import settled

        with settled(), dask.config.set(dict(self.CONFIGURATION)), quiet():
            engine = self._started()
            try:
                client = self.client_of(engine)
                self.ask(engine)
                executor = ClientExecutor(
                    client,
                    expected=self.bounds.minimum,
                    connect=lambda timeout: self.client_of(engine),
                    limits=self.limits,
                    allow_skew=self.allow_skew,
                )
                try:
                    yield executor
                finally:
                    executor.close()
                    with suppress(Exception):  # its scheduler may be gone
                        client.close(timeout=BEFORE)
            finally:
                self.end(engine)

    def _started(self) -> Engine:
        try:
            return self.start()
        except BkgflowError:
            raise
        except Exception as problem:  # each engine raises what it likes
            raise RunError(
                f"A cluster of the kind {self.WORD} must be able to start",
                value=f"{type(problem).__name__}: {problem}"[:500],
                cure="Mend what it says; bkgflow clusters check tries it with one worker",
            ) from problem
