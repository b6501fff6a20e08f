"""What a run shows while it goes on: a bar on a terminal or in a notebook, plain lines elsewhere.

Why a unit went wrong is told when the run has ended, once for all that it is the same for.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Protocol

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column
from rich.text import Text

from bkgflow.campaign.events import Event, Listener, Notice, RunEnded, UnitEnded
from bkgflow.campaign.standing import Standing, never_tried
from bkgflow.planning.plan import Plan
from bkgflow.texts import listed

__all__ = ["Cell", "notebook_cell", "progress_in", "progress_of", "said_in", "waiting"]

Say = Callable[[str], object]

EVERY = 0.2
"""Seconds between two pictures of a notebook's bar: each goes through the browser."""

FEW = 100
"""Units of a run that has a plain line for each; with more, one is written now and then."""

OFTEN, SELDOM = 1.0, 60.0
"""Seconds between two of these lines: at the beginning, and in a run of hours."""


class Cell(Protocol):
    """Where a notebook shows HTML: what is shown later stands in place of what was before."""

    def __call__(self, html: str) -> None:
        """Show it."""


@contextmanager
def progress_of(plan: Plan, *, quiet: bool, console: Console | None = None) -> Iterator[Listener]:
    """Give a listener that shows how a run goes on: on standard error, or another console.

    A bar counts the units and names those that run, with states, pace and bytes below it, and a
    line for each unit that went wrong. Elsewhere than on a terminal each unit has a line; of many
    units those that went wrong have, beside a line that sums up from time to time. When quiet,
    only trouble with workers has one.
    """
    console = console or Console(stderr=True)
    if quiet or not console.is_terminal:
        yield _lines(console, Standing(plan), quiet=quiet)
        return
    bar = _Bar(
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
    listener = _counted(bar, Standing(plan))
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
    standing, shown = Standing(plan), -EVERY

    def listen(event: Event) -> None:
        nonlocal shown
        standing.take(event)
        if isinstance(event, Notice):
            cell(escape(event.text))
            return
        now = clock()
        if isinstance(event, RunEnded) or now - shown >= EVERY:
            shown = now
            cell(_html(standing))

    return listen


def _html(standing: Standing) -> str:
    running = listed(standing.running.values())
    said = ": ".join(filter(None, [f"{standing.of_all()}{_after(standing.facts())}", running]))
    most = max(standing.total, 1)
    return f'<progress value="{standing.done}" max="{most}"></progress> {escape(said)}'


def _after(words: str) -> str:
    return f"; {words}" if words else ""


def notebook_cell() -> Cell | None:
    """Return where the present notebook cell shows HTML; None elsewhere than in a notebook."""
    shell = sys.modules.get("IPython")  # who has not imported it is in no notebook
    found = shell.get_ipython() if shell is not None else None
    if found is None or not hasattr(found, "kernel"):
        return None
    from IPython.display import HTML, display

    handle = None

    def show(html: str) -> None:
        nonlocal handle
        if handle is None:
            handle = display(HTML(html), display_id=True)
        else:
            handle.update(HTML(html))

    return show


class _Bar(Progress):
    """A bar, with a line of facts below it."""

    facts = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        """What is drawn, again and again."""
        yield from super().get_renderables()
        if self.facts:
            yield Text(self.facts, no_wrap=True, overflow="ellipsis")


def _counted(bar: _Bar, standing: Standing) -> Listener:
    task = bar.add_task("subtract", total=standing.total, running="")

    def listen(event: Event) -> None:
        standing.take(event)
        match event:
            case UnitEnded(unit=unit, verdict=verdict):
                if not verdict.state.good and not never_tried(verdict):
                    line = f"{standing.names[unit]} {verdict.state}"
                    bar.console.print(line, markup=False, highlight=False)
            case Notice():
                bar.console.print(event.text, markup=False, highlight=False)
        bar.facts = standing.words()
        running = ", ".join(standing.running.values())
        bar.update(task, completed=standing.done, total=standing.total, running=running)

    return listen


def _lines(console: Console, standing: Standing, *, quiet: bool) -> Listener:
    say, began, said, told = _plain(console), time.time(), 0.0, 0

    def listen(event: Event) -> None:
        nonlocal said, told
        standing.take(event)
        of = f"[{standing.done}/{standing.total}]"
        few = standing.total <= FEW
        if isinstance(event, Notice) and not (quiet and event.minor):
            say(event.text)
        if quiet:
            return
        match event:
            case UnitEnded(unit=unit, verdict=verdict) if not never_tried(verdict):
                if few or not verdict.state.good:
                    say(f"{of} {standing.names[unit]} {verdict.state}")
        if few or not standing.done or isinstance(event, Notice):
            return
        # In a run of an hour a line each minute says as much as one each second.
        pause = min(max(OFTEN, (event.at - began) / 60), SELDOM)
        if isinstance(event, RunEnded) or (event.at - said >= pause and told != standing.done):
            said, told = event.at, standing.done
            say(f"{of} {standing.words()}")

    return listen


def _plain(console: Console) -> Say:
    """Return what prints a line as it is, however long."""

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    return say
