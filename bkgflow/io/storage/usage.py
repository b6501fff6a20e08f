"""What a thread has read and written, and what its process has held, as the system counts it."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

__all__ = ["Usage", "forget_peak", "usage"]

PROCESSES = Path("/proc")
"""Where Linux tells it; elsewhere only the peak is known, of all the time since the start."""

FORGET = "5"
"""What resets the peak of a process."""


class Usage(NamedTuple):
    """Bytes that this thread has read and written, and the most that its process has held.

    -1 where the system does not say.
    """

    read: int
    written: int
    peak: int


def forget_peak() -> None:
    """Let the peak begin anew, where the system can."""
    with suppress(OSError):
        PROCESSES.joinpath("self", "clear_refs").write_text(FORGET, encoding="ascii")


def usage() -> Usage:
    """Return what the system has counted until now."""
    try:
        counts = _fields("thread-self/io")
        held = _fields("self/status")
        return Usage(counts["rchar"], counts["wchar"], held["VmHWM"] << 10)
    except (OSError, KeyError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return Usage(-1, -1, peak if sys.platform == "darwin" else peak << 10)


def _fields(name: str) -> dict[str, int]:
    """Read lines such as ``VmHWM:   1234 kB``."""
    found: dict[str, int] = {}
    for line in PROCESSES.joinpath(name).read_text(encoding="ascii", errors="replace").splitlines():
        word, _, rest = line.partition(":")
        number = rest.split()[:1]
        if number and number[0].isdecimal():
            found[word] = int(number[0])
    return found
