"""``bkgflow clean``: away with what nobody wants any more."""

from __future__ import annotations

from typing import Annotated

import typer

from bkgflow.cli.answer import AsJson, Out, say

__all__ = ["clean"]


def clean(
    out: Out,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; else it is only shown.")] = False,
    keep_products: Annotated[
        bool, typer.Option("--keep-products", help="Leave all products, also superseded ones.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Show what nobody wants any more, with sizes; remove it with --yes.

    Files that dead runs began, products of units that the program has no more, combined
    backgrounds that nobody asks for any more, old logs. Never an input, a product that is current,
    or a file that bkgflow did not write. Refused while a run goes on.
    """
    from bkgflow import api

    say(api.clean(out, yes=yes, keep_products=keep_products), json=json)
