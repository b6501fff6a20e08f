"""Tables, on a terminal and as plain text."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table

__all__ = ["as_text", "counted", "human_bytes", "make_table", "print_table"]

PLAIN_WIDTH = 10_000
"""Columns of a table that is not drawn on a terminal: as wide as its longest line, so that
no file name is broken."""


def make_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    caption: str | None = None,
) -> Table:
    """Return a table to print with rich; the cells are shown as they are, without markup."""
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:  # rich would read square brackets in file names as markup
        table.add_row(*(str(cell).replace("[", r"\[") for cell in row))
    return table


def as_text(table: Table) -> str:
    """Draw a table as plain text, without colour."""
    buffer = io.StringIO()
    Console(file=buffer, width=PLAIN_WIDTH, color_system=None, force_terminal=False).print(table)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())


def print_table(table: Table, notes: Iterable[str] = ()) -> None:
    """Print a table, and notes below it: drawn on a terminal, plain text in a pipe or a file."""
    console = Console()
    if console.is_terminal:
        console.print(table)
    else:
        print(as_text(table))
    for note in notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def counted(counts: Mapping[str, int]) -> str:
    """Write how many there are of each: "2 COMPLETE, 1 SKIPPED", or "none"."""
    return ", ".join(f"{number} {what}" for what, number in sorted(counts.items())) or "none"


def human_bytes(number: int) -> str:
    """Write a number of bytes with a unit: 1536 → '1.5 KiB'."""
    amount = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
