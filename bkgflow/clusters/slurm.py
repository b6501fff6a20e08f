"""SLURM: workers as its jobs, and the driver of a campaign as one."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import ClassVar

from bkgflow.clusters.batch import Batch, DriverJob, called
from bkgflow.clusters.jobqueue import JobQueue
from bkgflow.clusters.sizing import mebibytes_of
from bkgflow.clusters.walltime import written

__all__ = ["Slurm", "SlurmSystem"]

NOTICE = 300
"""Seconds before the end of a job in which its driver ends its run in order."""

SCRIPT = """\
#!/usr/bin/env bash
{header}
{prologue}
cd {folder} || exit
# The driver may be requeued at any time: what is complete is not done again. Before its time is
# over (USR1) it ends its run in order, and asks for its job to be queued anew.
again=
trap 'again=1; kill -TERM "$driver"' USR1
trap 'kill -TERM "$driver"' TERM INT
{command} &
driver=$!
wait "$driver"
while kill -0 "$driver" 2>/dev/null; do wait "$driver"; done
wait "$driver"
code=$?
if [ -n "$again" ] && [ "$code" -eq 143 ]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit "$code"
"""
"""The job of a driver."""


@dataclass(frozen=True, kw_only=True)
class Slurm(JobQueue):
    """Workers that are jobs of SLURM."""

    WORD = "slurm"
    PREFIX = "slurm"
    SHELL = "#SBATCH"
    ENGINE = "SLURMCluster"
    SUMMARY: ClassVar[str] = "slurm (jobs of SLURM)"

    def system(self) -> Batch:
        """Return SLURM."""
        return SlurmSystem(self)


@dataclass(frozen=True)
class SlurmSystem(Batch):
    """SLURM, as a campaign's driver needs it."""

    settings: Slurm

    @property
    def system(self) -> str:
        """Its name."""
        return "SLURM"

    def script(self, job: DriverJob) -> str:
        """Return the script of a driver's job."""
        of = self.settings
        lines = [
            f"-J {shlex.quote(job.name)}",
            f"-o {shlex.quote(job.log.replace('%', '%%'))}",
            "--open-mode=append",
            "--requeue",
            f"--signal=B:USR1@{NOTICE}",
            "-n 1",
            "--cpus-per-task=1",
            f"--mem={mebibytes_of(of.driver_memory)}M",
            *([f"-p {of.queue}"] if of.queue else []),
            *([f"-A {of.account}"] if of.account else []),
            *([f"-t {written(of.driver_walltime)}"] if of.driver_walltime else []),
        ]
        return SCRIPT.format(
            header="\n".join(f"#SBATCH {each}" for each in lines),
            prologue="\n".join(of.prologue),
            folder=shlex.quote(job.folder),
            command=shlex.join(job.command),
        )

    def submit(self, script: str) -> str:
        """Submit a script; return the job's id."""
        return called(["sbatch", "--parsable"], script).strip().partition(";")[0]

    def state(self, job: str) -> str:
        """Return where a job stands: PENDING, RUNNING, …; empty where SLURM knows it no more."""
        listed = called(["squeue", "--noheader", "--all", "--format=%i %T"]).split("\n")
        states = dict(line.split(maxsplit=1) for line in listed if " " in line.strip())
        found = states.get(job, "").strip()
        return "" if found in ENDED else found

    def cancel(self, job: str) -> None:
        """Take a job back, or end it."""
        called(["scancel", job])


ENDED = frozenset({"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL",
                   "OUT_OF_MEMORY", "TIMEOUT"})  # fmt: skip
"""States of jobs that SLURM lists for a while after their end."""
