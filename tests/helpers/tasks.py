"""Tasks that tests have workers compute; a worker imports them from here."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from distributed import get_worker

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
