"""Whether what a run has put into a ledger is where the next one looks for it.

SQLite goes on writing into a file that was removed, or whose name another one has taken, and
nobody would ever find what it wrote.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from sqlalchemy.engine import URL

from bkgflow.campaign.ledger.opening import Database, open_database
from bkgflow.campaign.ledger.reader import Reader
from bkgflow.errors import LedgerError
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.publish import LocalPublish
from bkgflow.io.storage.sqlite import forget_log, which_file

__all__ = ["see_that_it_lasts"]


def see_that_it_lasts(
    database: Database, output: Location, campaign: str, run: str
) -> Iterator[str]:
    """See that a ledger has the end of a run for whoever opens it; give what was done for that.

    A file that was removed is written again, out of what the open one has.

    Raises
    ------
    LedgerError
        If it has not, and cannot have.
    OutputError
        If it cannot be written again.
    """
    if database.engine.dialect.name != "sqlite":
        return
    file = Location.of(database.where)
    if which_file(file) is None:
        _written_again(database, file)
        yield f"the ledger {file} was removed while the run went on, and was written again"
    elif database.replaced:
        raise _replaced(file)
    if not _has_end(file, output, campaign, run):
        raise _replaced(file)


def _replaced(file: Location) -> LedgerError:
    return LedgerError(
        "A ledger must stay where it is while a run goes on",
        file=file,
        value="another file, which does not have the end of the run",
        cure="Let nobody replace it, and run again: what it does not know is done again",
    )


def _has_end(file: Location, output: Location, campaign: str, run: str) -> bool:
    there = open_database(URL.create("sqlite", database=str(file)), write=False)
    try:
        runs = Reader(there, campaign, output).runs()
    finally:
        there.close()
    return any(row.run == run and row.ended is not None for row in runs)


def _written_again(database: Database, file: Location) -> None:
    draft = LocalPublish().prepare(file)
    try:
        with database.engine.connect() as connection:
            # Not within a transaction, such as any other statement would begin.
            connection.connection.cursor().execute("VACUUM INTO ?", (str(draft.path),))
    except sqlite3.Error as problem:
        draft.discard()
        raise LedgerError(
            "A ledger must stay where it is while a run goes on",
            file=file,
            value=f"it was removed, and cannot be written again: {problem}",
            cure="Let nobody remove it; make it again from the products: bkgflow rebuild OUT",
        ) from None
    forget_log(file)
    draft.publish()
