"""The tables with which ledgers began."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from bkgflow.campaign.ledger.schema import Words

__all__ = ["down_revision", "downgrade", "revision", "upgrade"]

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them all."""
    _of_campaigns()
    _of_units()
    _of_what_happened()
    op.create_index("units_by_state", "units", ["campaign", "state"])
    op.create_index("events_of_unit", "events", ["campaign", "unit"])
    op.create_index("products_of_unit", "products", ["campaign", "unit"])


def downgrade() -> None:
    """Leave them: nothing is older, and what a campaign did is not thrown away."""


OF_CAMPAIGN = ["campaign"], ["campaigns.campaign"]
OF_UNIT = ["campaign", "unit"], ["units.campaign", "units.unit"]


def _of_campaigns() -> None:
    op.create_table(
        "campaigns",
        sa.Column("campaign", sa.String(32), primary_key=True),
        sa.Column("output", Words, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
    )
    op.create_table(
        "runs",
        sa.Column("campaign", sa.String(32), primary_key=True),
        sa.Column("run", sa.String(32), primary_key=True),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("process", sa.Text, nullable=False),
        sa.Column("user", Words, nullable=False),
        sa.Column("started", sa.Float, nullable=False),
        sa.Column("ended", sa.Float),
        sa.Column("stopped", Words),
        sa.Column("to_do", sa.Integer, nullable=False),
        sa.Column("kept", sa.Integer, nullable=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("asked", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(*OF_CAMPAIGN),
    )


def _of_units() -> None:
    op.create_table(
        "units",
        sa.Column("campaign", sa.String(32), primary_key=True),
        sa.Column("unit", Words, primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("association", Words, nullable=False),
        sa.Column("product", Words, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("target", Words, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("digest", sa.String(32), nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("shared", sa.String(32), nullable=False),
        sa.Column("verdict", sa.Text),
        sa.Column("why", Words, nullable=False),
        sa.Column("run", sa.String(32), nullable=False),
        sa.Column("begun", sa.Float),
        sa.Column("ended", sa.Float),
        sa.Column("listed", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(*OF_CAMPAIGN),
    )
    op.create_table(
        "results",
        sa.Column("campaign", sa.String(32), primary_key=True),
        sa.Column("digest", sa.String(32), primary_key=True),
        sa.Column("key", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(*OF_CAMPAIGN),
    )
    op.create_table(
        "products",
        sa.Column("campaign", sa.String(32), primary_key=True),
        sa.Column("file", Words, primary_key=True),
        sa.Column("unit", Words, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(32), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("mtime_ns", sa.BigInteger, nullable=False),
        sa.Column("checksum", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(*OF_UNIT),
    )


def _of_what_happened() -> None:
    op.create_table(
        "attempts",
        sa.Column("campaign", sa.String(32), primary_key=True),
        sa.Column("unit", Words, primary_key=True),
        sa.Column("run", sa.String(32), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("worker", Words, nullable=False),
        sa.Column("host", Words, nullable=False),
        sa.Column("started", sa.Float),
        sa.Column("seconds", sa.Float),
        sa.Column("read", sa.BigInteger),
        sa.Column("written", sa.BigInteger),
        sa.Column("peak_memory", sa.BigInteger),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", Words, nullable=False),
        sa.Column("log", Words, nullable=False),
        sa.ForeignKeyConstraint(*OF_UNIT),
    )
    op.create_table(
        "events",
        sa.Column("campaign", sa.String(32), primary_key=True),
        sa.Column("run", sa.String(32), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("time", sa.Float, nullable=False),
        sa.Column("unit", Words),
        sa.Column("event", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16)),
        sa.Column("words", Words, nullable=False),
        sa.Column("worker", Words, nullable=False),
    )
