"""Tasks that tests have workers compute; a worker imports them from here."""

from __future__ import annotations

import errno
import logging
import os
import signal
import time
from pathlib import Path

from distributed import get_worker

from bkgflow.errors import InputError
from bkgflow.graph.finish import Finished
from bkgflow.verdict import State, Verdict

held: list[bytes] = []
"""What a worker process cannot give back."""


def end_after(seconds: float, *upstream: object) -> Finished:
    """End well, after a while."""
    time.sleep(seconds)
    return Finished(Verdict(State.COMPLETE), ())


def end_on_worker(seconds: float, *upstream: object) -> Finished:
    """End well, after a while, and say where."""
    time.sleep(seconds)
    return Finished(Verdict(State.COMPLETE, get_worker().address), ())


def too_large() -> Finished:
    """Ask for more memory than there is."""
    raise MemoryError


def kills(*upstream: object) -> Finished:
    """Kill the worker process, as the system does when there is no memory left."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def dies_once(mark: str, *upstream: object) -> Finished:
    """Kill the worker process the first time, and end well the second."""
    if not Path(mark).exists():
        Path(mark).touch()
        kills()
    return Finished(Verdict(State.COMPLETE), ())


def ballast(mib: int) -> None:
    """Take memory for good."""
    held.append(os.urandom(1 << 20) * mib)


def takes(mib: int, seconds: float, *upstream: object) -> Finished:
    """Hold memory for a while, and end well."""
    kept = b"\1" * (mib << 20)
    time.sleep(seconds)
    assert len(kept) == mib << 20
    return Finished(Verdict(State.COMPLETE), ())


def band_that_takes(mib: int, seconds: float, divisor: int) -> int:
    """A part of a shared result that holds less where it was told to; return the divisor."""
    takes(mib // divisor, seconds)
    return divisor


def ends_with(*upstream: object) -> Finished:
    """End well, and say what was shared."""
    return Finished(Verdict(State.COMPLETE, f"with {upstream}"), ())


def fails_at_first(marks: str, number: int, *upstream: object) -> Finished:
    """Fail as a network's disk does, so many times, and then end well."""
    folder = Path(marks)
    folder.mkdir(exist_ok=True)
    done = len(list(folder.iterdir()))
    if done < number:
        (folder / str(done)).touch()
        raise OSError(errno.EIO, "Input/output error")
    return Finished(Verdict(State.COMPLETE), ())


def logs(text: str, seconds: float = 0.0) -> Finished:
    """Say something to the log of the worker, and end in FAILED."""
    logging.getLogger("bkgflow.tests").warning(text)
    time.sleep(seconds)
    raise InputError("An input must be good", value="bad", cure="Mend it")
