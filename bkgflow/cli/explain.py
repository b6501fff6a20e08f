"""``bkgflow explain``: why a unit stands as it does."""

from __future__ import annotations

from typing import Annotated

import typer

from bkgflow.cli.answer import AsJson, Out, say

__all__ = ["explain"]


def explain(
    out: Out,
    unit: Annotated[
        str,
        typer.Argument(
            metavar="UNIT", help="Its product or target; a pattern, or a part of the name."
        ),
    ],
    json: AsJson = False,
) -> None:
    """Say why a unit is done, stale, skipped, failed, refused or left.

    What it was made from and what has changed since, its products, every attempt, and all that
    happened. Where several units fit, they are listed. Nothing is planned or computed.
    """
    from bkgflow import api

    say(api.explain(out, unit), json=json)
