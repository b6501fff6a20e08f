"""A FITS product put together again from its group, byte by byte."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bkgflow.errors import FileError, OutputError
from bkgflow.io.products.said import file_called, read_said
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.publish import Publish, whole
from bkgflow.io.storage.reading import understood
from bkgflow.io.zarr.layout import cut_of
from bkgflow.io.zarr.reading import (
    Group,
    StoredHdu,
    groups_of,
    holds_group,
    holds_product,
    open_group,
)
from bkgflow.io.zarr.stream import as_stored

__all__ = ["check_replaceable", "export_product", "fits_bytes", "groups_in", "product_file"]


RULE = "A store must hold products in zarr"

CURE = "Give a store, a product, or the output folder of a run with --format zarr"


def export_product(group: Location, to: Location, by: Publish | None = None) -> Location:
    """Write the FITS file that a product's group holds; it appears whole or not at all.

    Raises
    ------
    FileError
        If the group cannot be read, or is none that bkgflow wrote.
    OutputError
        If nothing can be written there.
    """
    opened = open_group(group)
    opened.check_whole()
    with whole(to, by) as path, path.open("wb") as stream:
        for part in fits_bytes(opened):
            stream.write(part)
    return to


def check_replaceable(to: Location) -> None:
    """See that a file is not there, or one that bkgflow has written.

    Raises
    ------
    OutputError
        If it is somebody else's, such as an exposure.
    """
    if not to.exists():
        return
    try:
        ours = read_said(to).record is not None
    except FileError:
        ours = False
    if not ours:
        raise OutputError(
            "An exported product must not replace a file that bkgflow did not write",
            file=to,
            value="it is there",
            cure="Give another name, or remove it",
        )


def groups_in(where: Location) -> list[Location]:
    """Return the groups of products: of a store or a folder, those in it; of one, itself.

    Raises
    ------
    FileError
        If there are none.
    """
    if holds_group(where):
        with understood(RULE, where, CURE):
            found = groups_of(where)
    else:
        found = []
    if not found and where.is_dir():
        found = [each for each in where.listing() if holds_product(each)]
    if not found:
        raise FileError(RULE, file=where, value="none there", cure=CURE)
    return found


def product_file(group: Location) -> str:
    """Return the name of the FITS file that a group holds, without any folder."""
    said = str(open_group(group).hdus[0].hdu.header.get("FILENAME") or "").strip()
    return said if re.fullmatch(r"[^/\0]+\.fits", said) else file_called(group.name)


def fits_bytes(group: Group) -> Iterator[bytes | memoryview]:
    """Yield the FITS file, a header or a shard's pixels at a time."""
    for stored in group.hdus:
        yield stored.hdu.header.raw
        if stored.array:
            yield from _pixels(group, stored)
        yield group.data(stored)


def _pixels(group: Group, stored: StoredHdu) -> Iterator[memoryview]:
    """Yield an image as FITS stores it, shard by shard."""
    array, data = group.array(stored.array), stored.hdu.data
    deep, ny = (1, *data.shape)[-3], data.shape[-2]
    depth, height = cut_of(data.shape).step
    for i in range(0, deep, depth):
        for y in range(0, ny, height):
            rows = slice(y, min(y + height, ny))
            where = rows if len(data.shape) == 2 else (slice(i, min(i + depth, deep)), rows)
            yield as_stored(group.read(array, where), data.dtype)
