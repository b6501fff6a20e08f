"""Units and exposures as tables of a notebook: HTML with few rows, pandas with all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from bkgflow.texts import many

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Row", "frame_of", "html_of"]

MOST_ROWS = 20
"""Of a table that is shown as HTML."""

MOST_LETTERS = 200
"""Of one of its cells."""

Row = dict[str, object]


def frame_of(rows: Iterable[Row], columns: Sequence[str]) -> pd.DataFrame:
    """Return a pandas table with these columns, one row each."""
    import pandas as pd

    return pd.DataFrame(list(rows), columns=list(columns))


def html_of(
    summary: str, rows: Sequence[Row], columns: Sequence[str], most: int = MOST_ROWS
) -> str:
    """Return lines of a summary and a table of the first rows, everything escaped."""
    head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{_cell(row.get(name))}</td>' for name in columns)}</tr>"
        for row in rows[:most]
    )
    left = len(rows) - most
    more = f"<p>… and {many(left, 'more row')}: to_frame() has all of them</p>" if left > 0 else ""
    lines = "<br>".join(map(escape, summary.splitlines()))
    return f"<p>{lines}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return escape(text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}…")
