"""Options and arguments of the commands that run a program, or look at what runs."""

from __future__ import annotations

from typing import Annotated

import typer

from bkgflow.io.storage.folders import without_detours

__all__ = ["CampaignFolder", "CheckSpace", "Format", "Output", "Pictures", "Store"]

Output = Annotated[
    str,
    typer.Option(
        help="Folder of the products: a path, or a URL such as s3://bucket/out.",
        metavar="DIR",
        callback=without_detours,
    ),
]
Pictures = Annotated[bool, typer.Option("--pictures", help="Draw every target before and after.")]
CheckSpace = Annotated[
    bool,
    typer.Option(
        "--check-space/--no-check-space",
        help="Begin only if the disk has room for all products.",
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        help="What the products are: fits, or zarr.",
        metavar="WORD",
        show_default="fits",
    ),
]
Store = Annotated[
    str | None,
    typer.Option(
        help="A zarr store for all products, a group each, without --format as well; "
        "icechunk://URL makes each a commit.",
        metavar="STORE",
    ),
]
CampaignFolder = Annotated[
    str,
    typer.Argument(
        help="The output folder of a campaign.", metavar="OUT", callback=without_detours
    ),
]
