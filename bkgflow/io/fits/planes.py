"""Pixels out of FITS files: bands of rows from the planes of an image or a cube.

Rows are read straight into native arrays: SCI and ERR swapped, DQ (signed integers with
BZERO = 2**31, which astropy refuses to memory-map) swapped with the top bit flipped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from io import BufferedReader
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.errors import FileError
from bkgflow.io.fits.hdus import ByteRange
from bkgflow.io.storage.reading import reading
from bkgflow.scratch import Scratch

__all__ = ["ended_early", "planes", "read_rows", "rows_of"]

SCRATCH_BYTES = 1 << 20
"""Raw bytes read at a time: small enough to stay in a core's cache until they are swapped."""

WHOLE_BYTES = 32 << 20
"""A whole plane of up to so many bytes is read at once, though they leave the cache: who wants
one goes on with something else meanwhile, and each part waits twice for the interpreter."""


def planes(data: ByteRange, first: int = 0, count: int | None = None) -> Iterator[ByteRange]:
    """Yield the 2-D byte ranges of an array in their order; an image is one plane.

    Parameters
    ----------
    data : ByteRange
        (ny, nx), or any number of axes before these.
    first, count : int
        The first plane wanted and how many; without a count, all that there are.
    """
    if len(data.shape) == 2 and first == 0:
        yield data  # as it is: a band of a background asks a thousand times
        return
    stop = math.prod(data.shape[:-2]) if count is None else first + count
    single = replace(data, shape=(1, *data.shape)[-2:])
    size = single.nbytes
    for index in range(first, stop):
        yield replace(single, offset=data.offset + index * size)


def rows_of(plane: ByteRange, start: int, stop: int) -> tuple[int, int]:
    """Return the first byte of some rows of an image plane, and the one behind the last."""
    row = plane.shape[-1] * plane.dtype.itemsize
    return plane.offset + start * row, plane.offset + stop * row


def read_rows(stream: BinaryIO, data: ByteRange, window: Window, out: NDArray[np.generic]) -> None:
    """Read a part of one image plane into a native array.

    Parameters
    ----------
    data : ByteRange
        Of one plane; for a cube, see `planes`.
    window : Window
        Columns and rows of the array (0-based in the array, not on the detector).
    out : (window.ny, window.nx) float32, float64 or uint32
        Filled in place.
    """
    width = data.shape[-1]
    itemsize = data.dtype.itemsize
    whole = data.nbytes <= WHOLE_BYTES and window.shape == data.shape[-2:]
    at_once = WHOLE_BYTES if whole else SCRATCH_BYTES
    rows_at_once = min(window.ny, max(1, at_once // (width * itemsize)))
    with reading(stream):
        stream.seek(data.offset + window.y0 * width * itemsize)
    with Scratch() as scratch:
        held = scratch.array((rows_at_once, width), data.dtype)
        for row in range(0, window.ny, rows_at_once):
            raw = held[: min(rows_at_once, window.ny - row)]
            bytes_of = raw.view(np.uint8).data
            with reading(stream):
                complete = cast(BufferedReader, stream).readinto(bytes_of) == raw.nbytes
            if not complete:
                raise ended_early(stream)
            _convert(raw[:, window.x0 : window.x1], data, out[row : row + len(raw)])


def ended_early(stream: BinaryIO) -> FileError:
    """Return the error for a file that is shorter than its headers say."""
    return FileError(
        "The data must be as long as the header says",
        file=getattr(stream, "name", None),
        value="the file ended early",
        cure="Fetch the file again; it changed or was cut since it was planned",
    )


def _convert(raw: NDArray[np.generic], data: ByteRange, out: NDArray[np.generic]) -> None:
    """Swap, and undo BSCALE and BZERO, into ``out``."""
    if data.bscale == 1.0 and data.bzero == 0.0:
        np.copyto(out, raw, casting="unsafe")
    elif out.dtype.kind == "u" and data.native is not None:
        # Adding 2**31 to a signed integer is flipping its top bit; unsigned addition wraps.
        alike = out.dtype.itemsize == raw.dtype.itemsize
        np.copyto(out.view(raw.dtype.newbyteorder("=")) if alike else out, raw, casting="unsafe")
        np.add(out, out.dtype.type(int(data.bzero)), out=out)
    else:
        with np.errstate(over="ignore", invalid="ignore"):  # of a number that no type holds
            np.copyto(out, raw.astype(np.float64) * data.bscale + data.bzero, casting="unsafe")
