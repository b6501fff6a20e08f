"""From an older ledger's tables to today's, step by step."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

__all__ = ["upgrade"]


def upgrade(connection: Connection, to: str = "head") -> None:
    """Bring the tables up to date, in one transaction."""
    config = Config()
    config.set_main_option("script_location", "bkgflow.campaign.ledger:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, to)
    connection.commit()
