"""Marks and locks beside numba's cache: the only file in this room that touches files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import locket

__all__ = ["is_locked", "is_marked", "locked", "mark"]


def is_marked(path: Path, text: str) -> bool:
    """Whether a mark is there and says this."""
    try:
        return path.read_text() == text
    except OSError:
        return False


def mark(path: Path, text: str) -> bool:
    """Leave a mark; return whether that was possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError:
        return False
    return True


def is_locked(path: Path) -> bool:
    """Whether another process held a lock a moment ago."""
    lock = locket.lock_file(str(path), timeout=0)
    try:
        lock.acquire()
    except locket.LockError:
        return True
    except OSError:  # nobody can
        return False
    lock.release()
    return False


@contextmanager
def locked(path: Path, wait: Callable[[], object]) -> Iterator[None]:
    """Hold a lock that other processes wait for; ``wait`` is called before waiting.

    The system gives up the lock of a process that died. Where files cannot be locked at all
    there is no lock: then several may do the same work, and nothing worse.
    """
    lock = None
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = locket.lock_file(str(path), timeout=0)
        try:
            lock.acquire()
        except locket.LockError:
            wait()
            lock = locket.lock_file(str(path))
            lock.acquire()
    try:
        yield
    finally:
        if lock is not None:
            lock.release()
