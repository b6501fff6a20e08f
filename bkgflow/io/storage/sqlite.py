"""Databases in a file of a local or shared disk."""

from __future__ import annotations

import sqlite3
from contextlib import suppress

from bkgflow.io.storage.location import Location

__all__ = ["forget_log", "sqlite", "which_file"]


def sqlite(location: Location, *, write: bool, patience: float) -> sqlite3.Connection:
    """Connect to a database, which is made if it is not there and is to be written.

    Several threads may use the connection, one after the other.

    Parameters
    ----------
    patience : float
        Seconds to wait for a lock that another process has.
    """
    # Its name may hold anything, and only a URI can say that it is not to be written.
    name, mode = location.path.as_uri(), "rwc" if write else "ro"
    opened = _connected(f"{name}?mode={mode}", patience)
    if write:
        return opened
    try:
        opened.execute("PRAGMA schema_version").close()
    except sqlite3.OperationalError as problem:
        # A write-ahead log wants files beside the database, also of those who only read. On a
        # disk that takes none nobody writes either: the database is whole as it is.
        beside = location.path.with_name(location.path.name + "-wal")
        if problem.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CANTOPEN or beside.exists():
            raise
        opened.close()
        opened = _connected(f"{name}?mode=ro&immutable=1", patience)
    return opened


def _connected(name: str, patience: float) -> sqlite3.Connection:
    return sqlite3.connect(name, uri=True, timeout=patience, check_same_thread=False)


def which_file(location: Location) -> tuple[int, int] | None:
    """Return what tells an open file from another of its name; None where none can be seen.

    SQLite goes on with the file that it has opened.
    """
    try:
        found = location.path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def forget_log(location: Location) -> None:
    """Take the write-ahead log away from beside a database whose own file is gone.

    SQLite would put what is in it into the next file of that name.
    """
    for end in ("-wal", "-shm"):
        with suppress(OSError):
            location.path.with_name(f"{location.name}{end}").unlink()
