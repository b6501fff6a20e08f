"""``bkgflow export``: a campaign written as a table into a file."""

from __future__ import annotations

from typing import Annotated

import typer

from bkgflow.cli.answer import Out

__all__ = ["export"]


def export(
    out: Out,
    to: Annotated[str, typer.Option(help="The file: .csv, .parquet or .ecsv.", metavar="FILE")],
    format: Annotated[
        str,
        typer.Option(
            help="csv, parquet or ecsv, whatever the file is called.",
            metavar="WORD",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Write a campaign as a table, a row for each unit: how it ended, why, and with what."""
    from bkgflow import api

    typer.echo(str(api.export(out, to, format=format)))
