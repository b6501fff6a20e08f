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


NO_RIGHT = {"42501", "3F000"}
"""What it calls rights that somebody lacks, and that no schema is left in which he has any."""

NO_OPTION = "invalid connection option"
"""How its library says that it does not know a word behind the question mark of a URL."""


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
    faint = code in HINDERED or _sqlstate(problem) == FULL
    return Hope.FAINT if faint else Hope.GOOD


def not_usable(problem: DBAPIError, where: str) -> LedgerError:
    """Return what bkgflow says of an error of the database."""
    said = _first_line(problem.orig or problem)
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
    if _sqlstate(problem) in NO_RIGHT:
        return LedgerError(
            "A ledger must let its user make tables and write to them",
            file=where,
            value=said,
            cure="Give a database of your own, or have the owner of this one grant what is "
            "missing: GRANT USAGE, CREATE ON SCHEMA public TO USER, and, where the tables are "
            "there already, GRANT ALL ON ALL TABLES IN SCHEMA public TO USER",
        )
    if said.startswith(NO_OPTION):
        return LedgerError(
            "A ledger's URL must have no option that PostgreSQL does not know",
            file=where,
            value=said,
            cure="Leave it out, or correct it, in what stands behind the question mark",
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
        value=f"{type(told).__name__}: {_first_line(told)}"[:300],
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


def _first_line(problem: BaseException | None) -> str:
    """Return what an error says, without the lines that show the statement."""
    return (str(problem).strip() or type(problem).__name__).splitlines()[0]


def _sqlstate(problem: DBAPIError) -> str | None:
    """Return PostgreSQL's code of an error; None where it has none."""
    return getattr(problem.orig, "sqlstate", None)


def _code(problem: DBAPIError) -> int | None:
    """Return SQLite's code of an error, without what it adds to say more exactly; else None."""
    found = getattr(problem.orig, "sqlite_errorcode", None)
    return None if found is None else int(found) & 0xFF
