"""Commands that only look on: who ends them ends nothing else, and is told so."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager

import typer

__all__ = ["onlooker"]


@contextmanager
def onlooker(out: str) -> Iterator[None]:
    """Have a signal that ends a command say that the campaign of a folder goes on."""
    try:
        yield
    except KeyboardInterrupt:
        where = shlex.quote(out)
        typer.echo(
            f"bkgflow: the campaign itself goes on; end it with: bkgflow cancel {where}", err=True
        )
        raise
