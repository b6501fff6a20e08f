"""What commands say on standard error beside their results."""

from __future__ import annotations

import logging

import typer

__all__ = ["log_to_terminal", "say"]


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
