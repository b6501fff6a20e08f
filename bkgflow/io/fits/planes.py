"""Pixels out of FITS files: bands of rows from the planes of an image or a cube.

Rows are read straight into native arrays: SCI and ERR swapped, DQ (signed integers with
BZERO = 2**31, which astropy refuses to memory-map) swapped with the top bit flipped.
"""

from __future__ import annotations

import math
import threading
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

__all__ = ["PlaneReader", "ended_early", "planes", "read_rows", "rows_of"]

SCRATCH_BYTES = 1 << 20
"""Raw bytes read at a time: small enough to stay in a core's cache until they are swapped."""

WHOLE_BYTES = 32 << 20
"""A whole plane of up to so many bytes is read at once, though they leave the cache: who wants
one goes on with something else meanwhile, and each part waits twice for the interpreter."""

_own = threading.local()


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
    """Read a part of one image plane into a native array: once what a `PlaneReader` does often."""
    PlaneReader(stream, data).read(window, out)


class PlaneReader:
    """An image plane of an open file, made ready to be read a few rows at a time.

    A deep stack reads from thousands of places: what depends on the plane alone is worked out once.

    Parameters
    ----------
    stream : binary file
        Open, and seekable.
    data : ByteRange
        Of one plane; for a cube, see `planes`.
    """

    __slots__ = ("_bias", "_data", "_dtype", "_row", "_stream")

    def __init__(self, stream: BinaryIO, data: ByteRange) -> None:
        self._stream, self._data, self._dtype = stream, data, data.dtype
        self._row = data.shape[-1] * self._dtype.itemsize
        signed_away = data.bzero != 0.0 and data.native is not None
        self._bias = int(data.bzero) if signed_away else 0

    def read(self, window: Window, out: NDArray[np.generic]) -> None:
        """Read a part of the plane into a native array.

        Parameters
        ----------
        window : Window
            Columns and rows of the array (0-based in the array, not on the detector).
        out : (window.ny, window.nx) float32, float64 or uint32
            Filled in place.

        Raises
        ------
        FileError
            If the file ends early, or cannot be read.
        """
        if window.ny * self._row <= SCRATCH_BYTES:
            self._read(window, out, _own_bytes())
            return
        whole = self._data.nbytes <= WHOLE_BYTES and window.shape == self._data.shape[-2:]
        most = max(1, (WHOLE_BYTES if whole else SCRATCH_BYTES) // self._row)
        with Scratch() as scratch:
            size = min(most, window.ny) * self._row
            self._read(window, out, scratch.array((size,), np.dtype(np.uint8)))

    def _read(self, window: Window, out: NDArray[np.generic], held: NDArray[np.uint8]) -> None:
        """Read as many rows at a time as there is memory for."""
        stream, row, columns = self._stream, self._row, slice(window.x0, window.x1)
        begin = self._data.offset + window.y0 * row
        for first in range(0, window.ny, most := held.size // row):
            rows = min(most, window.ny - first)
            raw = held[: rows * row]
            with reading(stream):
                if not first:
                    stream.seek(begin)
                complete = cast(BufferedReader, stream).readinto(raw.data) == raw.size
            if not complete:
                raise ended_early(stream)
            stored = raw.view(self._dtype).reshape(rows, -1)[:, columns]
            self._convert(stored, out if rows == window.ny else out[first : first + rows])

    def _convert(self, raw: NDArray[np.generic], out: NDArray[np.generic]) -> None:
        """Swap, and undo BSCALE and BZERO, into ``out``."""
        data = self._data
        if data.bscale == 1.0 and data.bzero == 0.0:
            np.copyto(out, raw, casting="unsafe")
        elif out.dtype.kind == "u" and self._bias:
            # Adding 2**31 to a signed integer is flipping its top bit; unsigned addition wraps.
            alike = out.dtype.itemsize == raw.dtype.itemsize
            np.copyto(
                out.view(raw.dtype.newbyteorder("=")) if alike else out, raw, casting="unsafe"
            )
            np.add(out, out.dtype.type(self._bias), out=out)
        else:
            with np.errstate(over="ignore", invalid="ignore"):  # of a number that no type holds
                np.copyto(out, raw.astype(np.float64) * data.bscale + data.bzero, casting="unsafe")


def _own_bytes() -> NDArray[np.uint8]:
    """Return this thread's memory for a read: to ask for some each time would cost as much."""
    held: NDArray[np.uint8] | None = getattr(_own, "held", None)
    if held is None:
        held = _own.held = np.empty(SCRATCH_BYTES, np.uint8)
    return held


def ended_early(stream: BinaryIO) -> FileError:
    """Return the error for a file that is shorter than its headers say."""
    return FileError(
        "The data must be as long as the header says",
        file=getattr(stream, "name", None),
        value="the file ended early",
        cure="Fetch the file again; it changed or was cut since it was planned",
    )
