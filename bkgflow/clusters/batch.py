"""A batch system, as a campaign's driver needs it: a job is submitted, asked after, and taken back.

Commands of the system are called, as people call them; nothing is kept but a job's id.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bkgflow.errors import RunError, UsageError

__all__ = ["Batch", "DriverJob", "called"]

PATIENCE = 60.0
"""Seconds that a command of a batch system may take."""


@dataclass(frozen=True, slots=True)
class DriverJob:
    """What a driver's job is to do.

    Attributes
    ----------
    name : str
        Of the job, in one word.
    command : tuple of str
        What runs the driver.
    folder : str
        Where it runs.
    log : str
        File that everything it says is appended to.
    """

    name: str
    command: tuple[str, ...]
    folder: str
    log: str


class Batch(Protocol):
    """A batch system."""

    @property
    def system(self) -> str:
        """Its name."""

    def script(self, job: DriverJob) -> str:
        """Return the script of a job that may be requeued at any time: what is done stays done."""

    def submit(self, script: str) -> str:
        """Submit a script; return the job's id.

        Raises
        ------
        RunError
            If the system does not take it, in its own words.
        """

    def state(self, job: str) -> str:
        """Return where a job stands, in the system's own word; empty where it knows none such."""

    def cancel(self, job: str) -> None:
        """Take a job back, or end it."""


def called(words: Sequence[str], given: str = "") -> str:
    """Call a command of a batch system; return what it says.

    Raises
    ------
    UsageError
        If there is no such command on this machine.
    RunError
        If it fails, or says nothing for a minute.
    """
    try:
        done = subprocess.run(
            list(words),
            input=given,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
    except FileNotFoundError:
        raise UsageError(
            "A batch system must have its commands on this machine",
            value=f"no {words[0]} on the PATH",
            cure="Call bkgflow on a login node of the batch system, or compute elsewhere "
            "(--cluster local)",
        ) from None
    except (subprocess.SubprocessError, OSError) as problem:
        said = getattr(problem, "stderr", None) or problem
        raise RunError(
            "A batch system must take what it is asked",
            value=f"{words[0]}: {str(said).strip()[-300:]}",
            cure="Mend what it says, or ask who runs it",
        ) from None
    return done.stdout
