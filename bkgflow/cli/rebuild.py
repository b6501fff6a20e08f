"""``bkgflow rebuild``: a ledger made again from the products."""

from __future__ import annotations

from typing import Annotated

import typer

from bkgflow.cli.answer import Out, counting

__all__ = ["rebuild"]


def rebuild(
    out: Out,
    ledger: Annotated[
        str,
        typer.Option(
            help="Where the ledger is to be, if not where it was: a file, or "
            "postgresql://USER@HOST/DATABASE.",
            metavar="WHERE",
            show_default=False,
        ),
    ] = "",
    store: Annotated[
        str,
        typer.Option(
            help="A zarr store that products lie in, where nothing in the folder says so.",
            metavar="STORE",
            show_default=False,
        ),
    ] = "",
    anew: Annotated[
        bool,
        typer.Option("--anew", help="Also where there is a ledger that is whole, or newer."),
    ] = False,
) -> None:
    """Make a ledger again from the products, where it is lost or damaged.

    What was in its place is kept beside it. What the program still wants as it is will not be
    done again. A ledger that is whole stays as it is. Refused while a run goes on.
    """
    from bkgflow import api

    with counting("read") as tell:
        found = api.rebuild(out, ledger=ledger, store=store, anew=anew, tell=tell)
    typer.echo(str(found))
