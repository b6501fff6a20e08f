"""What a run shows while it goes on: a bar on a terminal or in a notebook, plain lines elsewhere.

Why a unit went wrong is told when the run has ended, once for all that it is the same for.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column

from bkgflow.campaign.events import Event, Listener, Notice, RunEnded, UnitEnded, UnitStarted
from bkgflow.planning.plan import Plan
from bkgflow.report.tables import counted
from bkgflow.texts import listed, many
from bkgflow.verdict import State

__all__ = ["Cell", "notebook_cell", "progress_in", "progress_of", "said_in", "waiting"]

Say = Callable[[str], object]

EVERY = 0.2
"""Seconds between two pictures of a notebook's bar: each goes through the browser."""


class Cell(Protocol):
    """Where a notebook shows HTML: what is shown later stands in place of what was before."""

    def __call__(self, html: str) -> None:
        """Show it."""


@contextmanager
def progress_of(plan: Plan, *, quiet: bool, console: Console | None = None) -> Iterator[Listener]:
    """Give a listener that shows how a run goes on: on standard error, or another console.

    A bar counts the units and names those that run, with a line for each one that went wrong.
    Elsewhere than on a terminal each unit has a line; when quiet, only trouble with workers has.
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


@contextmanager
def waiting(*, quiet: bool, console: Console | None = None) -> Iterator[Say]:
    """Give what says a sentence before something that takes long, such as compiling.

    On a terminal a line with a clock stands there until the next sentence, or the end.
    """
    console = console or Console(stderr=True)
    if quiet or not console.is_terminal:
        plain = _plain(console)
        yield (lambda text: None) if quiet else plain
        return
    bar = Progress(
        SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn(),
        console=console, transient=True,
    )  # fmt: skip

    def say(text: str) -> None:
        for task in bar.task_ids:
            bar.remove_task(task)
        bar.add_task(text, total=None)
        bar.start()

    try:
        yield say
    finally:
        bar.stop()


def said_in(cell: Cell) -> Say:
    """Return what says a sentence in a notebook's cell, before something that takes long."""
    return lambda text: cell(escape(text))


def progress_in(cell: Cell, plan: Plan, clock: Callable[[], float] = time.monotonic) -> Listener:
    """Return a listener that shows in a notebook's cell how a run goes on."""
    names = {unit.digest: unit.name for unit in plan.units}
    counts: Counter[str] = Counter()
    running: dict[str, str] = {}
    total, shown = len(names), -EVERY

    def listen(event: Event) -> None:
        nonlocal shown
        match event:
            case UnitStarted():
                running[event.unit] = names[event.unit]
            case UnitEnded():
                running.pop(event.unit, None)
                counts[event.verdict.state.value] += 1
            case Notice():
                cell(escape(event.text))
                return
        now = clock()
        if isinstance(event, RunEnded) or now - shown >= EVERY:
            shown = now
            cell(_bar(counts, total, listed(running.values())))

    return listen


def _bar(counts: Counter[str], total: int, running: str) -> str:
    done = sum(counts.values())
    words = [f"{done:,} of {many(total, 'unit')}", counted(counts) if counts else "", running]
    said = ": ".join(filter(None, words))
    return f'<progress value="{done}" max="{max(total, 1)}"></progress> {escape(said)}'


def notebook_cell() -> Cell | None:
    """Return where the present notebook cell shows HTML; None elsewhere than in a notebook."""
    shell = sys.modules.get("IPython")  # who has not imported it is in no notebook
    found = shell.get_ipython() if shell is not None else None
    if found is None or not hasattr(found, "kernel"):
        return None
    from IPython.display import HTML, display  # type: ignore[import-not-found]

    handle = None

    def show(html: str) -> None:
        nonlocal handle
        if handle is None:
            handle = display(HTML(html), display_id=True)
        else:
            handle.update(HTML(html))

    return show


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
                    line = _line(names[event.unit], event.verdict.state)
                    bar.console.print(line, markup=False, highlight=False)
            case Notice():
                bar.console.print(event.text, markup=False, highlight=False)
            case _:
                return
        bar.update(task, running=", ".join(running.values()))

    return listen


def _lines(console: Console, names: dict[str, str], total: int, *, quiet: bool) -> Listener:
    say, done = _plain(console), 0

    def listen(event: Event) -> None:
        nonlocal done
        if isinstance(event, Notice) and not (quiet and event.minor):
            say(event.text)
        if isinstance(event, UnitEnded):
            done += 1
            if quiet or _never_tried(event):
                return
            say(f"[{done}/{total}] {_line(names[event.unit], event.verdict.state)}")

    return listen


def _never_tried(event: UnitEnded) -> bool:
    """Whether a unit shares its end with all that were left: the end of the run says it once."""
    return event.verdict.state == State.BLOCKED and event.verdict.error is None


def _line(name: str, state: State) -> str:
    return f"{name} {state}"


def _plain(console: Console) -> Say:
    """Return what prints a line as it is, however long."""

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    return say
