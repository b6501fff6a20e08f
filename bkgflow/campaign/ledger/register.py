"""Taking down a run before its first unit: the campaign, its units, and why each is taken up."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from bkgflow.campaign.ledger.leaving import Asker, have_left
from bkgflow.campaign.ledger.rows import NUMBER, RunRow
from bkgflow.campaign.ledger.schema import campaigns, results, runs, units
from bkgflow.planning.plan import Plan
from bkgflow.planning.unit import Unit
from bkgflow.verdict import State

__all__ = ["DIED", "Entry", "register"]

DIED = "its process died"
"""How a run ended that could not say so: the next one, which holds the folder, says it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a run takes up: a unit, and why; its state is PLANNED until it ends."""

    unit: Unit
    why: str


def register(
    connection: Connection,
    campaign: str,
    row: RunRow,
    plan: Plan,
    output: str,
    entries: Iterable[Entry],
    labels: Mapping[str, str],
    names: Mapping[str, str],
) -> None:
    """Take down a run, with all that it takes up and all that it leaves as it is.

    Parameters
    ----------
    names : mapping
        What the ledger calls each unit, by the digests of their keys.
    """
    _campaign(connection, campaign, output, labels)
    _runs(connection, campaign, row)
    _Register(connection, campaign, row.run, names).units(
        plan, {each.unit.digest: each.why for each in entries}
    )
    _results(connection, campaign, plan)


def _campaign(
    connection: Connection, campaign: str, output: str, labels: Mapping[str, str]
) -> None:
    own = campaigns.c.campaign == campaign
    there = connection.execute(select(campaigns.c.labels).where(own)).scalar()
    if there is None:
        made = {"campaign": campaign, "created": time.time(), "output": output}
        connection.execute(insert(campaigns), [made | {"labels": json.dumps(dict(labels))}])
        return
    together = json.dumps(json.loads(there) | dict(labels))
    connection.execute(update(campaigns).where(own).values(output=output, labels=together))


def _runs(connection: Connection, campaign: str, row: RunRow) -> None:
    left = (runs.c.campaign == campaign, runs.c.ended.is_(None))
    connection.execute(update(runs).where(*left).values(ended=row.started, stopped=DIED))
    before = select(func.count()).where(runs.c.campaign == campaign)
    number = int(connection.execute(before).scalar_one()) + 1
    values = {
        "campaign": campaign,
        "run": row.run,
        "version": row.version,
        "process": str(row.owner),
        "user": row.user,
        "started": row.started,
        "to_do": row.to_do,
        "kept": row.kept,
        "settings": json.dumps(dict(row.settings), default=list),
        "asked": json.dumps(dict(row.asked) | {NUMBER: number}, default=str),
    }
    connection.execute(insert(runs), [values])


@dataclass(frozen=True, slots=True)
class _Register:
    connection: Connection
    campaign: str
    run: str
    names: Mapping[str, str]

    def units(self, plan: Plan, taken_up: Mapping[str, str]) -> None:
        """Take down every unit of a plan; those that its program has no more are not listed.

        Those of other programs, which ran into the same folder, stay as they are.
        """
        own = units.c
        query = select(
            own.unit, own.position, own.listed, own.association, own.target, own.kind
        ).where(own.campaign == self.campaign)
        before_all = {row.unit: row for row in self.connection.execute(query)}
        there = {name: (row.position, row.listed) for name, row in before_all.items()}
        askers = {
            name: Asker(row.association, row.target, bool(row.kind))
            for name, row in before_all.items()
        }
        new, again, moved, taken = [], [], [], []
        for position, unit in enumerate(plan.units):
            name = self.names[unit.digest]
            place = {"position": position, "listed": 1}
            before = there.pop(name, None)
            if before is not None:
                taken.append((askers[name], Asker.of(unit)))
            if before is None:
                why = taken_up.get(unit.digest, "new")
                new.append({"campaign": self.campaign, "unit": name} | place | self._row(unit, why))
            elif unit.digest in taken_up:
                again.append((name, place | self._row(unit, taken_up[unit.digest])))
            elif before != (position, 1):
                moved.append((name, place))
        if new:
            self.connection.execute(insert(units), new)
        left = {name: askers[name] for name, (_, listed) in there.items() if listed}
        gone = [(name, {"listed": 0}) for name in have_left(left, plan, taken)]
        for rows in (again, moved, gone):
            self._update(rows)

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

    def _update(self, rows: list[tuple[str, dict[str, Any]]]) -> None:
        if not rows:
            return
        own = units.c
        change = (
            update(units)
            .where(own.campaign == self.campaign, own.unit == bindparam("of"))
            .values({name: bindparam(f"to_{name}") for name in rows[0][1]})
        )
        self.connection.execute(
            change, [{"of": name} | {f"to_{n}": v for n, v in row.items()} for name, row in rows]
        )


def _results(connection: Connection, campaign: str, plan: Plan) -> None:
    """Take down the keys of shared results; of one that is known, more may be known now."""
    own = results.c
    query = select(own.digest, own.key).where(own.campaign == campaign)
    there: dict[str, str] = {row.digest: row.key for row in connection.execute(query)}
    new = []
    for each in {each.digest: each for each in plan.shared}.values():
        key = each.key.to_json()
        if each.digest not in there:
            new.append({"campaign": campaign, "digest": each.digest, "key": key})
        elif there[each.digest] != key:
            mine = (own.campaign == campaign, own.digest == each.digest)
            connection.execute(update(results).where(*mine).values(key=key))
    if new:
        connection.execute(insert(results), new)
