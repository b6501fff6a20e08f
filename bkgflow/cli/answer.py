"""What commands that ask something have in common: progress, and an answer in words or JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Protocol

import typer

__all__ = ["Answer", "AsJson", "Out", "counting", "say"]

Out = Annotated[str, typer.Argument(metavar="OUT", help="Output folder of a campaign.")]
AsJson = Annotated[bool, typer.Option("--json", help="Say it as JSON.")]


class Answer(Protocol):
    """What can be said in words and as JSON."""

    def to_dict(self) -> dict[str, object]:
        """Return all of it as plain values."""


def say(answer: Answer, *, json: bool) -> None:
    """Write an answer to standard output."""
    if json:
        from pydantic_core import to_json

        text = to_json(answer.to_dict(), indent=1, inf_nan_mode="null", serialize_unknown=True)
        typer.echo(text.decode())
    else:
        typer.echo(str(answer).encode(errors="replace").decode())


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], object] | None]:
    """Give what is told how many of how many are done: a bar, where a terminal shows it."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn(what), BarColumn(bar_width=20), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
