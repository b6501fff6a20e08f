"""Writing a ledger: one thread, which takes what the driver hands it and commits it together.

The driver never waits for the database. What is handed over is committed within milliseconds
while the database answers; while it does not, it is kept and tried again, so that a connection
that is lost for minutes costs nothing.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from sqlalchemy import Connection, Table, and_, bindparam, delete, insert, select, update
from sqlalchemy.exc import DBAPIError

from bkgflow.campaign.ledger.opening import Database, not_usable
from bkgflow.campaign.ledger.rows import KeptFile, RunRow, names_of, verdict_to
from bkgflow.campaign.ledger.schema import attempts, campaigns, events, products, results, runs
from bkgflow.campaign.ledger.schema import units as units_table
from bkgflow.campaign.log import log
from bkgflow.errors import BkgflowError, LedgerError
from bkgflow.planning.plan import Plan
from bkgflow.planning.unit import Unit
from bkgflow.verdict import State, Verdict

__all__ = ["Entry", "Writer"]

MOST = 500
"""Entries of one transaction: whoever reads waits for it, on a disk of the network."""

PATIENCE = 600.0
"""Seconds that a database may not answer, before the run ends for it."""

LONGEST = 10.0
"""Seconds between two attempts, at most."""

Change = Callable[[Connection], object]
"""What is done in a transaction; done twice, it has the effect of once."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a run takes up: a unit, and why; its state is PLANNED until it ends."""

    unit: Unit
    why: str


@dataclass
class Writer:
    """Writes what happens in one run of a campaign.

    Attributes
    ----------
    open : callable
        Gives the database when the run begins: one that is refused before has left no trace.
    sleep : callable
        Waits for some seconds between two attempts.
    problem : LedgerError or None
        Why nothing is written any more.
    """

    campaign: str
    run: str
    open: Callable[[], Database]
    sleep: Callable[[float], object] = time.sleep
    patience: float = PATIENCE
    problem: LedgerError | None = None
    names: dict[str, str] = field(default_factory=dict)
    _queue: SimpleQueue[Change | None] = field(default_factory=SimpleQueue)
    _database: Database | None = None
    _number: int = 0
    _thread: threading.Thread | None = None

    # Before the first unit: in the driver's thread.

    def begin(
        self,
        row: RunRow,
        plan: Plan,
        output: str,
        entries: Iterable[Entry],
        labels: Mapping[str, str],
    ) -> None:
        """Take down a run, with all that it takes up and all that it leaves as it is.

        Raises
        ------
        LedgerError
            If the database does not take it.
        """
        self.names = names_of(plan.units)
        self._database = self.open()
        try:
            with self.database.engine.begin() as connection:
                self._campaign(connection, output, labels)
                connection.execute(insert(runs), _run_row(self.campaign, row))
                self._units(connection, plan, list(entries))
        except DBAPIError as problem:
            raise not_usable(problem, self.database.where) from None
        self._thread = threading.Thread(target=self._write, name="bkgflow-ledger", daemon=True)
        self._thread.start()

    def _campaign(self, connection: Connection, output: str, labels: Mapping[str, str]) -> None:
        own = campaigns.c.campaign == self.campaign
        there = connection.execute(select(campaigns.c.labels).where(own)).scalar()
        if there is None:
            made = {"campaign": self.campaign, "created": time.time()}
            connection.execute(
                insert(campaigns), made | {"output": output, "labels": json.dumps(dict(labels))}
            )
            return
        together = json.loads(there) | dict(labels)
        values = {"output": output, "labels": json.dumps(together)}
        connection.execute(update(campaigns).where(own).values(values))

    def _units(self, connection: Connection, plan: Plan, entries: list[Entry]) -> None:
        own = units_table.c
        query = select(own.unit).where(own.campaign == self.campaign)
        there = set(connection.execute(query).scalars())
        connection.execute(
            update(units_table).where(own.campaign == self.campaign).values(listed=0)
        )
        taken_up = {each.unit.digest: each.why for each in entries}
        new: list[dict[str, Any]] = []
        again: list[dict[str, Any]] = []
        kept: list[dict[str, Any]] = []
        for position, unit in enumerate(plan.units):
            name = self.names[unit.digest]
            row: dict[str, Any] = {"position": position, "listed": 1}
            if unit.digest in taken_up or name not in there:
                row |= self._row(unit, taken_up.get(unit.digest, "new"))
                (again if name in there else new).append(row | {"of": name})
            else:
                kept.append(row | {"of": name})
        if new:
            rows = [{**each, "campaign": self.campaign, "unit": each["of"]} for each in new]
            for each in rows:
                del each["of"]
            connection.execute(insert(units_table), rows)
        for rows in (again, kept):
            if rows:
                self._update_units(connection, rows)
        _insert_missing(
            connection,
            results,
            "digest",
            [
                {"campaign": self.campaign, "digest": each.digest, "key": each.key.to_json()}
                for each in plan.shared
            ],
        )

    def _row(self, unit: Unit, why: str) -> dict[str, Any]:
        return {
            "association": unit.association,
            "product": unit.product,
            "kind": unit.kind,
            "target": str(unit.target),
            "state": State.PLANNED.value,
            "digest": unit.digest,
            "key": unit.key.to_json(),
            "shared": unit.shared,
            "verdict": None,
            "why": why,
            "run": self.run,
            "begun": None,
            "ended": None,
        }

    def _update_units(self, connection: Connection, rows: list[dict[str, Any]]) -> None:
        own = units_table.c
        values: dict[str, Any] = {name: bindparam(f"to_{name}") for name in rows[0] if name != "of"}
        change = (
            update(units_table)
            .where(own.campaign == self.campaign, own.unit == bindparam("of"))
            .values(values)
        )
        connection.execute(
            change,
            [{"of" if n == "of" else f"to_{n}": v for n, v in each.items()} for each in rows],
        )

    # While the run goes on: handed over by the driver, and committed by the writer.

    def begun(self, unit: str) -> None:
        """Take down that a unit begins, by the digest of its key."""
        name, now = self.names[unit], time.time()
        event = self._event("begins", now, name)

        def change(connection: Connection) -> None:
            self._update_units(connection, [{"begun": now, "of": name}])
            event(connection)

        self._put(change)

    def ended(self, unit: str, verdict: Verdict, files: Iterable[KeptFile]) -> None:
        """Take down how a unit ended, and the files that it has published.

        Raises
        ------
        LedgerError
            If the ledger takes nothing any more.
        """
        name, now, told = self.names[unit], time.time(), verdict_to(verdict)
        written = list(files)
        event = self._event("ends", now, name, verdict.state, verdict.reason, verdict.worker)
        row = {"state": verdict.state.value, "verdict": told, "ended": now, "of": name}

        def change(connection: Connection) -> None:
            self._update_units(connection, [row])
            self._files(connection, name, written)
            event(connection)

        self._put(change)

    def _files(self, connection: Connection, unit: str, files: list[KeptFile]) -> None:
        """Put down the files of a unit in the place of older ones; no files leave those there."""
        if not files:
            return
        own = products.c
        mine = and_(own.campaign == self.campaign, own.unit == unit)
        connection.execute(delete(products).where(mine))
        names = [each.file for each in files]
        # A file may have been another unit's before.
        connection.execute(
            delete(products).where(own.campaign == self.campaign, own.file.in_(names))
        )
        connection.execute(
            insert(products),
            [
                {
                    "campaign": self.campaign,
                    "file": each.file,
                    "unit": unit,
                    "number": number,
                    "digest": each.digest,
                    "size": each.size,
                    "mtime_ns": each.mtime_ns,
                    "checksum": each.checksum,
                }
                for number, each in enumerate(files)
            ],
        )

    def tried(self, unit: str, attempt: Mapping[str, Any]) -> None:
        """Take down an attempt at a unit: the columns of the table, without those of the unit."""
        row = {"campaign": self.campaign, "unit": self.names[unit], "run": self.run, **attempt}
        self._put(lambda connection: _replace(connection, attempts, [row]))

    def said(self, words: str) -> None:
        """Take down what was said of the run as a whole."""
        self._put(self._event("says", time.time(), None, words=words))

    def seen(self, files: Iterable[KeptFile]) -> None:
        """Take down files as they are now: with the times that they have on this disk."""
        own = products.c
        found = [(each.file, each.size, each.mtime_ns, each.checksum) for each in files]

        def change(connection: Connection) -> None:
            for file, size, mtime_ns, checksum in found:
                mine = and_(own.campaign == self.campaign, own.file == file)
                values = {"size": size, "mtime_ns": mtime_ns, "checksum": checksum}
                connection.execute(update(products).where(mine).values(values))

        if found:
            self._put(change)

    def keyed(self, unit: Unit) -> None:
        """Take down a key that tells more than the one before, of a unit that stands as it was."""
        name = self.names[unit.digest]
        row = {"digest": unit.digest, "key": unit.key.to_json(), "shared": unit.shared, "of": name}
        own = products.c

        def change(connection: Connection) -> None:
            self._update_units(connection, [row])
            mine = and_(own.campaign == self.campaign, own.unit == name)
            connection.execute(update(products).where(mine).values(digest=unit.digest))

        self._put(change)

    def end(self, stopped: str) -> None:
        """Take down how the run ended, and wait until everything is committed."""
        own, values = runs.c, {"ended": time.time(), "stopped": stopped}
        mine = and_(own.campaign == self.campaign, own.run == self.run)
        self._put(lambda connection: connection.execute(update(runs).where(mine).values(values)))
        self.close()

    @property
    def database(self) -> Database:
        """The database, once the run has begun."""
        assert self._database is not None
        return self._database

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know about it."""
        return self._database.notes if self._database else ()

    @property
    def began(self) -> bool:
        """Whether the run was taken down, and has not ended."""
        return self._thread is not None

    def close(self) -> None:
        """Wait until everything is committed that was handed over."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def check(self) -> None:
        """Raise why nothing is written any more, if that is so."""
        if self.problem is not None:
            raise self.problem

    def _put(self, change: Change) -> None:
        self.check()
        self._queue.put(change)

    def _event(
        self,
        event: str,
        when: float,
        unit: str | None,
        state: State | None = None,
        words: str = "",
        worker: str = "",
    ) -> Change:
        self._number += 1
        row = {
            "campaign": self.campaign,
            "run": self.run,
            "number": self._number,
            "time": when,
            "unit": unit,
            "event": event,
            "state": None if state is None else state.value,
            "words": words,
            "worker": worker,
        }
        return lambda connection: _replace(connection, events, [row])

    # The writer's thread.

    def _write(self) -> None:
        going = True
        while going:
            changes: list[Change] = []
            each = self._queue.get()
            while each is not None:
                changes.append(each)
                if len(changes) == MOST:
                    break
                try:
                    each = self._queue.get_nowait()
                except Empty:
                    break
            going = each is not None
            if changes and self.problem is None:
                self._commit(changes)

    def _commit(self, changes: list[Change]) -> None:
        began, pause, said = time.monotonic(), 0.2, False
        while True:
            try:
                with self.database.engine.begin() as connection:
                    for change in changes:
                        change(connection)
                if said:
                    log.warning("the ledger %s answers again", self.database.where)
                return
            except DBAPIError as problem:
                error: BkgflowError = not_usable(problem, self.database.where)
            except Exception as problem:
                log.exception("the ledger cannot be written")
                error = LedgerError(
                    "A ledger must take what a run does",
                    file=self.database.where,
                    value=f"{type(problem).__name__}: {problem}"[:300],
                    cure="Run again; if it fails again, report it with the log",
                )
                began = -self.patience
            if time.monotonic() - began > self.patience:
                assert isinstance(error, LedgerError)
                self.problem = error
                log.error("the ledger takes nothing any more: %s", error)
                return
            if not said:
                log.warning("the ledger does not answer, and is tried again: %s", error.value)
                said = True
            self.sleep(pause)
            pause = min(2 * pause, LONGEST)


def _run_row(campaign: str, row: RunRow) -> dict[str, Any]:
    return {
        "campaign": campaign,
        "run": row.run,
        "version": row.version,
        "process": str(row.owner),
        "user": row.user,
        "started": row.started,
        "to_do": row.to_do,
        "kept": row.kept,
        "settings": json.dumps(dict(row.settings), default=list),
        "asked": json.dumps(dict(row.asked)),
    }


def _replace(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Put down rows that may be there already: the commit before may have come through."""
    for row in rows:
        mine = and_(*(column == row[column.name] for column in table.primary_key))
        connection.execute(delete(table).where(mine))
    connection.execute(insert(table), rows)


def _insert_missing(
    connection: Connection, table: Table, name: str, rows: list[dict[str, Any]]
) -> None:
    """Put down rows of a campaign that are not there yet, told apart by one column."""
    if not rows:
        return
    own = table.c
    query = select(own[name]).where(own.campaign == rows[0]["campaign"])
    there = set(connection.execute(query).scalars())
    missing = [row for row in rows if row[name] not in there]
    if missing:
        connection.execute(insert(table), missing)
