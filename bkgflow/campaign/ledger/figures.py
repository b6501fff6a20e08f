"""Figures of a campaign, counted by the database: of ten thousand units within milliseconds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath

from sqlalchemy import Connection, and_, case, func, select
from sqlalchemy.exc import DBAPIError

from bkgflow.campaign.ledger.reader import Reader
from bkgflow.campaign.ledger.schema import attempts, products
from bkgflow.campaign.ledger.schema import units as units_table
from bkgflow.campaign.ledger.trouble import not_usable
from bkgflow.planning.grouped import Group, Told, group_reasons
from bkgflow.verdict import State

__all__ = ["LATELY", "Figures", "Running", "figures_of"]

LATELY = 300.0
"""Seconds of which the pace of a run that goes on is taken."""


@dataclass(frozen=True, slots=True)
class Running:
    """A unit that is computed now: since when, in seconds since 1970, and where, if known."""

    unit: str
    target: str
    since: float
    where: str


@dataclass(frozen=True, slots=True)
class Figures:
    """How a campaign stands.

    Attributes
    ----------
    counts : dict
        Units by state, those alone that the program still has.
    under_way : tuple of Running
        Units that the run has begun and not ended.
    ended, lately : int
        Units that ended in the run; and of them, within the last minutes.
    first, last : float or None
        When the run's first unit began, and its last one ended so far.
    written : int
        Bytes of all products that are there.
    failures : tuple of Group
        What went wrong, each reason once.
    """

    counts: dict[str, int]
    under_way: tuple[Running, ...]
    ended: int
    lately: int
    first: float | None
    last: float | None
    written: int
    failures: tuple[Group, ...]


def figures_of(reader: Reader, run: str, now: float) -> Figures:
    """Count how a campaign stands, and how its latest run goes.

    Raises
    ------
    LedgerError
        If the ledger does not answer.
    """
    own = units_table.c
    mine = and_(own.campaign == reader.campaign, own.listed == 1)
    # What is refused ends at once, and says nothing of the pace.
    timed = and_(own.run == run, own.ended.is_not(None), own.begun.is_not(None))
    pace = select(
        func.sum(case((timed, 1), else_=0)),
        func.sum(case((and_(timed, own.ended > now - LATELY), 1), else_=0)),
        func.min(case((own.run == run, own.begun))),
        func.max(case((timed, own.ended))),
    ).where(mine)
    size = select(func.sum(products.c.size)).where(
        products.c.campaign == reader.campaign, products.c.size > 0
    )
    counted = select(own.state, func.count()).where(mine).group_by(own.state)
    with _connected(reader) as connection:
        counts = {str(state): int(number) for state, number in connection.execute(counted)}
        ended, lately, first, last = connection.execute(pace).one()
        written = connection.execute(size).scalar()
        under_way = tuple(_under_way(connection, reader, run))
        failures = tuple(group_reasons(_told(connection, reader)))
    return Figures(
        counts, under_way, ended or 0, lately or 0, first, last, int(written or 0), failures
    )


def _under_way(connection: Connection, reader: Reader, run: str) -> Iterator[Running]:
    own = units_table.c
    query = select(own.unit, own.target, own.begun).where(
        own.campaign == reader.campaign,
        own.listed == 1,
        own.state == State.PLANNED.value,
        own.run == run,
        own.begun.is_not(None),
    )
    for unit, target, begun in connection.execute(query.order_by(own.begun)).all():
        tries = attempts.c
        where = select(tries.worker, tries.host).where(
            tries.campaign == reader.campaign,
            tries.unit == unit,
            tries.run == run,
            tries.seconds.is_(None),  # one that has ended says nothing of where it is now
        )
        found = connection.execute(where.order_by(tries.number.desc()).limit(1)).first()
        place = " on ".join(filter(None, found)) if found else ""
        yield Running(unit, PurePath(target).name, begun, place)


def _told(connection: Connection, reader: Reader) -> Iterator[Told]:
    own = units_table.c
    wrong = [each.value for each in State if not each.good and each != State.PLANNED]
    query = (
        select(own.target, own.state, own.verdict)
        .where(own.campaign == reader.campaign, own.listed == 1, own.state.in_(wrong))
        .order_by(own.position)
    )
    for target, state, verdict in connection.execute(query):
        parts = json.loads(verdict or "{}")
        error = parts.get("error") or {}
        reason, file = str(parts.get("reason") or ""), str(error.get("file") or "")
        text = reason.removeprefix(f"{file}: ") if file else reason
        rule = str(error.get("rule") or text)
        yield Told(State(state), text, rule, PurePath(target).name, file)


@contextmanager
def _connected(reader: Reader) -> Iterator[Connection]:
    try:
        with reader.database.engine.connect() as connection:
            yield connection
    except DBAPIError as problem:
        raise not_usable(problem, reader.database.where) from None
