"""``bkgflow verify``: whether all products are as they were written."""

from __future__ import annotations

from typing import Annotated

import typer

from bkgflow.cli.answer import AsJson, Out, counting, say

__all__ = ["verify"]


def verify(
    out: Out,
    quick: Annotated[
        bool, typer.Option("--quick", help="Look at sizes and headers alone; read no pixels.")
    ] = False,
    json: AsJson = False,
) -> None:
    """See whether every product is there, opens, and has the bytes that it had.

    Each wrong one is named with why and the cure, and files that the ledger does not know. Exit
    code 0: all are right; 1: some are not; 2: there is no ledger, or it cannot be read.
    """
    from bkgflow import api

    with counting("verify") as tell:
        found = api.verify(out, quick=quick, tell=tell)
    say(found, json=json)
    if not found.ok:
        raise typer.Exit(1)
