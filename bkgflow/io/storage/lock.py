"""The lock of an output folder: one run at a time, and who it is.

The system holds the lock (``flock``) and gives it up when the process dies, on a network file
system as well. Some of these lock within one host only, or not at all: there the file itself
must tell, by its owner and by its time, which a living run renews.
"""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bkgflow.io.storage.holder import BEAT, LOCK, SILENT, Holder, held_by, not_held
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.owner import Owner, user_name
from bkgflow.io.storage.refused import not_writable

__all__ = ["check_held", "hold", "holder_of"]

NO_LOCKS = {errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL}
"""What a file system answers that knows no locks."""

ATTEMPTS = 20
"""At a lock whose file was taken away by the one that held it, just now."""


@contextmanager
def hold(folder: Location, run: str) -> Iterator[Holder | None]:
    """Hold an output folder for a run; give the dead one whose lock was left, if there was one.

    The folder is made if it is not there, and taken away again if it is left empty.

    Raises
    ------
    OutputError
        If a run that lives holds it, or it cannot be written to.
    """
    if not folder.is_local:
        from bkgflow.io.storage.remote_lock import hold_remote

        with hold_remote(folder, run) as dead:
            yield dead
        return
    path = folder.path / LOCK
    missing = [each for each in (folder.path, *folder.path.parents) if not each.exists()]
    try:
        folder.make_folder()
        descriptor, before = _acquire(path, folder)
    except OSError as problem:
        raise not_writable(folder, problem) from problem
    ended = threading.Event()
    beats = threading.Thread(target=_beat, args=(descriptor, ended), daemon=True)
    try:
        now = time.strftime("%Y-%m-%d %H:%M:%S %z")
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, Holder(run, Owner.me(), user_name(), now).to_json(), 0)
        except OSError as problem:
            raise not_writable(folder, problem) from problem
        beats.start()
        yield before
    finally:
        ended.set()
        with suppress(OSError):
            if _is(descriptor, path):  # not that of a run in a folder which was made anew
                path.unlink()
        if beats.ident is not None:
            beats.join()
        os.close(descriptor)
        with suppress(OSError):
            for each in missing:
                each.rmdir()


def check_held(folder: Location, run: str) -> None:
    """See that a folder is held by a run: what a worker asks before it writes there.

    Raises
    ------
    StorageError
        If not: the run has ended, or this is another folder than its driver's.
    OSError
        If the folder is not there.
    """
    if not folder.is_local:
        from bkgflow.io.storage.remote_lock import check_held_remote

        return check_held_remote(folder, run)
    path = folder.path / LOCK
    # A listing has a network disk look anew; it may remember that no lock was there.
    holder = _read(path) or (_read(path) if path in folder.path.iterdir() else None)
    if holder is None or holder.run != run:
        raise not_held(path, holder)


def holder_of(folder: Location) -> Holder | None:
    """Return who holds a folder and lives, as far as can be told from here; None if nobody does.

    Raises
    ------
    StorageError
        If the store of the folder does not say.
    """
    if not folder.is_local:
        from bkgflow.io.storage.remote_lock import holder_of_remote

        return holder_of_remote(folder)
    path = folder.path / LOCK
    holder = _read(path)
    if holder is None:
        return None
    if holder.owner.here:
        return None if holder.owner.dead else holder
    try:
        return holder if _age(path) < SILENT else None
    except OSError:  # it has just been given up
        return None


def _acquire(path: Path, folder: Location) -> tuple[int, Holder | None]:
    """Return the open file of a lock that is ours, and the dead one that had it."""
    for _ in range(ATTEMPTS):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except PermissionError:  # another user's: it can be taken away, not taken over
            _refuse_living(_read(path), path, folder, locks=False)
            path.unlink()
            continue
        try:
            locks = _lock(descriptor)
            if locks is None:
                raise held_by(_read(path), folder)
            if _is(descriptor, path):
                before = Holder.read(os.pread(descriptor, 1 << 16, 0))
                _refuse_living(before, path, folder, locks=locks)
                return descriptor, before
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise held_by(_read(path), folder)


def _lock(descriptor: int) -> bool | None:
    """Take the system's lock: None if another process has it, False if there is no such thing."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    except OSError as problem:
        if problem.errno not in NO_LOCKS:
            raise
        return False
    return True


def _refuse_living(before: Holder | None, path: Path, folder: Location, *, locks: bool) -> None:
    """Refuse a folder whose lock names a run that may live, for all that the system says."""
    if before is None:
        return
    if before.owner.here:
        if not locks and not before.owner.dead:
            raise held_by(before, folder)
    elif _age(path) < SILENT:
        raise held_by(before, folder)


def _read(path: Path) -> Holder | None:
    try:
        return Holder.read(path.read_bytes())
    except OSError:
        return None


def _age(path: Path) -> float:
    """Return the seconds since a file was last written, by the clock of its own disk.

    Where nothing may be written there, by that of this machine.
    """
    try:
        with tempfile.TemporaryFile(dir=path.parent) as written:
            now = os.fstat(written.fileno()).st_mtime
    except OSError:
        now = time.time()
    return now - path.stat().st_mtime


def _is(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one with this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _beat(descriptor: int, ended: threading.Event) -> None:
    while not ended.wait(BEAT):
        with suppress(OSError):
            os.utime(descriptor)
