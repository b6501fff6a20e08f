"""What a run shows while it goes on: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column

from bkgflow.campaign.events import Event, UnitEnded, UnitStarted
from bkgflow.planning.plan import Plan

__all__ = ["ProgressBar", "ProgressLines", "progress_of"]


class _Names:
    """What both have in common: the names of a plan's units, and a line for one that ended."""

    def __init__(self, plan: Plan, console: Console) -> None:
        self._console = console
        self._total = len(plan.units)
        self._names = {unit.digest: unit.name for unit in plan.units}

    def _line(self, event: UnitEnded) -> str:
        verdict = event.verdict
        reason = f": {verdict.reason}" if verdict.reason else ""
        return f"{self._names[event.unit]} {verdict.state}{reason}"

    def __enter__(self) -> Self:
        """Open nothing."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close nothing."""

    def __call__(self, event: Event) -> None:
        """Take an event in."""


class ProgressBar(_Names):
    """A bar that counts units and names those that run; a line for each one that went wrong."""

    def __init__(self, plan: Plan, console: Console) -> None:
        super().__init__(plan, console)
        running = Column(no_wrap=True, overflow="ellipsis", ratio=1)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[running]}", markup=False, table_column=running),
            console=console,
            expand=True,
        )
        self._task = self._bar.add_task("subtract", total=self._total, running="")
        self._running: dict[str, None] = {}

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the bar as it is."""
        self._bar.stop()

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        match event:
            case UnitStarted():
                self._running[event.unit] = None
            case UnitEnded():
                self._running.pop(event.unit, None)
                self._bar.advance(self._task)
                if not event.verdict.state.good:
                    self._console.print(self._line(event), markup=False, highlight=False)
            case _:
                return
        names = ", ".join(self._names[unit] for unit in self._running)
        self._bar.update(self._task, running=names)


class ProgressLines(_Names):
    """A line for each unit; when quiet, only for those that went wrong."""

    def __init__(self, plan: Plan, console: Console, *, quiet: bool) -> None:
        super().__init__(plan, console)
        self._quiet = quiet
        self._done = 0

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        if not isinstance(event, UnitEnded):
            return
        self._done += 1
        if not (self._quiet and event.verdict.state.good):
            line = f"[{self._done}/{self._total}] {self._line(event)}"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def progress_of(plan: Plan, *, quiet: bool) -> ProgressBar | ProgressLines:
    """Return what shows a run's progress on standard error."""
    console = Console(stderr=True)
    if console.is_terminal and not quiet:
        return ProgressBar(plan, console)
    return ProgressLines(plan, console, quiet=quiet)
