"""What commands say on standard error beside their results."""

from __future__ import annotations

import logging
from collections.abc import Callable

import typer

__all__ = ["announce_compilation", "log_to_terminal", "say"]


def say(text: str) -> None:
    """Write a line to standard error."""
    typer.echo(text, err=True)


def log_to_terminal(level: int) -> None:
    """Show bkgflow's log on standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    root = logging.getLogger("bkgflow")
    root.addHandler(handler)
    root.setLevel(level)


def announce_compilation(say: Callable[[str], object]) -> None:
    """Say that this run compiles its kernels first, where none were compiled on this machine."""
