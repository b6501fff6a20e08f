"""What a database says when it does not do what it is asked: for people, and whether to go on."""

from __future__ import annotations

import sqlite3
from enum import Enum, auto

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
)

from bkgflow.errors import LedgerError

__all__ = [
    "NO_LEDGER",
    "Hope",
    "damaged",
    "hope_of",
    "not_usable",
    "unexpected",
]

NO_LEDGER = "A campaign must have its ledger"

DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

HINDERED = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM}

FULL = "53100"
"""What PostgreSQL calls a full disk."""


class Hope(Enum):
    """Whether the same may succeed when it is tried again."""

    GOOD = auto()
    """Somebody else has the lock, or the server is away."""
    FAINT = auto()
    """Only if somebody makes room on a disk, or lets it be written to."""
    NONE = auto()


def hope_of(problem: DBAPIError) -> Hope:
    """Return whether a database may answer when it is asked again."""
    if problem.connection_invalidated:
        return Hope.GOOD
    if isinstance(problem, IntegrityError | DataError | ProgrammingError | NotSupportedError):
        return Hope.NONE
    code = _code(problem)
    if code in DAMAGED:
        return Hope.NONE
    faint = code in HINDERED or getattr(problem.orig, "sqlstate", None) == FULL
    return Hope.FAINT if faint else Hope.GOOD


def not_usable(problem: DBAPIError, where: str) -> LedgerError:
    """Return what bkgflow says of an error of the database."""
    said = (str(problem.orig or problem).strip() or type(problem.orig).__name__).splitlines()[0]
    code = _code(problem)
    if code in DAMAGED:
        return damaged(where, said)
    if code == sqlite3.SQLITE_CANTOPEN:
        return LedgerError(
            NO_LEDGER,
            file=where,
            value="it cannot be opened: no such file, or this user may not",
            cure="Give the output folder of a campaign, or run one; or give a ledger that may be "
            "written (--ledger)",
        )
    if hope_of(problem) == Hope.NONE:
        return unexpected(problem, where)
    return LedgerError(
        "A ledger must answer",
        file=where,
        value=said,
        cure="Mend what the database says, and run again: what is complete is not done again",
    )


def unexpected(problem: Exception, where: str) -> LedgerError:
    """Return what bkgflow says of an error that no database should make."""
    told = problem.orig if isinstance(problem, DBAPIError) else problem
    return LedgerError(
        "A ledger must take what a run does",
        file=where,
        value=f"{type(told).__name__}: {told}"[:300],
        cure="Run again; if it fails again, report it with the log",
    )


def damaged(where: str, said: object) -> LedgerError:
    """Return what bkgflow says of a ledger that is not whole."""
    return LedgerError(
        "A ledger must be whole",
        file=where,
        value=said,
        cure="Make it again from the products: bkgflow rebuild OUT",
    )


def _code(problem: DBAPIError) -> int | None:
    """Return SQLite's code of an error, without what it adds to say more exactly; else None."""
    found = getattr(problem.orig, "sqlite_errorcode", None)
    return None if found is None else int(found) & 0xFF
