"""Pictures of a run on the command line: how far they are, and which cannot be drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from bkgflow.io.storage.location import PathLike
    from bkgflow.planning.unit import Unit
    from bkgflow.report.album import Wanted
    from bkgflow.verdict import Verdict

__all__ = ["draw_pictures"]

MOST = 5
"""Pictures of which it is said why they could not be drawn; the others are counted."""


def draw_pictures(
    units: Iterable[tuple[Unit, Verdict]], folder: PathLike, *, quiet: bool = False
) -> list[str]:
    """Draw every product of a run into a folder; return the pictures that there are.

    What keeps a picture from being drawn is a warning: the run and its products stand.
    """
    from bkgflow.io.storage.location import Location
    from bkgflow.report.album import Wanted, draw_all, processes_for
    from bkgflow.texts import many

    wanted = [
        Wanted(str(unit.target), path, str(Location.of(folder) / f"{PurePath(path).stem}.png"))
        for unit, verdict in units
        for path in verdict.products[:1]
    ]
    processes = processes_for(wanted)
    what = f"Drawing {many(len(wanted), 'picture')}"
    if processes > 1:
        what = f"{what} by {processes} processes"
    ended = dict(_shown(draw_all(wanted, processes), what, len(wanted), quiet=quiet))
    problems = [(each, why) for each, why in ended.items() if why]
    for each, why in problems[:MOST]:
        typer.echo(f"bkgflow: {PurePath(each.picture).name} could not be drawn: {why}", err=True)
    if more := len(problems) - MOST if len(problems) > MOST else 0:
        typer.echo(f"bkgflow: {many(more, 'more picture')} could not be drawn", err=True)
    return [each.picture for each in wanted if not ended[each]]


def _shown(
    ended: Iterator[tuple[Wanted, str]], what: str, total: int, *, quiet: bool
) -> Iterator[tuple[Wanted, str]]:
    """Pass on what has ended, and show how far it is: a bar on a terminal, else lines."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    if quiet or not total:
        yield from ended
    elif console.is_terminal:
        yield from track(ended, what, total, console=console, transient=True)
    else:
        typer.echo(what, err=True)
        for number, (wanted, problem) in enumerate(ended, 1):
            typer.echo(f"[{number}/{total}] {PurePath(wanted.picture).name}", err=True)
            yield wanted, problem
