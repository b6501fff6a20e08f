"""``bkgflow diff``: two output folders, unit by unit."""

from __future__ import annotations

from typing import Annotated

import typer

from bkgflow.cli.answer import AsJson, counting, say

__all__ = ["diff"]


def diff(
    a: Annotated[str, typer.Argument(metavar="OUT_A", help="An output folder.")],
    b: Annotated[str, typer.Argument(metavar="OUT_B", help="Another one.")],
    pictures: Annotated[
        str | None,
        typer.Option(help="Draw the worst units into this folder.", metavar="DIR"),
    ] = None,
    worst: Annotated[int, typer.Option(help="How many are drawn.", metavar="N")] = 4,
    json: AsJson = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with 1 if something is different.")
    ] = False,
) -> None:
    """Say what is different in two output folders, unit by unit, the worst first.

    States, scales, templates, and by how much pixels and DQ differ. Units are matched by the
    names of their products; a folder without a ledger is compared by its products alone.
    """
    from bkgflow import api

    with counting("compare") as tell:
        found = api.diff(a, b, pictures=pictures, worst=worst, tell=tell)
    say(found, json=json)
    if exit_code and not found.same:
        raise typer.Exit(1)
