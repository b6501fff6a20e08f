"""One array sent from file to file: its bytes copied, or its pixels changed on the way."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable
from contextlib import suppress
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.io.fits.hdus import ByteRange
from bkgflow.io.fits.planes import ended_early, planes, read_rows
from bkgflow.io.products.writer import Edit, Plane
from bkgflow.io.storage.reading import reading
from bkgflow.scratch import Scratch

__all__ = ["PART_BYTES", "STREAMED_BYTES", "copy", "send", "write_at"]

PART_BYTES = 2 << 20
"""Pixels that are changed at a time: few enough to stay in a core's cache between the read, the
change and the write, and a whole integration of a SOSS subarray."""

STREAMED_BYTES = 3 * PART_BYTES
"""A part of an exposure as it is stored, as it is changed, and as it is stored again."""

Type = np.dtype[np.generic]


def send(
    stream: BinaryIO,
    source: ByteRange | NDArray[np.generic],
    dtype: Type,
    descriptor: int,
    offset: int,
    edit: Edit | None,
    share: tuple[int, int] = (0, 1),
) -> None:
    """Send an array's pixels through memory, some rows at a time.

    ``share`` says which of how many bands of rows.
    """
    ny, nx = (1, *source.shape)[-2:]
    first, last = (ny * (share[0] + each) // share[1] for each in (0, 1))
    rows = min(ny, max(1, PART_BYTES // (nx * dtype.itemsize)))
    singles: Iterable[ByteRange | NDArray[np.generic]]
    singles = planes(source) if isinstance(source, ByteRange) else iter(source.reshape(-1, ny, nx))
    with Scratch() as scratch:
        pixels = scratch.array((rows, nx), dtype)
        stored = scratch.array((rows, nx), dtype.newbyteorder(">"))
        for integration, single in enumerate(singles):
            for start in range(first, last, rows):
                stop = min(start + rows, last)
                part, raw = pixels[: stop - start], stored[: stop - start]
                if isinstance(single, ByteRange):
                    read_rows(stream, single, Window(0, start, nx, stop - start), part)
                else:
                    part[...] = single[start:stop]
                if edit is not None:
                    edit(part, integration, slice(start, stop))
                begin = offset + (integration * ny + start) * nx * dtype.itemsize
                _put(descriptor, _stored(part, raw), begin)


def _stored(pixels: Plane, raw: Plane) -> memoryview:
    """Return rows, which this may change, as FITS stores them."""
    if pixels.dtype.kind == "u" and pixels.dtype.itemsize > 1:  # FITS has no sign to leave out
        pixels ^= pixels.dtype.type(1 << (8 * pixels.dtype.itemsize - 1))
    raw[...] = pixels
    return raw.reshape(-1).view(np.uint8).data


def copy(stream: BinaryIO, source: ByteRange, descriptor: int, offset: int) -> None:
    """Copy an array's bytes; within the kernel where it can."""
    left, begin = source.nbytes, source.offset
    if not isinstance(stream, gzip.GzipFile):  # whose descriptor is that of the packed file
        with suppress(OSError):  # between these file systems, or from this stream, it cannot
            while left:
                size = min(left, PART_BYTES)
                done = os.copy_file_range(stream.fileno(), descriptor, size, begin, offset)
                if not done:
                    break
                _begin_sync(descriptor, offset, done)
                left, begin, offset = left - done, begin + done, offset + done
    with reading(stream):
        stream.seek(begin)
    while left:
        with reading(stream):
            data = stream.read(min(left, PART_BYTES))
        if not data:
            raise ended_early(stream)
        _put(descriptor, data, offset)
        left, offset = left - len(data), offset + len(data)


def write_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of it; the system may take less at a time."""
    while len(data):
        done = os.pwrite(descriptor, data, offset)
        data, offset = data[done:], offset + done


def _put(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of it, and have the disk begin with it."""
    write_at(descriptor, data, offset)
    _begin_sync(descriptor, offset, len(data))


def _begin_sync(descriptor: int, offset: int, size: int) -> None:
    """Have the disk begin with what is written, so that the sync at the end waits for less."""
    with suppress(OSError, AttributeError):  # some systems, and file systems, take no advice
        os.posix_fadvise(descriptor, offset, size, os.POSIX_FADV_DONTNEED)
