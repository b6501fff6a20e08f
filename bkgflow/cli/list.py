"""``bkgflow list``: the campaigns below a folder."""

from __future__ import annotations

from typing import Annotated

import typer

from bkgflow.cli.answer import AsJson, counting, say

__all__ = ["list_"]


def list_(
    folder: Annotated[
        str, typer.Argument(metavar="DIR", help="Where to look, with all folders below.")
    ] = ".",
    json: AsJson = False,
) -> None:
    """List the campaigns below a folder: their units by state, labels, last run and size.

    One whose ledger cannot be read is named, with why and the cure.
    """
    from bkgflow import api

    with counting("read") as tell:
        found = api.list_campaigns(folder, tell=tell)
    say(found, json=json)
