"""Products that are stored as zarr, as FITS files."""

from __future__ import annotations

from fnmatch import fnmatch

from bkgflow.errors import UsageError
from bkgflow.io.storage.location import Location, PathLike

__all__ = ["export_fits"]


def export_fits(
    store: PathLike, out: PathLike, *, product: str | None = None
) -> tuple[Location, ...]:
    """Write the FITS files of products that are stored as zarr, as if they had been written so.

    Parameters
    ----------
    store : path or URL
        A store, one product, or the output folder of a run with ``format="zarr"``.
    out : path or URL
        The folder that they go to, each by the name that its header says; of a single product,
        the file as well, where that ends with ``.fits``.
    product : str, optional
        Name of one product, with or without its end, or a pattern such as ``jw0128*``; all,
        unless said otherwise.

    Returns
    -------
    tuple of Location
        The files; each appears whole or not at all.

    Raises
    ------
    UsageError
        If no product has such a name, or there are several for one file.
    FileError
        If there is no product, or it cannot be read.
    OutputError
        If a file cannot be written, or would replace one that bkgflow did not write.
    """
    from bkgflow.io.products.export import (
        check_replaceable,
        export_product,
        groups_in,
        product_file,
    )

    where, to = Location.of(store), Location.of(out)
    found = groups_in(where)
    wanted = [each for each in found if product is None or _is_called(each, product)]
    if not wanted:
        raise UsageError(
            "A product must be one of those in the store",
            file=where,
            value=str(product),
            cure=f"Give one of these, or a pattern: {', '.join(each.name for each in found[:5])}",
        )
    if to.name.endswith(".fits"):
        files = [to] * len(wanted)
    else:
        files = [to / product_file(each) for each in wanted]
    if len(set(files)) < len(files):
        raise UsageError(
            "Several products must go to files of their own, in a folder",
            file=to,
            value=f"{len(wanted)} products for {len(set(files))} of them",
            cure="Give a folder, or the name of one product",
        )
    for each in files:
        check_replaceable(each)
    return tuple(export_product(group, each) for group, each in zip(wanted, files, strict=True))


def _is_called(group: Location, name: str) -> bool:
    ends = ("", ".zarr", ".fits")
    stem = group.name.removesuffix(".zarr")
    return any(fnmatch(f"{stem}{end}", name) for end in ends)
