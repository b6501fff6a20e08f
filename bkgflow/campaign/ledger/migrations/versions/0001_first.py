"""The tables with which ledgers began."""

from __future__ import annotations

__all__ = ["down_revision", "downgrade", "revision", "upgrade"]

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them all."""


def downgrade() -> None:
    """Nothing is older."""
    raise NotImplementedError
