"""Pixels that go from file to file a few rows at a time, changed on the way or copied."""

from __future__ import annotations

import gzip
import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.io.fits.cards import BLOCK
from bkgflow.io.fits.hdus import ByteRange
from bkgflow.io.fits.planes import ended_early, planes, read_rows
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.reading import reading

__all__ = ["EDITED", "PART_BYTES", "Edit", "Part", "edited_name", "write_parts"]

PART_BYTES = 2 << 20
"""Pixels that are changed at a time: few enough to stay in a core's cache between the read, the
change and the write, and a whole integration of a SOSS subarray."""

Edit = Callable[[NDArray[Any], int, slice], None]
"""Changes some rows of an extension in place: its arguments are (rows, nx) pixels in the
machine's byte order, the integration they are of (0 in an image), and which rows they are."""


EDITED = ("SCI", "ERR", "DQ")
"""EXTNAME of what a background changes; of several the one with EXTVER 1."""


def edited_name(name: str, version: int) -> str:
    """Return the name by which an array is edited; none for arrays that never are."""
    return name if name in EDITED and version == 1 else ""


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of a product, and the array of the source that follows them.

    Attributes
    ----------
    head : bytes
        Written as they are.
    name : str
        EXTNAME of an array that may be edited; empty for all others.
    place : ByteRange or None
        Where the array lies in the source; None where nothing follows.
    dtype : dtype or None
        The array's type in the product, in the machine's byte order.
    """

    head: bytes
    name: str = ""
    place: ByteRange | None = None
    dtype: np.dtype[Any] | None = None

    @property
    def is_copied(self) -> bool:
        """Whether the product has the array's bytes as they are in the source."""
        return self.place is not None and (
            self.place.native is not None and self.place.native == self.dtype
        )

    @property
    def size(self) -> int:
        """Bytes of all, in whole blocks of FITS."""
        if self.place is None or self.dtype is None:
            return len(self.head)
        array = math.prod(self.place.shape) * self.dtype.itemsize
        return len(self.head) + array + -array % BLOCK


def write_parts(
    parts: Sequence[Part],
    source: str | Path,
    product: Path,
    edits: Mapping[str, Edit],
    threads: int = 1,
) -> None:
    """Write a product: of arrays that stay what they are the bytes are copied.

    Parameters
    ----------
    parts : sequence of Part
        The product, in its order.
    source, product : path
        The files.
    edits : mapping
        By EXTNAME, what is done to the pixels of an array.
    threads : int
        So many parts are written at a time.

    Raises
    ------
    FileError
        If the source ends early.
    """
    *offsets, end = accumulate((part.size for part in parts), initial=0)
    jobs = list(zip(parts, offsets, strict=True))
    with product.open("wb", buffering=0) as out, Location.of(source).open() as stream:
        write = partial(_write_part, descriptor=out.fileno(), edits=edits)
        if threads == 1 or isinstance(stream, gzip.GzipFile):  # read through once
            for job in jobs:
                write(*job, stream=stream)
            with reading(stream):
                stream.seek(0, os.SEEK_END)  # a gzip file's sum is at its end
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(lambda job: _apart(write, source, *job), jobs))
        out.truncate(end)  # what pads the last block is not written


def _apart(write: Callable[..., None], source: str | Path, part: Part, offset: int) -> None:
    """Write a part from a stream of its own."""
    with Location.of(source).open() as stream:
        write(part, offset, stream=stream)


def _write_part(
    part: Part, offset: int, *, stream: BinaryIO, descriptor: int, edits: Mapping[str, Edit]
) -> None:
    _write_at(descriptor, part.head, offset)
    offset += len(part.head)
    if part.place is None or part.dtype is None:
        return
    if part.is_copied and part.name not in edits:
        _copy(stream, part.place, descriptor, offset)
    else:
        _convert(stream, part.place, part.dtype, descriptor, offset, edits.get(part.name))


def _convert(
    stream: BinaryIO,
    place: ByteRange,
    dtype: np.dtype[Any],
    descriptor: int,
    offset: int,
    edit: Edit | None,
) -> None:
    """Send an array's pixels through memory, some rows at a time."""
    ny, nx = (1, *place.shape)[-2:]
    rows = min(ny, max(1, PART_BYTES // (nx * dtype.itemsize)))
    pixels = np.empty((rows, nx), dtype)
    stored = np.empty((rows, nx), dtype.newbyteorder(">"))
    for integration, single in enumerate(planes(place)):
        for start in range(0, ny, rows):
            stop = min(start + rows, ny)
            part, raw = pixels[: stop - start], stored[: stop - start]
            read_rows(stream, single, Window(0, start, nx, stop - start), part)
            if edit is not None:
                edit(part, integration, slice(start, stop))
            if dtype.kind == "u" and dtype.itemsize > 1:  # FITS has no sign to leave out
                part ^= dtype.type(1 << (8 * dtype.itemsize - 1))
            raw[...] = part
            _write_at(descriptor, raw.reshape(-1).view(np.uint8).data, offset)
            offset += raw.nbytes


def _copy(stream: BinaryIO, place: ByteRange, descriptor: int, offset: int) -> None:
    """Copy an array's bytes; within the kernel where it can."""
    left, begin = place.nbytes, place.offset
    if not isinstance(stream, gzip.GzipFile):
        with suppress(OSError):  # between these file systems it cannot
            while left:
                done = os.copy_file_range(stream.fileno(), descriptor, left, begin, offset)
                if not done:
                    break
                left, begin, offset = left - done, begin + done, offset + done
    with reading(stream):
        stream.seek(begin)
    while left:
        with reading(stream):
            data = stream.read(min(left, PART_BYTES))
        if not data:
            raise ended_early(stream)
        _write_at(descriptor, data, offset)
        left, offset = left - len(data), offset + len(data)


def _write_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of it; the system may take less at a time."""
    while len(data):
        done = os.pwrite(descriptor, data, offset)
        data, offset = data[done:], offset + done
