"""Tables, on a terminal and as plain text."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Mapping, Sequence

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table

from bkgflow.texts import columns_of

__all__ = [
    "PLAIN_WIDTH",
    "as_text",
    "counted",
    "fits",
    "human_bytes",
    "make_table",
    "per_minute",
    "print_table",
    "width_here",
]

PLAIN_WIDTH = 10_000
"""Columns of a table that is not drawn on a terminal: as wide as its longest line, so that
no file name is broken."""

BETWEEN = 2
"""Columns between two cells."""


def make_table(
    title: str | None,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    caption: str | None = None,
) -> Table:
    """Return a table to print with rich; the cells are shown as they are, without markup."""
    table = Table(
        title=title, caption=caption, title_justify="left", caption_justify="left",
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0),
    )  # fmt: skip
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:  # rich would read square brackets in file names as markup
        table.add_row(*(str(cell).replace("[", r"\[") for cell in row))
    return table


def fits(columns: Sequence[str], rows: Sequence[Sequence[object]], width: int) -> bool:
    """Whether a table fits a width without breaking a cell."""
    longest = (max(len(str(row[i])) for row in (columns, *rows)) for i in range(len(columns)))
    return sum(longest) + BETWEEN * (len(columns) - 1) <= width


def width_here() -> int:
    """Return how wide a table on standard output may be.

    In a pipe, as wide as it likes, unless ``COLUMNS`` in the environment says how wide.
    """
    asked = os.environ.get("COLUMNS", "")
    return int(asked) if asked.isdigit() and int(asked) else columns_of(sys.stdout) or PLAIN_WIDTH


def as_text(what: RenderableType, width: int = PLAIN_WIDTH) -> str:
    """Draw a table, or several, as plain text, without colour."""
    buffer = io.StringIO()
    Console(file=buffer, width=width, color_system=None, force_terminal=False).print(what)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())


def print_table(what: RenderableType, notes: Iterable[str] = ()) -> None:
    """Print a table, or several, and notes below: plain text in a pipe or a file."""
    console = Console()
    if console.is_terminal:
        console.print(what)
    else:
        print(as_text(what, width_here()))
    for note in notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def counted(counts: Mapping[str, int]) -> str:
    """Write how many there are of each: "2 COMPLETE, 1 SKIPPED", or "none"."""
    return ", ".join(f"{number:,} {what}" for what, number in sorted(counts.items())) or "none"


def human_bytes(number: int) -> str:
    """Write a number of bytes with a unit: 1536 → '1.5 KiB'."""
    amount = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def per_minute(rate: float) -> str:
    """Write how many units end in a minute: "0.25 units/min", "1,170 units/min"."""
    number = f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}" if rate >= 1 else f"{rate:.2g}"
    return f"{number} units/min"
