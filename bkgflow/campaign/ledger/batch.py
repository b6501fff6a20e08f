"""What is committed together: rows by the statement that puts them down.

A statement that is given many rows at once costs a tenth of as many statements. Their order is
fixed, and within a batch it does no harm: a unit begins once, ends once, and is either taken up
or left as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from sqlalchemy import Connection, Delete, Table, Update, and_, bindparam, delete, insert, update

from bkgflow.campaign.ledger.schema import attempts, events, products, runs, units

__all__ = ["Batch", "Change", "Row", "Step"]

Row = Mapping[str, Any]


class Step(IntEnum):
    """What is put down, in the order in which that is done."""

    KEYED = 0
    BEGUN = 1
    ENDED = 2
    FILES = 3
    KEYED_FILES = 4
    SEEN = 5
    ATTEMPTS = 6
    EVENTS = 7
    RUN_ENDED = 8


Change = tuple[Step, Row]
"""A row, and what is done with it."""


def _given(table: Table, name: str) -> Any:
    return table.c[name] == bindparam(f"of_{name}")


def _update(table: Table, by: Iterable[str], values: Iterable[str]) -> Update:
    """Return an update whose rows give ``of_NAME`` to find, and ``to_NAME`` to put down."""
    found = and_(*(_given(table, name) for name in by))
    return update(table).where(found).values({name: bindparam(f"to_{name}") for name in values})


def _forget(table: Table, *by: str) -> Delete:
    return delete(table).where(*(_given(table, name) for name in by))


UPDATES: Mapping[Step, Update] = {
    Step.KEYED: _update(units, ("campaign", "unit"), ("digest", "key", "shared")),
    Step.BEGUN: _update(units, ("campaign", "unit"), ("begun",)),
    Step.ENDED: _update(units, ("campaign", "unit"), ("state", "verdict", "ended")),
    Step.KEYED_FILES: _update(products, ("campaign", "unit"), ("digest",)),
    Step.SEEN: _update(products, ("campaign", "file"), ("size", "mtime_ns", "checksum")),
    Step.RUN_ENDED: _update(runs, ("campaign", "run"), ("ended", "stopped")),
}

INSERTS: Mapping[Step, Table] = {
    Step.FILES: products,
    Step.ATTEMPTS: attempts,
    Step.EVENTS: events,
}

FORGET_FILES_OF_UNIT = _forget(products, "campaign", "unit")
FORGET_FILE = _forget(products, "campaign", "file")
FORGET: Mapping[Step, Delete] = {
    Step.ATTEMPTS: _forget(attempts, *(each.name for each in attempts.primary_key)),
    Step.EVENTS: _forget(events, *(each.name for each in events.primary_key)),
}
"""Before rows that may be there already."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes that are committed together, once or several times with the effect of once."""

    changes: Mapping[Step, list[Row]] = field(default_factory=dict)

    @classmethod
    def of(cls, changes: Iterable[Change]) -> Batch:
        """Sort changes by what is done with them."""
        found: dict[Step, list[Row]] = {}
        for step, row in changes:
            found.setdefault(step, []).append(row)
        return cls(found)

    def apply(self, connection: Connection, *, again: bool) -> None:
        """Put everything down.

        Parameters
        ----------
        again : bool
            Whether it may be there already: a commit that was not answered may have come through.
        """
        for step in sorted(self.changes):
            rows = self.changes[step]
            if step in UPDATES:
                connection.execute(UPDATES[step], rows)
                continue
            for statement, known in self._forgotten(step, rows, again=again):
                connection.execute(statement, known)
            table = INSERTS[step]
            names = tuple(each.name for each in table.primary_key)
            # What is put down twice in one batch is as the later one says.
            last = {tuple(row[name] for name in names): row for row in rows}
            connection.execute(insert(table), list(last.values()))

    def _forgotten(
        self, step: Step, rows: list[Row], *, again: bool
    ) -> Iterator[tuple[Delete, list[dict[str, Any]]]]:
        """Give what must not be there when rows are inserted."""
        if step == Step.FILES:  # a unit's older files; and a file may have been another unit's
            yield FORGET_FILES_OF_UNIT, _keys(rows, "campaign", "unit")
            yield FORGET_FILE, _keys(rows, "campaign", "file")
        elif again or step == Step.ATTEMPTS:  # a scheduler that was lost may tell one twice
            names = tuple(each.name for each in INSERTS[step].primary_key)
            yield FORGET[step], _keys(rows, *names)


def _keys(rows: Iterable[Row], *names: str) -> list[dict[str, Any]]:
    found = dict.fromkeys(tuple(row[name] for name in names) for row in rows)
    return [{f"of_{name}": v for name, v in zip(names, each, strict=True)} for each in found]
