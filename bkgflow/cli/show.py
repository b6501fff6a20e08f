"""Tables on a terminal, and the same as plain text in a pipe."""

from __future__ import annotations

import typer
from rich.console import Console

from bkgflow.campaign.result import RunResult
from bkgflow.planning.plan import Plan

__all__ = ["show"]


def show(what: Plan | RunResult) -> None:
    """Print a plan or a result."""
    console = Console()
    if console.is_terminal:
        console.print(what)
    else:
        typer.echo(str(what))
