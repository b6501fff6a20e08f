"""What alembic runs: the steps, on the connection that it is given."""

from __future__ import annotations

from alembic import context

from bkgflow.campaign.ledger.schema import tables

__all__: list[str] = []

context.configure(connection=context.config.attributes["connection"], target_metadata=tables)
with context.begin_transaction():
    context.run_migrations()
