"""Rows as an astropy table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["as_table"]


def as_table(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> Table:
    """Return an `astropy.table.Table` with these columns, one row each."""
    from astropy.table import Table

    if not rows:
        return Table(names=list(columns), dtype=[object] * len(columns))
    return Table({name: [row[name] for row in rows] for name in columns})
