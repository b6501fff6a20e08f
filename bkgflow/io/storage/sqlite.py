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
    return sqlite3.connect(
        f"{name}?mode={mode}", uri=True, timeout=patience, check_same_thread=False
    )
