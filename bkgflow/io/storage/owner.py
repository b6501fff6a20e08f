"""Whose a file is: a process, named so that others can tell whether it still lives."""

from __future__ import annotations

import getpass
import os
import re
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["Owner", "user_name"]

PROCESSES = Path("/proc")
"""Where Linux tells when a process was started; elsewhere its number alone must do."""

WRITTEN = re.compile(r"(?P<pid>\d+)\.(?P<started>\d+)\.(?P<space>\d+)@(?P<host>[^/]+)")

STARTED_FIELD = 19
"""Of the words behind a process's name in /proc/PID/stat: its start in ticks since the boot."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A process.

    Attributes
    ----------
    started : int
        When, in the system's own count; 0 where it does not say. A number that is given to a
        second process is told by it.
    space : int
        Which processes can see each other by their numbers: containers of one host have a space
        each. 0 where the system has none.
    """

    host: str
    pid: int
    started: int = 0
    space: int = 0

    @classmethod
    def me(cls) -> Owner:
        """Return this process."""
        pid = os.getpid()
        return cls(socket.gethostname(), pid, _started(pid) or 0, _space())

    def __str__(self) -> str:
        """Return it as it stands in names of files."""
        return f"{self.pid}.{self.started}.{self.space}@{self.host}"

    @classmethod
    def read(cls, text: str) -> Owner | None:
        """Return the process that was written so; None if it is none."""
        found = WRITTEN.fullmatch(text)
        if found is None:
            return None
        return cls(found["host"], int(found["pid"]), int(found["started"]), int(found["space"]))

    @property
    def here(self) -> bool:
        """Whether this process would see it, if it lived."""
        return self.host == socket.gethostname() and self.space == _space()

    @property
    def dead(self) -> bool:
        """Whether it has certainly ended; of what cannot be seen from here nobody knows."""
        if not self.here:
            return False
        try:
            os.kill(self.pid, 0)  # sends nothing, and asks whether something could be sent
        except ProcessLookupError:
            return True
        except (PermissionError, OverflowError):
            pass  # somebody else's
        return bool(self.started) and _started(self.pid) not in {self.started, 0}

    def kill(self) -> None:
        """End it here and now, if it is a process of this machine that may be ended from here."""
        if self.here and not self.dead:
            with suppress(OSError):
                os.kill(self.pid, signal.SIGKILL)

    @property
    def words(self) -> str:
        """Return it as a user should read it."""
        return f"process {self.pid} on {self.host}"


def _started(pid: int) -> int | None:
    """Return when a process was started; 0 where the system does not say, None if it is gone."""
    if not PROCESSES.joinpath("self").exists():
        return 0
    try:
        text = PROCESSES.joinpath(str(pid), "stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError:
        return 0
    state, *fields = text.rpartition(")")[2].split()  # its name may hold anything
    return None if state in {"Z", "X"} else int(fields[STARTED_FIELD - 1])


@cache
def _space() -> int:
    try:
        return PROCESSES.joinpath("self", "ns", "pid").stat().st_ino
    except OSError:
        return 0


def user_name() -> str:
    """Return the user of this process: the name, or the number where a container gives none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())
