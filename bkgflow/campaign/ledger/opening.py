"""Opening a ledger: where it is, whether it is whole, and of which version.

SQLite's write-ahead log lets others read while the driver writes, but it needs memory that all
processes share: on a disk of the network it would be damaged in time. There the older journal is
used, and everybody waits longer for a lock.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import QueuePool

from bkgflow.campaign.ledger.schema import HEAD, tables
from bkgflow.errors import LedgerError, UsageError
from bkgflow.io.storage.disks import is_network_disk
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.sqlite import sqlite

__all__ = ["LEDGER", "Database", "database_of", "not_usable", "open_database"]

LEDGER = "bkgflow-ledger.sqlite"
"""Name of the file in an output folder, where no other place is told."""

PATIENCE, NETWORK_PATIENCE = 10.0, 60.0
"""Seconds that are waited for a lock which another process has."""

DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
"""What people write before ``://``, and what reaches the database."""

WHOLE = "ok"
"""What SQLite says of a file that is whole."""


@dataclass(frozen=True, slots=True)
class Database:
    """A ledger that is open.

    Attributes
    ----------
    where : str
        For people: its path or its URL, without a password.
    notes : tuple of str
        What they should know about it.
    """

    engine: Engine
    where: str
    notes: tuple[str, ...] = ()

    def close(self) -> None:
        """Give up every connection."""
        self.engine.dispose()


def database_of(output: Location, where: str = "") -> URL:
    """Return the database of a campaign: in its output folder, in a file, or behind a URL.

    Raises
    ------
    UsageError
        If it is no database that bkgflow knows.
    """
    if "://" not in where:
        path = Location.of(where) if where else output / LEDGER
        if where and path.is_dir():
            path = path / LEDGER
        return URL.create("sqlite", database=str(path))
    scheme = where.partition("://")[0]
    try:
        url = make_url(where).set(drivername=DRIVERS.get(scheme, scheme))
        if url.get_backend_name() in {"sqlite", "postgresql"}:
            return url
    except (ArgumentError, NoSuchModuleError, ValueError):
        pass
    raise UsageError(
        "A ledger must be a file, or a PostgreSQL database",
        value=f"{scheme}://…",
        cure="Give a path, or postgresql://USER@HOST/DATABASE; the password goes into ~/.pgpass "
        "or PGPASSWORD",
    )


def open_database(url: URL, *, write: bool, whole: bool = True) -> Database:
    """Open a ledger, and make or renew its tables where it is to be written.

    Parameters
    ----------
    whole : bool
        Whether all of a file is looked at first: who only asks for numbers need not wait for it.

    Raises
    ------
    LedgerError
        If it is not there, damaged, of a newer version, or cannot be reached.
    UsageError
        If the library that reaches it is not installed.
    """
    where = url.render_as_string(hide_password=True)
    local = url.get_backend_name() == "sqlite"
    notes: list[str] = []
    if local:
        where = str(url.database)
        network = is_network_disk(Location.of(where).parent)
        if network and write:
            notes.append(
                f"the ledger {where} lies on a disk of the network ({network}): it is kept with "
                "a rollback journal, and locks are waited for up to "
                f"{NETWORK_PATIENCE:.0f} s"
            )
        engine = _sqlite(where, write=write, network=bool(network))
    else:
        engine = _postgres(url)
    try:
        with engine.connect() as connection:
            if local and whole:
                _check_whole(connection, where)
            _check_version(connection, where, write=write)
    except DBAPIError as problem:
        engine.dispose()
        raise not_usable(problem, where) from None
    except BaseException:
        engine.dispose()
        raise
    return Database(engine, where, tuple(notes))


def _sqlite(path: str, *, write: bool, network: bool) -> Engine:
    patience = NETWORK_PATIENCE if network else PATIENCE

    def connect() -> sqlite3.Connection:
        return sqlite(Location.of(path), write=write, patience=patience)

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        if write:
            connection.execute(f"PRAGMA journal_mode={'TRUNCATE' if network else 'WAL'}")
            connection.execute(f"PRAGMA synchronous={'FULL' if network else 'NORMAL'}")

    return engine


def _postgres(url: URL) -> Engine:
    try:
        return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 10})
    except ModuleNotFoundError as problem:
        raise UsageError(
            "The library that reaches PostgreSQL must be installed",
            value=problem,
            cure="pip install 'bkgflow[postgres]'",
        ) from None


def _check_whole(connection: Connection, where: str) -> None:
    found = connection.execute(text("PRAGMA quick_check(1)")).scalar()
    if found != WHOLE:
        raise _damaged(where, found)


def _check_version(connection: Connection, where: str, *, write: bool) -> None:
    """See that the tables are those of this bkgflow, or make or renew them."""
    names = set(inspect(connection).get_table_names())
    found = None
    if "alembic_version" in names:
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if found == HEAD:
        return
    if found is not None and str(found) > HEAD:
        raise LedgerError(
            f"A ledger must be of version {HEAD} or older",
            file=where,
            value=found,
            cure="Use the newer bkgflow that wrote it, or give another output folder",
        )
    if not write:
        value = "nothing in it" if not names else f"version {found}"
        cure = "Run the campaign with this bkgflow, which renews it"
        raise LedgerError("A ledger must have its tables", file=where, value=value, cure=cure)
    if found is None and names & set(tables.tables):
        raise _damaged(where, "tables without a version")
    _renew(connection, found)


def _renew(connection: Connection, found: str | None) -> None:
    """Make the tables, or bring older ones up to date."""
    if found is None:  # without alembic, which takes longer to import than this does
        tables.create_all(connection)
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(
            text("INSERT INTO alembic_version (version_num) VALUES (:head)"), {"head": HEAD}
        )
        connection.commit()
        return
    from bkgflow.campaign.ledger.migrations import upgrade

    upgrade(connection)


def not_usable(problem: DBAPIError, where: str) -> LedgerError:
    """Return what bkgflow says of an error of the database."""
    said = str(problem.orig).strip().splitlines()[0] if problem.orig else str(problem)
    if isinstance(problem.orig, sqlite3.DatabaseError) and not isinstance(
        problem.orig, sqlite3.OperationalError
    ):
        return _damaged(where, said)
    if "unable to open" in said:
        return LedgerError(
            "A campaign must have its ledger",
            file=where,
            value="no such file, or it may not be read",
            cure="Give the output folder of a campaign, or run one",
        )
    return LedgerError(
        "A ledger must answer",
        file=where,
        value=said,
        cure="Mend what the database says, and run again: what is complete is not done again",
    )


def _damaged(where: str, said: object) -> LedgerError:
    return LedgerError(
        "A ledger must be whole",
        file=where,
        value=said,
        cure="Make it again from the products: bkgflow rebuild OUT",
    )
