"""Reading a ledger, also while a run writes it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select
from sqlalchemy.exc import DBAPIError

from bkgflow.campaign.ledger.opening import NO_TABLES, Database
from bkgflow.campaign.ledger.rows import NUMBER, Kept, KeptFile, RunRow, verdict_from
from bkgflow.campaign.ledger.schema import attempts, campaigns, events, products, results, runs
from bkgflow.campaign.ledger.schema import units as units_table
from bkgflow.campaign.ledger.trouble import NO_LEDGER, damaged, not_usable
from bkgflow.errors import LedgerError
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.owner import Owner
from bkgflow.verdict import State

__all__ = ["Reader", "campaigns_in", "not_made_yet"]

NO_CAMPAIGN = "A ledger must have the campaign"

Query = Select[Any]
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reader:
    """What a ledger knows of one campaign."""

    database: Database
    campaign: str
    output: Location

    @classmethod
    def only(cls, database: Database, output: Location, campaign: str = "") -> Reader:
        """Return the reader of a campaign by its id, or of the only one in the database.

        Raises
        ------
        LedgerError
            If there is none.
        """
        found = campaigns_in(database)
        if campaign and campaign not in found:
            found = []
        if not found or (not campaign and len(found) > 1):
            raise LedgerError(
                NO_CAMPAIGN,
                file=database.where,
                value=campaign or f"{len(found)} campaigns",
                cure="Give the output folder of a campaign that is in it",
            )
        return cls(database, campaign or found[0], output)

    @contextmanager
    def _rows(self, query: Query) -> Iterator[Iterator[Row[Any]]]:
        with _answering(self.database) as connection:
            yield iter(connection.execute(query))

    def labels(self) -> dict[str, str]:
        """Return the campaign's labels."""
        query = select(campaigns.c.labels).where(campaigns.c.campaign == self.campaign)
        with self._rows(query) as rows:
            labels: dict[str, str] = json.loads(next(rows)[0])
            return labels

    def folder(self) -> str:
        """Return the output folder of the campaign's latest run; empty where it had none yet."""
        query = select(campaigns.c.output).where(campaigns.c.campaign == self.campaign)
        with self._rows(query) as rows:
            return next((str(row.output) for row in rows), "")

    def counts(self) -> dict[str, int]:
        """Count the units by state, those alone that the program still has."""
        own = units_table.c
        query = (
            select(own.state, func.count().label("number"))
            .where(own.campaign == self.campaign, own.listed == 1)
            .group_by(own.state)
        )
        with self._rows(query) as rows:
            return {str(row.state): int(row.number) for row in rows}

    def runs(self) -> list[RunRow]:
        """Return the campaign's runs, the latest last."""
        query = select(runs).where(runs.c.campaign == self.campaign)
        with self._rows(query) as rows:
            found = [_run(row) for row in rows]
        return sorted(found, key=lambda each: (each.number, each.started))

    def units(
        self, *names: str, states: tuple[str, ...] = (), all_of_them: bool = False
    ) -> list[Kept]:
        """Return how units stand, in the plan's order: those asked for by name, or all.

        Units that the program has no more come with them if they are asked for.
        """
        own = units_table.c
        wanted = [own.campaign == self.campaign]
        wanted += [own.unit.in_(names)] if names else []
        wanted += [own.listed == 1] if not (names or all_of_them) else []
        wanted += [own.state.in_(states)] if states else []
        files = self._files(names)
        shared = self._shared_keys()
        with self._rows(select(units_table).where(*wanted).order_by(own.position)) as rows:
            return [_kept(row, files, shared, self.output) for row in rows]

    def _files(self, names: tuple[str, ...]) -> dict[str, list[KeptFile]]:
        own = products.c
        query = select(products).where(own.campaign == self.campaign).order_by(own.number)
        if names:
            query = query.where(own.unit.in_(names))
        found: dict[str, list[KeptFile]] = defaultdict(list)
        with self._rows(query) as rows:
            for row in rows:
                file = KeptFile(row.file, row.size, row.mtime_ns, row.checksum, row.digest)
                found[row.unit].append(file)
        return found

    def _shared_keys(self) -> dict[str, str]:
        query = select(results.c.digest, results.c.key).where(results.c.campaign == self.campaign)
        with self._rows(query) as rows:
            return {str(row.digest): str(row.key) for row in rows}

    def attempts(self, unit: str) -> list[Record]:
        """Return every attempt at a unit, the latest last."""
        own = attempts.c
        return self._by_run(select(attempts).where(own.campaign == self.campaign, own.unit == unit))

    def events(self, unit: str | None = None, run: str | None = None) -> list[Record]:
        """Return what happened, in order: to a unit, in a run, or at all."""
        own = events.c
        query = select(events).where(own.campaign == self.campaign)
        if unit is not None:
            query = query.where(own.unit == unit)
        if run is not None:
            query = query.where(own.run == run)
        return self._by_run(query)

    def _by_run(self, query: Query) -> list[Record]:
        """Return rows in the order in which they came to be, whatever the clocks said."""
        with self._rows(query) as rows:
            found = [dict(row._mapping) for row in rows]
        order = {each.run: place for place, each in enumerate(self.runs())}
        return sorted(found, key=lambda row: (order.get(row["run"], len(order)), row["number"]))


def campaigns_in(database: Database) -> list[str]:
    """Return the ids of the campaigns that a ledger knows."""
    with _answering(database) as connection:
        return list(connection.execute(select(campaigns.c.campaign)).scalars())


def not_made_yet(error: LedgerError) -> bool:
    """Whether an error says of a ledger that it is not there, and not that it cannot be read."""
    if error.rule == NO_LEDGER:
        return not Location.of(error.file or "").exists()
    return error.rule in {NO_TABLES, NO_CAMPAIGN}


@contextmanager
def _answering(database: Database) -> Iterator[Connection]:
    try:
        with database.engine.connect() as connection:
            yield connection
    except DBAPIError as problem:
        if "decode to UTF-8" in str(problem.orig):  # no lock, and no other trouble that passes
            raise damaged(database.where, problem.orig) from None
        raise not_usable(problem, database.where) from None
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError, StopIteration) as odd:
        # What no ledger holds: bytes in it are not those that were written.
        said = f"what stands in it cannot be read ({type(odd).__name__}: {odd})"
        raise damaged(database.where, said[:200]) from None


def _run(row: Row[Any]) -> RunRow:
    owner = Owner.read(row.process)
    assert owner is not None
    asked = json.loads(row.asked)
    number = int(asked.pop(NUMBER, 0))
    return RunRow(
        row.run,
        row.version,
        owner,
        row.user,
        row.started,
        row.to_do,
        row.kept,
        json.loads(row.settings),
        asked,
        row.ended,
        row.stopped,
        number,
    )


def _kept(
    row: Row[Any], files: dict[str, list[KeptFile]], shared: dict[str, str], output: Location
) -> Kept:
    own = tuple(files.get(row.unit, ()))
    current = [str(output / each.file) for each in own if each.digest == row.digest]
    return Kept(
        unit=row.unit,
        state=State(row.state),
        digest=row.digest,
        key_text=row.key,
        verdict=verdict_from(row.verdict, current),
        why=row.why,
        run=row.run,
        target=row.target,
        association=row.association,
        kind=row.kind,
        files=own,
        shared_text=shared.get(row.shared, ""),
        begun=row.begun,
        ended=row.ended,
    )
