"""A campaign written into a ledger as its products tell it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert
from sqlalchemy.exc import DBAPIError

from bkgflow.campaign.ledger.opening import Database
from bkgflow.campaign.ledger.rows import KeptFile, verdict_to
from bkgflow.campaign.ledger.schema import (
    attempts,
    campaigns,
    events,
    products,
    results,
    runs,
    units,
)
from bkgflow.campaign.ledger.trouble import not_usable
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.owner import Owner
from bkgflow.verdict import Verdict
from bkgflow.version import VERSION

__all__ = ["WHY", "Product", "restore"]

WHY = "rebuilt from its product"
"""Why a unit stands as it does that nobody but its product knows of."""

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Product:
    """A product, and what lies beside it.

    Attributes
    ----------
    name : str
        Its file name, by which a ledger calls its unit.
    digest, shared : str
        Of the key of its unit, and of the result that this shared.
    files : tuple of KeptFile
        Itself first.
    target, association, product : str
        As a run has told; empty where none did.
    """

    name: str
    digest: str
    shared: str
    kind: str
    verdict: Verdict
    files: tuple[KeptFile, ...] = ()
    target: str = ""
    association: str = ""
    product: str = ""


def restore(
    database: Database, campaign: str, output: Location, run: str, found: Sequence[Product]
) -> None:
    """Write units and their files, in the place of all that the ledger has of the campaign.

    Their keys have no parts: these are in no product. The digests tell whether a plan's unit is
    the same.

    Raises
    ------
    LedgerError
        If the database does not take it.
    """
    own: Row = {"campaign": campaign}
    try:
        with database.engine.begin() as connection:
            for table in (attempts, products, events, results, units, runs, campaigns):
                connection.execute(delete(table).where(table.c.campaign == campaign))
            now = time.time()
            made: Row = {"output": str(output), "created": now, "labels": "{}"}
            connection.execute(insert(campaigns), [own | made])
            _run(connection, own | {"run": run}, len(found), now)
            _units(connection, own, run, found)
    except DBAPIError as problem:
        raise not_usable(problem, database.where) from None


def _run(connection: Connection, own: Row, number: int, now: float) -> None:
    row: Row = {
        "version": VERSION,
        "process": str(Owner.me()),
        "user": "",
        "started": now,
        "ended": now,
        "stopped": "the ledger was made again from the products",
        "to_do": 0,
        "kept": number,
        "settings": "{}",
        "asked": "{}",
    }
    connection.execute(insert(runs), [own | row])
    event: Row = {
        "number": 1,
        "time": now,
        "unit": None,
        "event": "says",
        "state": None,
        "worker": "",
    }
    words = f"the ledger was made again from the products of {number} units"
    connection.execute(insert(events), [own | event | {"words": words}])


def _units(connection: Connection, own: Row, run: str, found: Sequence[Product]) -> None:
    if not found:
        return
    connection.execute(
        insert(units),
        [
            own
            | {
                "unit": each.name,
                "position": position,
                "association": each.association,
                "product": each.product,
                "kind": each.kind,
                "target": each.target,
                "state": each.verdict.state.value,
                "digest": each.digest,
                "key": json.dumps([]),
                "shared": each.shared,
                "verdict": verdict_to(each.verdict),
                "why": WHY,
                "run": run,
                "begun": None,
                "ended": each.files[0].mtime_ns / 1e9,
                "listed": 1,
            }
            for position, each in enumerate(found)
        ],
    )
    connection.execute(
        insert(products),
        [
            own
            | {
                "file": file.file,
                "unit": each.name,
                "number": number,
                "digest": file.digest,
                "size": file.size,
                "mtime_ns": file.mtime_ns,
                "checksum": file.checksum,
            }
            for each in found
            for number, file in enumerate(each.files)
        ],
    )
