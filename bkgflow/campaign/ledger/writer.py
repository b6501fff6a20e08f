"""Writing a ledger: one thread, which takes what the driver hands it and commits it together.

The driver never waits for the database. What is handed over is committed within milliseconds
while the database answers; while it does not, it is kept and tried again, so that a connection
that is lost for minutes costs nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from sqlalchemy.exc import DBAPIError

from bkgflow.campaign.ledger.batch import Batch, Change, Step
from bkgflow.campaign.ledger.opening import Database
from bkgflow.campaign.ledger.register import Entry, register
from bkgflow.campaign.ledger.rows import KeptFile, RunRow, names_of, verdict_to
from bkgflow.campaign.ledger.schema import attempts
from bkgflow.campaign.ledger.trouble import Hope, hope_of, not_usable, unexpected
from bkgflow.campaign.log import log
from bkgflow.errors import LedgerError
from bkgflow.planning.plan import Plan
from bkgflow.planning.unit import Unit
from bkgflow.verdict import State, Verdict

__all__ = ["Writer"]

OF_ATTEMPTS = tuple(column.name for column in attempts.columns)

MOST = 2000
"""Changes of one transaction: whoever reads waits for it, on a disk of the network."""

PATIENCE = 600.0
"""Seconds that a database may not answer, before the run ends for it."""

LAST_PATIENCE = 10.0
"""Seconds that the end of a run waits for a disk that is full or read-only."""

LONGEST = 10.0
"""Seconds between two attempts, at most."""


@dataclass
class Writer:
    """Writes what happens in one run of a campaign.

    Attributes
    ----------
    open : callable
        Gives the database when the run begins: one that is refused before has left no trace.
    sleep : callable
        Waits for some seconds between two attempts.
    patience : float
        Seconds that the database may not answer.
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
    _queue: SimpleQueue[tuple[Change, ...] | None] = field(default_factory=SimpleQueue)
    _database: Database | None = None
    _number: int = 0
    _thread: threading.Thread | None = None
    _closing: threading.Event = field(default_factory=threading.Event)

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
        entries = list(entries)
        try:
            with self.database.engine.begin() as connection:
                register(connection, self.campaign, row, plan, output, entries, labels, self.names)
        except DBAPIError as problem:
            raise not_usable(problem, self.database.where) from None
        self._thread = threading.Thread(target=self._write, name="bkgflow-ledger", daemon=True)
        self._thread.start()

    # While the run goes on: handed over by the driver, and committed by the writer.

    def begun(self, unit: str) -> None:
        """Take down that a unit begins, by the digest of its key."""
        name, now = self.names[unit], time.time()
        self._put(
            (Step.BEGUN, self._of(name) | {"to_begun": now}), self._event("begins", now, name)
        )

    def ended(self, unit: str, verdict: Verdict, files: Iterable[KeptFile]) -> None:
        """Take down how a unit ended, and the files that it has published.

        Without files, those of an earlier run stay.

        Raises
        ------
        LedgerError
            If the ledger takes nothing any more.
        """
        name, now, state = self.names[unit], time.time(), verdict.state.value
        row = {"to_state": state, "to_verdict": verdict_to(verdict), "to_ended": now}
        written = [
            (Step.FILES, self._file(name, number, each)) for number, each in enumerate(files)
        ]
        event = self._event("ends", now, name, verdict.state, verdict.reason, verdict.worker)
        self._put((Step.ENDED, self._of(name) | row), *written, event)

    def _file(self, unit: str, number: int, file: KeptFile) -> dict[str, Any]:
        return {
            "campaign": self.campaign,
            "file": file.file,
            "unit": unit,
            "number": number,
            "digest": file.digest,
            "size": file.size,
            "mtime_ns": file.mtime_ns,
            "checksum": file.checksum,
        }

    def tried(self, unit: str, attempt: Mapping[str, Any]) -> None:
        """Take down an attempt at a unit: the columns of the table, without those of the unit."""
        row = {name: attempt.get(name) for name in OF_ATTEMPTS}
        own = {"campaign": self.campaign, "unit": self.names[unit], "run": self.run}
        self._put((Step.ATTEMPTS, row | own))

    def said(self, words: str) -> None:
        """Take down what was said of the run as a whole."""
        self._put(self._event("says", time.time(), None, words=words))

    def seen(self, files: Iterable[KeptFile]) -> None:
        """Take down files as they are now: with the times that they have on this disk."""
        for each in files:
            row = {"to_size": each.size, "to_mtime_ns": each.mtime_ns, "to_checksum": each.checksum}
            self._put((Step.SEEN, {"of_campaign": self.campaign, "of_file": each.file} | row))

    def keyed(self, unit: Unit) -> None:
        """Take down a key that tells more than the one before, of a unit that stands as it was."""
        mine, digest = self._of(self.names[unit.digest]), {"to_digest": unit.digest}
        key = {"to_key": unit.key.to_json(), "to_shared": unit.shared}
        self._put((Step.KEYED, mine | digest | key), (Step.KEYED_FILES, mine | digest))

    def end(self, stopped: str) -> None:
        """Take down how the run ended, and wait until everything is committed.

        Whether it was, `problem` says.
        """
        if self.problem is None:
            row = {"of_campaign": self.campaign, "of_run": self.run}
            self._put((Step.RUN_ENDED, row | {"to_ended": time.time(), "to_stopped": stopped}))
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
            self._closing.set()
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def check(self) -> None:
        """Raise why nothing is written any more, if that is so."""
        if self.problem is not None:
            raise self.problem

    def _put(self, *changes: Change) -> None:
        self.check()
        self._queue.put(changes)

    def _of(self, unit: str) -> dict[str, Any]:
        return {"of_campaign": self.campaign, "of_unit": unit}

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
        return Step.EVENTS, {
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

    # The writer's thread.

    def _write(self) -> None:
        going = True
        while going:
            changes: list[Change] = []
            each = self._queue.get()
            while each is not None:
                changes += each
                if len(changes) >= MOST:
                    break
                try:
                    each = self._queue.get_nowait()
                except Empty:
                    break
            going = each is not None
            if changes and self.problem is None:
                self.problem = self._committed(Batch.of(changes))

    def _committed(self, batch: Batch) -> LedgerError | None:
        """Commit changes, however often that must be tried; return why it cannot be done."""
        where, began, pause, said = self.database.where, time.monotonic(), 0.2, False
        while True:
            try:
                with self.database.engine.begin() as connection:
                    batch.apply(connection, again=said)
            except DBAPIError as problem:
                error, hope = not_usable(problem, where), hope_of(problem)
            except Exception as problem:
                log.exception("the ledger cannot be written")
                error, hope = unexpected(problem, where), Hope.NONE
            else:
                if said:
                    log.warning("the ledger %s answers again", where)
                return None
            if time.monotonic() - began >= self._wait_for(hope):
                log.error("the ledger takes nothing any more: %s", error)
                return error
            if not said:
                log.warning("the ledger does not answer, and is tried again: %s", error.value)
                said = True
            self.sleep(pause)
            pause = min(2 * pause, LONGEST)

    def _wait_for(self, hope: Hope) -> float:
        """Return the seconds that a database is tried again."""
        if hope == Hope.NONE:
            return 0.0
        # A run that has ended does not hang for a disk that somebody must make room on first.
        last = hope == Hope.FAINT and self._closing.is_set()
        return min(self.patience, LAST_PATIENCE) if last else self.patience
