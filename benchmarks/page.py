"""Tables that a command writes into a page of the docs, between marks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

__all__ = ["markdown_table", "write_tables"]

END = "<!-- end -->"


def write_tables(page: Path, command: str, tables: Mapping[str, str]) -> None:
    """Put tables into a page, each behind the mark that names the command and the table."""
    text = page.read_text(encoding="utf-8")
    for name, table in tables.items():
        mark = f"<!-- {command}: {name} -->"
        before, there, rest = text.partition(mark)
        if there:
            text = f"{before}{mark}\n{table}\n{END}{rest.partition(END)[2]}"
    page.write_text(text, encoding="utf-8")


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
