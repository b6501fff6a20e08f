"""``bkgflow export-fits``: products in zarr as FITS files."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["export_fits"]


def export_fits(
    store: Annotated[
        str,
        typer.Argument(
            metavar="STORE",
            help="A store, one product, or the output folder of a run with --format zarr: "
            "a path or a URL.",
        ),
    ],
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[PRODUCT] OUT",
            help="Name of one product, or a pattern; and the folder that the files go to, "
            "or the file of a single one.",
        ),
    ],
) -> None:
    """Write the FITS files of products that are stored as zarr, as if they had been written so.

    Every header, table, tree and pixel is that of the FITS product, byte by byte.
    """
    from bkgflow import api
    from bkgflow.errors import UsageError

    if len(words) > 2:
        raise UsageError(
            "The words must be a store, a product if only one is wanted, and where to write to",
            value=" ".join((store, *words)),
            cure="Give bkgflow export-fits STORE [PRODUCT] OUT",
        )
    for path in api.export_fits(store, words[-1], product=words[0] if words[1:] else None):
        typer.echo(str(path))
