"""Workers as jobs of a batch system, through dask-jobqueue: what all systems have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Protocol, Self

from bkgflow.clusters.base import Option, options_of
from bkgflow.clusters.batch import Batch, DriverJob
from bkgflow.clusters.engine import ENVIRONMENT, LEAST_MEMORY, Engine, Started
from bkgflow.clusters.options import (
    arguments_of,
    engine_of,
    given_options,
    lines_of,
    refuse_secrets,
    refuse_unknown,
)
from bkgflow.clusters.ours import OF_JOBS, OF_SCHEDULERS, OF_WORKERS, refuse_ours
from bkgflow.clusters.sizing import check_size
from bkgflow.clusters.walltime import lifetime_of, seconds_of, written
from bkgflow.errors import SettingsError
from bkgflow.io.storage.location import Location

if TYPE_CHECKING:
    from bkgflow.planning.plan import Plan

__all__ = ["DRIVERS", "JobEngine", "JobQueue"]

EXTRA = "slurm"
"""What is to be installed; the same library speaks to all batch systems."""

DRIVERS = ("job", "here")
"""Where the driver of a campaign runs that is submitted."""

OURS = frozenset({
    "asynchronous", "cores", "dashboard_address", "extra", "header_skip", "host", "job_cls",
    "job_extra", "env_extra", "loop", "memory", "n_workers", "name", "processes", "project",
    "scheduler", "scheduler_cls", "security", "silence_logs",
})  # fmt: skip
"""What the library is told by us, or does not want to hear any more."""

HOUR = 3600.0

JOBS = "bkgflow-jobs"
"""Name of the folder in an output folder where it is kept what jobs say."""


class JobEngine(Engine, Protocol):
    """A cluster object of dask-jobqueue."""

    def job_script(self) -> str:
        """Return the script of a worker's job."""


@dataclass(frozen=True, kw_only=True)
class JobQueue(Started):
    """Workers that are jobs of a batch system; the scheduler runs in the driver.

    Attributes
    ----------
    queue, account : str or None
        Where jobs wait, and on whose account they run; None for the system's own choice.
    walltime : str or int
        How long a job may take, "HH:MM:SS". Its worker leaves in order some minutes before.
    cores, processes : int
        Threads that compute in a job, and the worker processes that have them.
    interface : str or None
        The network interface by which driver and workers reach each other; nothing listens on
        any other. Without it the scheduler listens at this host's own address, and a worker at
        all of its host's.
    tls : bool
        Whether scheduler, workers and driver speak TLS, with certificates that are made for the
        run: else everybody on that network could have the workers do what they like.
    prologue : sequence of str
        Lines of a job's script before the worker is started: modules, an environment.
    directives : sequence of str
        More lines for the batch system, without the word at their beginning.
    logs : str or None
        Folder for what jobs say; None for ``bkgflow-jobs`` in the output folder.
    scratch : str or None
        Folder on a node's own disk, for what a worker writes there; None for ``TMPDIR``.
    python : str or None
        The Python of the workers; None for the one of this process.
    driver : "job" or "here"
        Where ``bkgflow submit`` has the driver run.
    driver_walltime : str, int or None
        How long a job of the driver may take before it is requeued; None for the queue's own.
    driver_memory : str
        Of such a job.
    """

    SHELL: ClassVar[str]
    ENGINE: ClassVar[str]
    CONFIGURATION: ClassVar[Mapping[str, object]] = {
        # A job that ends is replaced when its worker has been away for so long.
        "distributed.deploy.lost-worker-timeout": "5 seconds",
    }

    wait: Annotated[
        float,
        Option("Seconds to wait for workers, or for a scheduler that went away.", default="60"),
    ] = HOUR
    queue: Annotated[str | None, Option("Queue of the jobs.", default="the system's")] = None
    account: Annotated[str | None, Option("Account of the jobs.", default="the system's")] = None
    walltime: Annotated[
        str | int,
        Option("Time of a job.", default="01:00:00", metavar="HH:MM:SS", typed=str | None),
    ] = "01:00:00"
    cores: Annotated[int, Option("Threads of a job.", default="1", least=1, typed=int | None)] = 1
    processes: Annotated[
        int | None, Option("Workers of a job.", default="one per thread", least=1)
    ] = None
    interface: Annotated[
        str | None, Option("Network interface that is used.", default="this host's address")
    ] = None
    tls: Annotated[
        bool, Option("Whether all speak TLS: on or off.", default="on", typed=str | None)
    ] = True
    prologue: Annotated[
        Sequence[str],
        Option(
            "A line of a job's script before its worker; may be given several times.",
            default="none",
            metavar="LINE",
            typed=list[str],
        ),
    ] = ()
    directives: Annotated[
        Sequence[str],
        Option(
            "A line for the batch system; may be given several times.",
            default="none",
            metavar="WORDS",
            typed=list[str],
        ),
    ] = ()
    logs: Annotated[
        str | None, Option("Folder for what jobs say.", default="in the output", metavar="DIR")
    ] = None
    scratch: Annotated[
        str | None, Option("Folder on a node's own disk.", default="TMPDIR", metavar="DIR")
    ] = None
    python: Annotated[
        str | None, Option("Python of the workers.", default="this one", metavar="FILE")
    ] = None
    driver: Annotated[
        str,
        Option(
            f"Where a submitted driver runs: {' or '.join(DRIVERS)}.",
            default=DRIVERS[0],
            typed=str | None,
        ),
    ] = DRIVERS[0]
    driver_walltime: Annotated[
        str | int | None,
        Option("Time of the driver's job.", default="the queue's", metavar="TIME", typed=str),
    ] = None
    driver_memory: Annotated[
        str,
        Option("Memory of the driver's job.", default="4GiB", metavar="SIZE", typed=str | None),
    ] = "4GiB"

    def __post_init__(self) -> None:
        """Refuse settings that cannot be meant."""
        super().__post_init__()
        for name in ("prologue", "directives"):
            object.__setattr__(self, name, lines_of(name, getattr(self, name)))
        refuse_secrets(self.prologue, self.directives)
        check_size("The memory of the driver's job", "driver_memory", self.driver_memory)
        for each in (self.walltime, self.driver_walltime):
            if each is not None:
                seconds_of(each)
        if self.driver not in DRIVERS:
            raise SettingsError(
                f"A submitted driver must run in one of: {', '.join(DRIVERS)}",
                value=f"driver={self.driver}",
                cure="Give job for a job of the batch system, or here for a process of this host",
            )
        if (
            min(self.cores, self.workers_of_a_job) < 1
            or self.threads * self.workers_of_a_job != self.cores
        ):
            raise SettingsError(
                "The threads of a job must be shared evenly by its workers",
                value=f"cores={self.cores}, processes={self.processes}",
                cure="Give cores that are a multiple of processes",
            )

    def fitted(self, plan: Plan) -> Self:
        """Have the memory that a plan needs, and what jobs say beside its products."""
        from bkgflow.io.storage.mirror import own_folder

        made = super().fitted(plan)
        if made.logs is None:
            made = replace(made, logs=str(own_folder(plan.output) / JOBS))
        return made

    def last_words(self) -> str:
        """Return what the job said last that was the last to say anything; empty where none did."""
        from bkgflow.io.storage.handed import newest_words

        return newest_words(Location.of(self.logs)) if self.logs else ""

    def check_options(self) -> None:
        """Refuse options that the engine does not have, or that would replace a setting."""
        if not self.options:
            return
        settings = options_of(type(self))
        theirs = {name: to for name, to in OF_JOBS.items() if not to or to in settings}
        refuse_ours(self.options, {each: each for each in settings} | theirs)
        where = "docs/clusters.md lists them"
        refuse_unknown(self.WORD, self.options, self.known(), where, settings)
        words = " ".join(self._lines("worker_extra_args")).replace("=", " ").split()
        refuse_ours(words, OF_WORKERS, "worker_extra_args")
        listens = given_options(self.options.get("scheduler_options"))
        refuse_ours(listens, OF_SCHEDULERS, "scheduler_options")

    @classmethod
    def known(cls) -> set[str]:
        """Return the names of everything that the engine may be told."""
        library = engine_of("dask_jobqueue", EXTRA, cls.WORD)
        engine, job = getattr(library, cls.ENGINE), getattr(library, cls.ENGINE).job_cls
        calls = [each.__init__ for each in (*engine.__mro__[:2], *job.__mro__[:2])]
        return arguments_of(*calls) - OURS

    @property
    def workers_of_a_job(self) -> int:
        """How many worker processes a job has."""
        return self.processes or self.cores

    @property
    def threads(self) -> int:
        """How many threads a worker has."""
        return self.cores // self.workers_of_a_job

    def arguments(self) -> dict[str, object]:
        """Return what the engine is told.

        Workers have a nanny, which starts one again that dies of its memory; give up where they
        find no scheduler; and leave in order before the time of their job is over.
        """
        from bkgflow.clusters.own import PRELOAD

        memory = self.worker_memory or LEAST_MEMORY
        words = ["--dashboard-address", "127.0.0.1:0"]
        for module in (*PRELOAD, "bkgflow.clusters.on_job"):
            words += ["--preload", module]
        if lifetime := lifetime_of(self.walltime):
            words += ["--lifetime", f"{lifetime[0]}s", "--lifetime-stagger", f"{lifetime[1]}s"]
        told: dict[str, object] = {
            "job_name": "bkgflow-worker",
            "queue": self.queue,
            "account": self.account,
            "walltime": written(self.walltime),
            "cores": self.cores,
            "processes": self.workers_of_a_job,
            "memory": f"{memory * self.workers_of_a_job}B",
            "interface": self.interface,
            "nanny": True,
            "death_timeout": 120,
            "log_directory": self.logs,
            "local_directory": self.scratch,
        }
        if self.python:
            told["python"] = self.python
        if self.tls:
            told |= {"protocol": "tls://", "shared_temp_directory": self.logs}
        fixed = [f"export {name}={value}" for name, value in ENVIRONMENT.items()]
        listens = self._scheduler() | given_options(self.options.get("scheduler_options"))
        merged = {
            "job_script_prologue": [*fixed, *self.prologue, *self._lines("job_script_prologue")],
            "job_extra_directives": [*self.directives, *self._lines("job_extra_directives")],
            "worker_extra_args": [*words, *self._lines("worker_extra_args")],
            "scheduler_options": listens,
        }
        return told | dict(self.options) | merged

    def _lines(self, option: str) -> tuple[str, ...]:
        """Return the lines of an option, which come after ours."""
        return lines_of(option, self.options.get(option) or ())

    def _scheduler(self) -> dict[str, object]:
        """Return where the scheduler listens: where workers come from, and nowhere else."""
        from distributed.utils import get_ip

        where = {"interface": self.interface} if self.interface else {"host": get_ip()}
        return {**where, "dashboard_address": "127.0.0.1:0"}

    def start(self) -> JobEngine:
        """Start a scheduler in this process; jobs are submitted when workers are asked for."""
        from bkgflow.clusters.security import temporary

        library = engine_of("dask_jobqueue", EXTRA, self.WORD)
        if self.logs:
            Location.of(self.logs).make_folder()
        security = {"security": temporary()} if self.tls else {}
        made: JobEngine = getattr(library, self.ENGINE)(**self.arguments(), **security)
        return made

    def job_script(self) -> str:
        """Return the script of a worker's job; nothing is submitted."""
        library = engine_of("dask_jobqueue", EXTRA, self.WORD)
        told = {
            name: each
            for name, each in self.arguments().items()
            if name not in {"scheduler_options", "shared_temp_directory"}
        }
        made = getattr(library, self.ENGINE).job_cls
        where = f"{'tls' if self.tls else 'tcp'}://SCHEDULER:PORT"
        return str(made(where, name="WORKER", **told).job_script())

    def rendered(self) -> dict[str, str]:
        """Return the scripts of a worker's job, and of the driver's."""
        found = {"The job of a worker": self.job_script()}
        if batch := self.batch():
            job = DriverJob("bkgflow-OUTPUT", ("DRIVER",), "FOLDER", "OUTPUT/bkgflow-driver.log")
            found["The job of a driver that is submitted"] = batch.script(job)
        return found

    def batch(self) -> Batch | None:
        """Return the batch system, where the driver is to be one of its jobs."""
        return self.system() if self.driver == DRIVERS[0] else None

    def system(self) -> Batch:
        """Return the batch system."""
        raise NotImplementedError
