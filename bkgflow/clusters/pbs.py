"""PBS: workers as its jobs, and the driver of a campaign as one."""

from __future__ import annotations

import shlex
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, ClassVar

from bkgflow.clusters.base import Option
from bkgflow.clusters.batch import Batch, DriverJob, called
from bkgflow.clusters.jobqueue import JobQueue
from bkgflow.clusters.sizing import mebibytes_of
from bkgflow.clusters.walltime import written
from bkgflow.errors import RunError

__all__ = ["Pbs", "PbsSystem"]

SCRIPT = """\
#!/usr/bin/env bash
{header}
{prologue}
cd {folder} || exit
# The driver may be rerun at any time: what is complete is not done again.
exec {command} >> {log} 2>&1
"""
"""The job of a driver."""

STATES = {"Q": "PENDING", "H": "HELD", "W": "WAITING", "R": "RUNNING", "E": "EXITING"}
"""Of jobs that have not ended, in words."""


@dataclass(frozen=True, kw_only=True)
class Pbs(JobQueue):
    """Workers that are jobs of PBS.

    Attributes
    ----------
    resources : str or None
        What a job asks for, as after ``-l``; None for what cores and memory say.
    """

    WORD = "pbs"
    PREFIX = "pbs"
    SHELL = "#PBS"
    ENGINE = "PBSCluster"
    SUMMARY: ClassVar[str] = "pbs (jobs of PBS)"

    resources: Annotated[
        str | None, Option("What a job asks for (-l).", default="cores and memory")
    ] = None

    def arguments(self) -> dict[str, object]:
        """Return what the engine is told."""
        given = {"resource_spec": self.resources} if self.resources else {}
        return given | super().arguments()

    def system(self) -> Batch:
        """Return PBS."""
        return PbsSystem(self)


@dataclass(frozen=True)
class PbsSystem(Batch):
    """PBS, as a campaign's driver needs it."""

    settings: Pbs

    @property
    def system(self) -> str:
        """Its name."""
        return "PBS"

    def script(self, job: DriverJob) -> str:
        """Return the script of a driver's job."""
        of = self.settings
        lines = [
            f"-N {job.name[:15]}",
            "-r y",
            "-j oe",
            "-o /dev/null",
            f"-l select=1:ncpus=1:mem={mebibytes_of(of.driver_memory)}mb",
            *([f"-q {of.queue}"] if of.queue else []),
            *([f"-A {of.account}"] if of.account else []),
            *([f"-l walltime={written(of.driver_walltime)}"] if of.driver_walltime else []),
        ]
        return SCRIPT.format(
            header="\n".join(f"#PBS {each}" for each in lines),
            prologue="\n".join(of.prologue),
            folder=shlex.quote(job.folder),
            command=shlex.join(job.command),
            log=shlex.quote(job.log),
        )

    def submit(self, script: str) -> str:
        """Submit a script; return the job's id."""
        return called(["qsub"], script).strip()

    def state(self, job: str) -> str:
        """Return where a job stands, in a word; empty where PBS knows it no more."""
        with suppress(RunError):  # it says of a job that has ended that there is none
            for line in called(["qstat", "-f", job]).splitlines():
                name, _, value = line.partition("=")
                if name.strip() == "job_state":
                    return STATES.get(value.strip(), "")
        return ""

    def cancel(self, job: str) -> None:
        """Take a job back, or end it."""
        called(["qdel", job])
