"""What a run shows while it goes on: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column

from bkgflow.campaign.events import Event, Listener, Notice, UnitEnded, UnitStarted
from bkgflow.planning.plan import Plan
from bkgflow.verdict import State

__all__ = ["progress_of"]


@contextmanager
def progress_of(plan: Plan, *, quiet: bool, console: Console | None = None) -> Iterator[Listener]:
    """Give a listener that shows how a run goes on: on standard error, or another console.

    A bar counts the units and names those that run, with a line for each one that went wrong.
    Elsewhere than on a terminal each unit has a line; when quiet, only those that went wrong.
    """
    console = console or Console(stderr=True)
    names = {unit.digest: unit.name for unit in plan.units}
    if quiet or not console.is_terminal:
        yield _lines(console, names, len(plan.units), quiet=quiet)
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn(
            "{task.fields[running]}",
            markup=False,
            table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
        ),
        console=console,
        expand=True,
    )
    listener = _counted(bar, names, len(plan.units))
    with bar:
        yield listener


def _counted(bar: Progress, names: dict[str, str], total: int) -> Listener:
    task = bar.add_task("subtract", total=total, running="")
    running: dict[str, str] = {}

    def listen(event: Event) -> None:
        match event:
            case UnitStarted():
                running[event.unit] = names[event.unit]
            case UnitEnded():
                running.pop(event.unit, None)
                bar.advance(task)
                if not event.verdict.state.good and not _never_tried(event):
                    bar.console.print(_line(event, names), markup=False, highlight=False)
            case Notice():
                bar.console.print(event.text, markup=False, highlight=False)
            case _:
                return
        bar.update(task, running=", ".join(running.values()))

    return listen


def _lines(console: Console, names: dict[str, str], total: int, *, quiet: bool) -> Listener:
    done = 0

    def listen(event: Event) -> None:
        nonlocal done
        if isinstance(event, Notice) and not (quiet and event.minor):
            console.print(event.text, markup=False, highlight=False, soft_wrap=True)
        if not isinstance(event, UnitEnded):
            return
        done += 1
        if not (quiet and event.verdict.state.good) and not _never_tried(event):
            line = f"[{done}/{total}] {_line(event, names)}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    return listen


def _never_tried(event: UnitEnded) -> bool:
    """Whether a unit shares its end with all that were left: the end of the run says it once."""
    return event.verdict.state == State.BLOCKED and event.verdict.error is None


def _line(event: UnitEnded, names: dict[str, str]) -> str:
    verdict = event.verdict
    reason = f": {verdict.reason}" if verdict.reason else ""
    return f"{names[event.unit]} {verdict.state}{reason}"
