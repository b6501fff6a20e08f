"""A process that dies at a named point between two steps of a product: a crash, at will.

It stands around the system's own calls, so that nothing in bkgflow knows of it. A process is
armed by variables of its environment, which nobody but this module reads; as a module that dask
preloads it arms a worker.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["COMMAND", "DRIVER_POINTS", "POINTS", "arm", "dask_setup", "environment"]

POINT, NUMBER, FLAG = "CRASH_POINT", "CRASH_NUMBER", "CRASH_FLAG"

POINTS = {
    "written": "between write and sync",
    "synced": "between sync and publish",
    "renamed": "between publish and the sync of the folder",
    "published": "between publish and commit",
}
"""Where the process that writes products may die."""

DRIVER_POINTS = {"committing": "before a commit", "committed": "after a commit"}
"""Where the driver may."""

COMMAND = (
    sys.executable,
    "-c",
    "from benchmarks.crash_points import arm; arm(); from bkgflow.cli import main; main()",
)
"""bkgflow's command, armed."""

EXIT = 86
"""The exit code of a crash."""


def environment(point: str, number: int, flag: Path) -> dict[str, str]:
    """Return what arms a process: to die at a point, the so many-th time that it comes there.

    It dies once: the flag, a file, says that it did.
    """
    return {POINT: point, NUMBER: str(number), FLAG: str(flag)}


class _Crash:
    def __init__(self, point: str, number: int, flag: Path) -> None:
        self.point, self.left, self.flag = point, number, flag

    def at(self, point: str) -> None:
        """Die, if this is the point, and its time has come."""
        if point != self.point:
            return
        self.left -= 1
        if self.left > 0:
            return
        try:
            os.close(os.open(self.flag, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return
        os._exit(EXIT)


def arm() -> None:
    """Have this process die where its environment says; without that, never."""
    if POINT not in os.environ:
        return
    crash = _Crash(os.environ[POINT], int(os.environ[NUMBER]), Path(os.environ[FLAG]))
    if crash.point in DRIVER_POINTS:
        _arm_commits(crash)
    else:
        _arm_files(crash)


def _arm_files(crash: _Crash) -> None:
    sync, rename = os.fsync, os.replace
    moved: set[str] = set()

    def synced(descriptor: int) -> None:
        path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        scratch = path.endswith("_bsub.fits")
        if scratch:
            crash.at("written")
        elif path in moved:
            crash.at("renamed")
        sync(descriptor)
        if scratch:
            crash.at("synced")
        elif path in moved:
            moved.discard(path)
            crash.at("published")

    def renamed(source: Any, target: Any, **more: Any) -> None:
        rename(source, target, **more)
        if str(target).endswith("_bsub.fits"):
            moved.add(str(Path(target).parent))

    os.fsync = synced  # type: ignore[assignment]
    os.replace = renamed  # type: ignore[assignment]


def _arm_commits(crash: _Crash) -> None:
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def when(name: str, point: str) -> None:
        told: Callable[..., None] = lambda *_: crash.at(point)  # noqa: E731
        event.listen(Engine, name, told)

    if crash.point == "committing":
        when("commit", "committing")
    else:  # a connection is given back to the pool when its commit has come through
        from sqlalchemy.pool import Pool

        event.listen(Pool, "checkin", lambda *_: crash.at("committed"))


def dask_setup(worker: object) -> None:
    """Arm a worker that preloads this module."""
    arm()
