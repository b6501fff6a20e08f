"""Opening a ledger: where it is, whether it is whole, and of which version.

SQLite's write-ahead log lets others read while the driver writes, but it needs memory that all
processes share: on a disk of the network it would be damaged in time. There the older journal is
used, and everybody waits longer for a lock.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import QueuePool

from bkgflow.campaign.ledger.condition import check_file
from bkgflow.campaign.ledger.schema import HEAD, tables
from bkgflow.campaign.ledger.trouble import damaged, not_usable
from bkgflow.errors import LedgerError, UsageError
from bkgflow.io.storage.disks import MOUNTS, is_network_disk
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.mirror import own_folder
from bkgflow.io.storage.sqlite import sqlite, which_file

__all__ = ["LEDGER", "NO_TABLES", "Database", "database_of", "open_database"]

LEDGER = "bkgflow-ledger.sqlite"
"""Name of the file in an output folder, where no other place is told; see `own_folder`."""

PATIENCE, NETWORK_PATIENCE = 10.0, 60.0
"""Seconds that are waited for a lock which another process has."""

DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
"""What people write before ``://``, and what reaches the database."""

SECRETS = {"password", "sslpassword"}
"""What a URL of PostgreSQL may say in its query, and must not."""

AWAY = 200
"""Milliseconds that putting away the write-ahead log waits for those who read."""

TABLES_LOCK = 0x626B67666C6F77
"""What is locked in PostgreSQL while tables are made: "bkgflow" as a number."""

NO_TABLES = "A ledger must have its tables"

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
    logged : bool
        Whether it is a file with a write-ahead log.
    file : tuple of int, or None
        Which file that is.
    """

    engine: Engine
    where: str
    notes: tuple[str, ...] = ()
    logged: bool = False
    file: tuple[int, int] | None = None

    @property
    def replaced(self) -> bool:
        """Whether another file has its name now."""
        known = (None, self.file)  # one that was removed is not there
        return self.file is not None and which_file(Location.of(self.where)) not in known

    def close(self) -> None:
        """Give up every connection.

        A write-ahead log is put away, unless somebody reads: beside a database that has one even
        readers write files, which they would leave there, or may not write.
        """
        if self.logged:
            with suppress(DBAPIError), self.engine.connect() as connection:
                dbapi: Any = connection.connection.dbapi_connection
                dbapi.execute(f"PRAGMA busy_timeout={AWAY}")
                with suppress(sqlite3.Error):
                    dbapi.execute("PRAGMA journal_mode=DELETE")
        self.engine.dispose()


def database_of(output: Location, where: str = "") -> URL:
    """Return the database of a campaign: in its own folder, in a file, or behind a URL.

    Raises
    ------
    UsageError
        If it is no database that bkgflow knows.
    """
    if "://" not in where:
        path = Location.of(where) if where else own_folder(output) / LEDGER
        if where and path.is_dir():
            path = path / LEDGER
        return URL.create("sqlite", database=str(path))
    scheme = where.partition("://")[0]
    try:
        url = make_url(where).set(drivername=DRIVERS.get(scheme, scheme))
        known = url.get_backend_name() in {"sqlite", "postgresql"} and bool(url.database)
    except (ArgumentError, NoSuchModuleError, ValueError):
        known = False
    if not known:
        raise UsageError(
            "A ledger must be a file, or a PostgreSQL database",
            value=f"{scheme}://…",
            cure="Give a path, or postgresql://USER@HOST/DATABASE; the password goes into "
            "~/.pgpass or PGPASSWORD",
        )
    if url.get_backend_name() == "postgresql" and url.drivername != DRIVERS["postgresql"]:
        raise UsageError(
            "A ledger in PostgreSQL must be reached by psycopg, which bkgflow brings",
            value=f"{url.drivername}://…",
            cure="Write postgresql://USER@HOST/DATABASE",
        )
    if url.password is not None or SECRETS & url.query.keys():
        raise UsageError(
            "A ledger's URL must have no password in it",
            value=f"{scheme}://{url.username or ''}:…",  # where it ends is read in several ways
            cure="Put it into ~/.pgpass or the variable PGPASSWORD: everybody on this machine "
            "sees what a command is given",
        )
    if url.get_backend_name() == "sqlite":
        return URL.create("sqlite", database=str(Location.of(str(url.database))))
    return url


def open_database(url: URL, *, write: bool, mounts: Path = MOUNTS) -> Database:
    """Open a ledger, and make or renew its tables where it is to be written.

    ``mounts`` says which disks there are, as Linux does.

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
    network = ""
    if local:
        where = str(url.database)
        check_file(Location.of(where))
        network = is_network_disk(Location.of(where).parent, mounts)
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
            if local and write:
                _check_whole(connection, where)
            _check_version(connection, where, write=write)
    except DBAPIError as problem:
        engine.dispose()
        raise not_usable(problem, where) from None
    except BaseException:
        engine.dispose()
        raise
    logged = local and write and not network
    file = which_file(Location.of(where)) if logged else None
    return Database(engine, where, tuple(notes), logged, file)


def _sqlite(path: str, *, write: bool, network: bool) -> Engine:
    patience = NETWORK_PATIENCE if network else PATIENCE

    def connect() -> sqlite3.Connection:
        return sqlite(Location.of(path), write=write, patience=patience)

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        connection.isolation_level = None  # transactions begin below, also those that make tables
        if write:
            connection.execute(f"PRAGMA journal_mode={'TRUNCATE' if network else 'WAL'}")
            connection.execute(f"PRAGMA synchronous={'FULL' if network else 'NORMAL'}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that first reads, and then finds that another process has written since,
        # fails at once, however patient it is: who may write takes the lock first.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

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
        raise damaged(where, found)


def _check_version(connection: Connection, where: str, *, write: bool) -> None:
    """See that the tables are those of this bkgflow, or make or renew them."""
    if write and connection.dialect.name == "postgresql":
        # Two campaigns that begin together in an empty database must not both make the tables.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": TABLES_LOCK})
    names = set(inspect(connection).get_table_names())
    if connection.dialect.name == "sqlite" and names and not names & set(tables.tables):
        raise damaged(where, f"tables of another program: {', '.join(sorted(names))}"[:200])
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
    if found is None and names & set(tables.tables):
        raise damaged(where, "tables without a version")
    if not write:
        value = "nothing in it" if not names else f"version {found}"
        cure = "Run the campaign with this bkgflow, which renews it"
        raise LedgerError(NO_TABLES, file=where, value=value, cure=cure)
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
