"""A ledger that is written without a run: what a driver would hand over."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.pool import QueuePool

import bkgflow
from bkgflow.campaign.ledger.opening import Database, open_database
from bkgflow.campaign.ledger.reader import Reader
from bkgflow.campaign.ledger.register import Entry
from bkgflow.campaign.ledger.rows import KeptFile, RunRow
from bkgflow.campaign.ledger.writer import Writer
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.owner import Owner
from bkgflow.planning.plan import Plan
from bkgflow.verdict import State, Verdict
from tests.helpers.programs import write_program

CAMPAIGN = "0123456789ab"


def plan_of(folder: Path, units: int = 3) -> Plan:
    """Plan a small program; its products are never made."""
    write_program(folder / "program", targets=units)
    return bkgflow.plan(folder / "program", folder / "out")


def row_of(run: str, to_do: int = 0, started: float = 1.0) -> RunRow:
    return RunRow(run, "1", Owner.me(), "ada", started, to_do, 0)


def begin(
    writer: Writer,
    plan: Plan,
    why: str = "new",
    labels: dict[str, str] | None = None,
    started: float = 1.0,
) -> Writer:
    """Begin a run that takes up every unit of a plan."""
    entries = [Entry(unit, why) for unit in plan.units]
    row = row_of(writer.run, len(entries), started)
    writer.begin(row, plan, str(plan.output), entries, labels or {})
    return writer


def file_of(unit: object, size: int = 7) -> KeptFile:
    return KeptFile(unit.output, size, 11, "xxh3:00", unit.digest)


def complete(writer: Writer, units: Iterable[object]) -> None:
    """Hand over that units begin and end."""
    for unit in units:
        writer.begun(unit.digest)
        writer.ended(unit.digest, Verdict(State.COMPLETE), [file_of(unit)])


@contextmanager
def read(url: URL, plan: Plan, campaign: str = CAMPAIGN):
    """Read a ledger as another process would."""
    with closing(open_database(url, write=False)) as database:
        yield Reader(database, campaign, Location.of(plan.output))


class Scripted(sqlite3.Connection):
    """A connection whose commits fail as a script says: before they came through, or after."""

    script: list[tuple[str, Exception]]

    def commit(self):
        when, problem = self.script.pop(0) if self.script else ("", None)
        if when == "before":
            raise problem
        super().commit()
        if when == "after":
            raise problem


def scripted(url: URL, script: list[tuple[str, Exception]]) -> Callable[[], Database]:
    """Return how a ledger is opened whose commits fail as the script says."""

    def connect():
        connection = sqlite3.connect(url.database, factory=Scripted, check_same_thread=False)
        connection.isolation_level = None
        connection.script = script
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return lambda: Database(engine, str(url.database))


def writer_of(url: URL, run: str = "run1", **options: object) -> Writer:
    return Writer(CAMPAIGN, run, partial(open_database, url, write=True), **options)
