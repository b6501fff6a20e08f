"""Options and arguments of the commands that run a program, or look at what runs."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["CampaignFolder", "CheckSpace", "Output", "Pictures"]

Output = Annotated[
    str, typer.Option(help="Folder of the products: a path, or a URL (s3://…).", metavar="DIR")
]
Pictures = Annotated[bool, typer.Option("--pictures", help="Draw every target before and after.")]
CheckSpace = Annotated[
    bool,
    typer.Option(
        "--check-space/--no-check-space",
        help="Begin only if the disk has room for all products.",
    ),
]
CampaignFolder = Annotated[
    str, typer.Argument(help="The output folder of a campaign.", metavar="OUT")
]
