"""Pixels that go from file to file a few rows at a time, changed on the way or copied."""

from __future__ import annotations

import gzip
import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.io.cards import BLOCK
from bkgflow.io.fits import Place, ended_early, plane, read_rows

__all__ = ["PART_BYTES", "Edit", "Part", "write_parts"]

PART_BYTES = 2 << 20
"""Pixels that are changed at a time: few enough to stay in a core's cache between the read, the
change and the write, and a whole integration of a SOSS subarray."""

Edit = Callable[[NDArray[Any], int, slice], None]
"""Changes some rows of an extension in place: its arguments are (rows, nx) pixels in the
machine's byte order, the integration they are of (0 in an image), and which rows they are."""


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of a product, and the array of the source that follows them.

    Attributes
    ----------
    head : bytes
        Written as they are.
    name : str
        EXTNAME of the array.
    place : Place or None
        Where the array lies in the source; None where nothing follows.
    dtype : dtype or None
        The array's type in the product, in the machine's byte order.
    """

    head: bytes
    name: str = ""
    place: Place | None = None
    dtype: np.dtype[Any] | None = None


def write_parts(
    parts: Sequence[Part], source: BinaryIO, product: BinaryIO, edits: Mapping[str, Edit]
) -> None:
    """Write a product: of arrays that stay what they are the bytes are copied.

    Raises
    ------
    FileError
        If the source ends early.
    """
    for part in parts:
        product.write(part.head)
        if part.place is None or part.dtype is None:
            continue
        if part.name not in edits and part.place.native == part.dtype:
            _copy(source, part.place, product)
        else:
            _convert(source, part.place, part.dtype, product, edits.get(part.name))
        size = math.prod(part.place.shape) * part.dtype.itemsize
        product.write(bytes(-size % BLOCK))


def _convert(
    source: BinaryIO, place: Place, dtype: np.dtype[Any], product: BinaryIO, edit: Edit | None
) -> None:
    """Send an extension's pixels through memory, some rows at a time."""
    ny, nx = (1, *place.shape)[-2:]
    rows = min(ny, max(1, PART_BYTES // (nx * dtype.itemsize)))
    pixels = np.empty((rows, nx), dtype)
    stored = np.empty((rows, nx), dtype.newbyteorder(">"))
    for integration in range(int(np.prod(place.shape[:-2]))):
        single = plane(place, integration)
        for start in range(0, ny, rows):
            stop = min(start + rows, ny)
            part, raw = pixels[: stop - start], stored[: stop - start]
            read_rows(source, single, Window(0, start, nx, stop - start), part)
            if edit is not None:
                edit(part, integration, slice(start, stop))
            if dtype.kind == "u" and dtype.itemsize > 1:  # FITS has no sign to leave out
                part ^= dtype.type(1 << (8 * dtype.itemsize - 1))
            raw[...] = part
            product.write(raw.data)


def _copy(source: BinaryIO, place: Place, product: BinaryIO) -> None:
    """Copy an extension's bytes; within the kernel where it can."""
    left, offset = place.nbytes, place.offset
    if not isinstance(source, gzip.GzipFile):
        product.flush()
        with suppress(OSError):  # between these file systems it cannot
            while left:
                done = os.copy_file_range(source.fileno(), product.fileno(), left, offset)
                if not done:
                    break
                left, offset = left - done, offset + done
        product.seek(0, os.SEEK_END)
    source.seek(offset)
    while left:
        data = source.read(min(left, PART_BYTES))
        if not data:
            raise ended_early(source)
        product.write(data)
        left -= len(data)
