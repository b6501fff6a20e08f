"""The tables of a ledger: how units stand, and the events by which they came to stand so.

One database may hold several campaigns. Text columns that hold JSON are text, not the database's
own JSON: that has no NaN, which a fit without a result is full of.
"""

from __future__ import annotations

import json

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

__all__ = [
    "HEAD",
    "Words",
    "attempts",
    "campaigns",
    "events",
    "products",
    "results",
    "runs",
    "tables",
    "units",
]

HEAD = "0001"
"""The version of these tables: the name of the newest migration."""

ODD = "\x1ajson:"
"""How text begins that no database takes as it is."""


class Words(TypeDecorator[str]):
    """Text that may hold anything, as names of files may: also what is no UTF-8, and NUL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return what the database is given."""
        if value is None or not (_odd(value) or value.startswith(ODD)):
            return value
        return ODD + json.dumps(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Return what the database was given."""
        if value is None or not value.startswith(ODD):
            return value
        found: str = json.loads(value.removeprefix(ODD))
        return found


def _odd(text: str) -> bool:
    if text.isascii():
        return "\0" in text
    return "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text)


tables = MetaData()
"""All tables."""

campaigns = Table(
    "campaigns",
    tables,
    Column("campaign", String(32), primary_key=True),
    Column("output", Words, nullable=False),
    Column("created", Float, nullable=False),
    Column("labels", Text, nullable=False),
)

runs = Table(
    "runs",
    tables,
    Column("campaign", String(32), primary_key=True),
    Column("run", String(32), primary_key=True),
    Column("version", Text, nullable=False),
    Column("process", Text, nullable=False),
    Column("user", Words, nullable=False),
    Column("started", Float, nullable=False),
    Column("ended", Float),
    Column("stopped", Words),
    Column("to_do", Integer, nullable=False),
    Column("kept", Integer, nullable=False),
    Column("settings", Text, nullable=False),
    Column("asked", Text, nullable=False),
    ForeignKeyConstraint(["campaign"], ["campaigns.campaign"]),
)
"""``process`` is the driver's, as `Owner` writes it; times are seconds since 1970, UTC; ``asked``
is JSON of the command that makes such a run again, and has the ``number`` of the run: clocks are
set, and no order is told by them."""

units = Table(
    "units",
    tables,
    Column("campaign", String(32), primary_key=True),
    Column("unit", Words, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("association", Words, nullable=False),
    Column("product", Words, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("target", Words, nullable=False),
    Column("state", String(16), nullable=False),
    Column("digest", String(32), nullable=False),
    Column("key", Text, nullable=False),
    Column("shared", String(32), nullable=False),
    Column("verdict", Text),
    Column("why", Words, nullable=False),
    Column("run", String(32), nullable=False),
    Column("begun", Float),
    Column("ended", Float),
    Column("listed", Integer, nullable=False),
    ForeignKeyConstraint(["campaign"], ["campaigns.campaign"]),
)
"""How each unit stands. ``key`` is that of what it stands for; ``why`` says why it was last taken
up; ``run`` in which run that was; ``listed`` is 0 for units that the program has no more."""

results = Table(
    "results",
    tables,
    Column("campaign", String(32), primary_key=True),
    Column("digest", String(32), primary_key=True),
    Column("key", Text, nullable=False),
    ForeignKeyConstraint(["campaign"], ["campaigns.campaign"]),
)
"""The keys of the shared results that units wait for."""

products = Table(
    "products",
    tables,
    Column("campaign", String(32), primary_key=True),
    Column("file", Words, primary_key=True),
    Column("unit", Words, nullable=False),
    Column("number", Integer, nullable=False),
    Column("digest", String(32), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("checksum", String(64), nullable=False),
    ForeignKeyConstraint(["campaign", "unit"], ["units.campaign", "units.unit"]),
)
"""The files that are there, by their names in the output folder; ``digest`` of the key that they
were made for."""

attempts = Table(
    "attempts",
    tables,
    Column("campaign", String(32), primary_key=True),
    Column("unit", Words, primary_key=True),
    Column("run", String(32), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("worker", Words, nullable=False),
    Column("host", Words, nullable=False),
    Column("started", Float),
    Column("seconds", Float),
    Column("read", BigInteger),
    Column("written", BigInteger),
    Column("peak_memory", BigInteger),
    Column("state", String(16), nullable=False),
    Column("reason", Words, nullable=False),
    Column("log", Words, nullable=False),
    ForeignKeyConstraint(["campaign", "unit"], ["units.campaign", "units.unit"]),
)

events = Table(
    "events",
    tables,
    Column("campaign", String(32), primary_key=True),
    Column("run", String(32), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("time", Float, nullable=False),
    Column("unit", Words),
    Column("event", String(16), nullable=False),
    Column("state", String(16)),
    Column("words", Words, nullable=False),
    Column("worker", Words, nullable=False),
)
"""What happened, in the order of each run's ``number``."""

Index("units_by_state", units.c.campaign, units.c.state)
Index("events_of_unit", events.c.campaign, events.c.unit)
Index("products_of_unit", products.c.campaign, products.c.unit)
