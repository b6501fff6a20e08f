"""The tables of a ledger: made at once or by migrations, of which version, and what they hold."""

import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import make_url

from bkgflow.campaign.ledger.migrations import upgrade
from bkgflow.campaign.ledger.opening import database_of, open_database
from bkgflow.campaign.ledger.schema import HEAD, campaigns, tables
from bkgflow.errors import LedgerError, UsageError
from bkgflow.io.storage.location import Location

KILLED = """
import os, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine, make_url
from bkgflow.campaign.ledger.opening import open_database
event.listen(Engine, "commit", lambda connection: os._exit(9))
open_database(make_url(sys.argv[1]), write=True)
"""
"""Dies when the tables are made, and not yet committed."""


def described(engine):
    """What a database itself says of its tables."""
    found, tables_there = {}, inspect(engine)
    for name in sorted(tables_there.get_table_names()):
        if name == "alembic_version":
            continue
        columns = [
            (each["name"], str(each["type"]), each["nullable"])
            for each in tables_there.get_columns(name)
        ]
        indexes = sorted(
            (x["name"], tuple(x["column_names"])) for x in tables_there.get_indexes(name)
        )
        foreign = sorted(
            (tuple(x["constrained_columns"]), x["referred_table"], tuple(x["referred_columns"]))
            for x in tables_there.get_foreign_keys(name)
        )
        primary = tuple(tables_there.get_pk_constraint(name)["constrained_columns"])
        found[name] = (columns, primary, foreign, indexes)
    return found


def engine_of(url):
    return create_engine(url)


def test_the_newest_migration_is_the_version_that_the_schema_says():
    config = Config()
    config.set_main_option("script_location", "bkgflow.campaign.ledger:migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


@pytest.mark.slow
def test_migrations_from_nothing_make_the_tables_that_are_made_at_once(url, new_url):
    migrated, at_once = engine_of(url), engine_of(new_url())
    with migrated.connect() as connection:
        upgrade(connection)
    with migrated.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables) == []
    tables.create_all(at_once)
    assert described(migrated) == described(at_once)
    assert set(described(migrated)) == set(tables.tables)


@pytest.mark.slow
def test_a_ledger_that_migrations_made_is_opened_as_one_that_was_made_at_once(url):
    engine = engine_of(url)
    with engine.connect() as connection:
        upgrade(connection)
    engine.dispose()
    for write in (True, False):
        open_database(url, write=write).close()


@pytest.mark.slow
def test_a_new_ledger_has_the_version_and_the_tables_of_the_schema(url):
    database = open_database(url, write=True)
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables) == []
        assert connection.execute(text("SELECT version_num FROM alembic_version")).all() == [
            (HEAD,)
        ]
    database.close()


@pytest.mark.parametrize("write", [True, False])
def test_a_ledger_of_a_newer_version_is_refused_with_its_version(write, url):
    database = open_database(url, write=True)
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0999'"))
    database.close()
    with pytest.raises(LedgerError, match=r"of version 0001 or older \(found: 0999\).*newer"):
        open_database(url, write=write)


def test_tables_without_a_version_are_not_taken_for_a_ledger(url):
    tables.create_all(engine_of(url))
    with pytest.raises(LedgerError, match="tables without a version"):
        open_database(url, write=True)


@pytest.mark.slow
def test_a_driver_that_dies_while_it_makes_the_tables_leaves_none(url):
    told = url.render_as_string(hide_password=False)
    assert subprocess.run([sys.executable, "-c", KILLED, told], check=False).returncode == 9
    assert inspect(engine_of(url)).get_table_names() == []
    open_database(url, write=True).close()


@pytest.mark.parametrize(
    "name", ["plain", "ünïcode", "a\0b", "caf\udce9.fits", "\x1ajson:", '\x1ajson:"x"', ""]
)
def test_names_that_are_no_utf8_come_back_as_they_were(name, url):
    database = open_database(url, write=True)
    row = {"campaign": "c", "output": name, "created": 1.0, "labels": "{}"}
    with database.engine.begin() as connection:
        connection.execute(campaigns.insert(), [row])
        found = connection.execute(campaigns.select().where(campaigns.c.output == name)).all()
    assert [each.output for each in found] == [name]
    database.close()


# Where a ledger is.


def test_a_ledger_is_in_the_output_folder_unless_it_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    out = Location.of(tmp_path / "out")
    found = {told: database_of(out, told).database for told in ("", "x.db", "there")}
    assert found == {
        "": str(tmp_path / "out" / "bkgflow-ledger.sqlite"),
        "x.db": str(tmp_path / "x.db"),
        "there": str(tmp_path / "there" / "bkgflow-ledger.sqlite"),
    }
    assert database_of(out, f"sqlite:///{tmp_path}/y.db") == make_url(f"sqlite:///{tmp_path}/y.db")
    assert database_of(out, "postgres://h/d").drivername == "postgresql+psycopg"


@pytest.mark.parametrize(
    "told",
    [
        "mysql://u@h/d",
        "postgresql://",
        "postgresql://h",
        "sqlite://",
        "s3://b/x",
        "://",
        "a://b:c@d:e",
    ],
)
def test_what_is_no_database_is_refused(told):
    with pytest.raises(UsageError, match=r"must be a file, or a PostgreSQL database"):
        database_of(Location.of("/tmp"), told)


@pytest.mark.parametrize(
    "told",
    [
        "postgresql://ada:secret@h/d",
        "postgres://ada:secret@h/d",
        "postgresql://h/d?password=secret",
        "postgresql://h/d?sslpassword=secret",
        "postgresql://:secret@h/d",
        "postgresql://ada:p@secret@h/d",
        "postgresql://ada:p/@secret@h/d",
    ],
)
def test_a_password_in_a_url_is_refused_and_not_repeated(told):
    with pytest.raises(UsageError, match="no password in it") as caught:
        database_of(Location.of("/tmp"), told)
    assert "secret" not in str(caught.value) and "PGPASSWORD" in caught.value.cure


@pytest.mark.parametrize("driver", ["psycopg2", "asyncpg", "unknown"])
def test_another_driver_of_postgresql_is_refused_with_the_url_that_is_meant(driver):
    with pytest.raises(UsageError, match=f"psycopg, which.*found: postgresql.{driver}:") as caught:
        database_of(Location.of("/tmp"), f"postgresql+{driver}://ada:secret@h/d")
    assert caught.value.cure == "Write postgresql://USER@HOST/DATABASE"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"this is no database at all" * 100, b"SQLite format 3\0" + bytes(5000)]
)
def test_a_file_that_is_no_ledger_is_said_to_be_damaged(content, tmp_path):
    (tmp_path / "bkgflow-ledger.sqlite").write_bytes(content)
    url = database_of(Location.of(tmp_path))
    for write in (True, False):
        with pytest.raises(LedgerError, match="must be whole"):
            open_database(url, write=write)


def test_a_ledger_that_was_cut_is_said_to_be_damaged(tmp_path):
    url = database_of(Location.of(tmp_path))
    open_database(url, write=True).close()
    file = tmp_path / "bkgflow-ledger.sqlite"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(LedgerError, match="bkgflow rebuild"):
        open_database(url, write=True)


def test_a_ledger_that_is_not_there_is_not_made_by_who_reads(tmp_path):
    url = database_of(Location.of(tmp_path))
    with pytest.raises(LedgerError, match="must have its ledger"):
        open_database(url, write=False)
    assert list(tmp_path.iterdir()) == []
