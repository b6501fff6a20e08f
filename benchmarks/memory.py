"""How much memory this process and those it started hold, and held at the most."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["Peak", "Watch", "trim"]

RESET_PEAK = "5"
"""What resets a process's VmHWM when written to its clear_refs (Linux, man 5 proc)."""


@dataclass(frozen=True, slots=True)
class Peak:
    """Bytes at the most: of all processes added up, of the largest, above the start."""

    total: int
    largest: int
    increase: int


class Watch:
    """Watches the memory of this process and its descendants from now on.

    The peak of a process is the kernel's own high-water mark (VmHWM), which is set back at the
    start; ``ru_maxrss`` would not do, for a process inherits its parent's. What the allocator
    keeps for later counts as held: see `trim`.
    """

    def __init__(self) -> None:
        gc.collect()
        self.before: dict[int, int] = {}
        for process in _family():
            _reset_peak(process)
            self.before[process] = _status(process, "VmRSS")

    def peak(self) -> Peak:
        """Return the peaks since the start."""
        peaks = {process: _status(process, "VmHWM") for process in _family()}
        total = sum(peaks.values())
        return Peak(total, max(peaks.values()), total - sum(self.before.values()))


def trim() -> None:
    """Give free memory back to the system, where the C library can."""
    gc.collect()
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def _family() -> list[int]:
    own = psutil.Process()
    return [own.pid, *(child.pid for child in own.children(recursive=True))]


def _reset_peak(process: int) -> None:
    with suppress(OSError):  # it has just ended
        Path(f"/proc/{process}/clear_refs").write_text(RESET_PEAK, encoding="ascii")


def _status(process: int, name: str) -> int:
    """Read one size of /proc/<process>/status, in bytes; 0 for a process that has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    for line in lines:
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0
