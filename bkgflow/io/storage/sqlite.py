"""Databases in a file of a local or shared disk."""

from __future__ import annotations

import sqlite3

from bkgflow.io.storage.location import Location

__all__ = ["sqlite"]


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
