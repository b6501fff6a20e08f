"""What a run shows while it goes on: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TimeElapsedColumn

from bkgflow.campaign.events import Event, RunStarted, UnitFinished

__all__ = ["ProgressBar", "ProgressLines"]


class ProgressBar:
    """A progress bar that counts units, with a line for each one that went wrong."""

    def __init__(self, console: Console) -> None:
        self._bar = Progress(
            "{task.description}",
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )
        self._task: TaskID | None = None

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
            case RunStarted(plan=plan):
                self._task = self._bar.add_task("background subtraction", total=len(plan.units))
            case UnitFinished() if self._task is not None:
                self._bar.advance(self._task)
                if not event.result.outcome.good:
                    self._bar.console.print(_line(event), markup=False, highlight=False)


class ProgressLines:
    """A line for each unit; when quiet, only for those that went wrong."""

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._done = 0
        self._total = 0

    def __enter__(self) -> Self:
        """Nothing to open."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to close."""

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        match event:
            case RunStarted(plan=plan):
                self._total = len(plan.units)
            case UnitFinished():
                self._done += 1
                if not (self._quiet and event.result.outcome.good):
                    line = f"[{self._done}/{self._total}] {_line(event)}"
                    self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _line(event: UnitFinished) -> str:
    reason = f": {event.result.reason}" if event.result.reason else ""
    return f"{Path(event.unit.target).name} {event.result.outcome}{reason}"
