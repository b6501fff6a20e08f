"""How many files this process may have open, and what is done where that is not enough."""

from __future__ import annotations

import errno
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["TOO_MANY", "open_limit", "raise_limit", "room_for"]

TOO_MANY = {errno.EMFILE, errno.ENFILE}
"""What the system answers when too many files are open: in this process, or on the machine."""

ASKED = (1 << 20, 1 << 16, 10240)
"""Limits to ask for where the hard one is none: some systems have one that they do not tell."""

_lock = threading.Lock()
_held = [0]


def open_limit() -> int:
    """Return how many files this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(ASKED) if soft == resource.RLIM_INFINITY else soft


def raise_limit() -> bool:
    """Raise the soft limit on open files as far as the hard one; return whether it grew."""
    before = open_limit()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return False
    for wanted in ASKED if hard == resource.RLIM_INFINITY else (hard,):
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            break
    return open_limit() > before


@contextmanager
def room_for(wanted: int) -> Iterator[int]:
    """Give how many of so many files may be held open for a while, at least none.

    All tasks of this process together hold at most half of what it may: the rest is for
    connections, products, and the files that are opened only for each read.
    """
    with _lock:
        room = open_limit() // 2 - _held[0]
        if room < wanted and raise_limit():
            room = open_limit() // 2 - _held[0]
        granted = max(0, min(wanted, room))
        _held[0] += granted
    try:
        yield granted
    finally:
        with _lock:
            _held[0] -= granted
