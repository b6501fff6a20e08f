"""Pixels that go from file to file a few rows at a time, changed on the way or copied."""

from __future__ import annotations

import gzip
import math
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.io.fits.cards import BLOCK
from bkgflow.io.fits.hdus import ByteRange
from bkgflow.io.fits.planes import ended_early, planes, read_rows
from bkgflow.io.products.writer import Changes, Edit, Plane
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.publish import unbuffered
from bkgflow.io.storage.ranges import announce
from bkgflow.io.storage.reading import reading
from bkgflow.scratch import Scratch

__all__ = [
    "PART_BYTES", "STREAMED_BYTES", "Part", "Place", "There", "copy_unchanged", "write_parts",
    "write_settled",
]  # fmt: skip

PART_BYTES = 2 << 20
"""Pixels that are changed at a time: few enough to stay in a core's cache between the read, the
change and the write, and a whole integration of a SOSS subarray."""

STREAMED_BYTES = 3 * PART_BYTES
"""A part of an exposure as it is stored, as it is changed, and as it is stored again."""

Type = np.dtype[np.generic]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Bytes of a product, and the array that follows them.

    Attributes
    ----------
    head : bytes
        Written as they are.
    name : str
        EXTNAME of an array that may be edited; empty for all others.
    source : ByteRange, array or None
        Where the array lies in the source; or the array itself, (ny, nx) or a cube; None where
        nothing follows.
    dtype : dtype or None
        The array's type in the product, in the machine's byte order.
    """

    head: bytes
    name: str = ""
    source: ByteRange | NDArray[np.generic] | None = None
    dtype: Type | None = None

    @property
    def size(self) -> int:
        """Bytes of all, in whole blocks of FITS."""
        if self.source is None or self.dtype is None:
            return len(self.head)
        array = math.prod(self.source.shape) * self.dtype.itemsize
        return len(self.head) + array + -array % BLOCK


Place = tuple[int, int, int]
"""Where an array begins in its file (-1 in memory), how many bytes it has in the product, and where
it begins there."""

There = dict[Place, object]
"""Arrays that are in a product already, and what was done to them: an edit, or None; an array that
was in memory is itself what was done."""


def copy_unchanged(
    parts: Sequence[Part], source: Location, product: Path, edits: Collection[str]
) -> There:
    """Begin a product with the arrays that stay what they are; return where each is now.

    Parameters
    ----------
    parts : sequence of Part
        As long as those of the product will be, as far as that is known by now.
    source : Location
        A file on this machine's disks, not packed.
    edits : collection of str
        EXTNAMEs of the arrays that change.

    Raises
    ------
    FileError
        If the source ends early.
    """
    there: There = {}
    with unbuffered(product) as out, source.open() as stream:
        for part, offset in zip(parts, _offsets(parts), strict=False):
            place = _place(part, offset)
            if place is not None and isinstance(part.source, ByteRange) and part.name not in edits:
                _copy(stream, part.source, out.fileno(), place[2])
                _send(out.fileno(), place[2], place[1])
                there[place] = None
    return there


def write_settled(
    parts: Sequence[Part], source: Location, product: Path, changes: Changes, before: There
) -> There:
    """Add arrays to a product that was begun: those that are edited, and the mask.

    As `copy_unchanged`; what the parts have in memory is a mask like the one to come. What was
    done ``before`` is not done again.
    """
    there: There = {}
    with unbuffered(product, again=True) as out, source.open() as stream:
        for each, offset in zip(parts, _offsets(parts), strict=False):
            part, edit = each, changes.edits.get(each.name)
            if isinstance(each.source, np.ndarray):
                part = replace(each, source=changes.mask)
            elif edit is None:
                continue
            place = _place(part, offset)
            if place is None or before.get(place, part) is _done_to(part, edit):
                continue
            if part.source is not None and part.dtype is not None:
                _convert(stream, part.source, part.dtype, out.fileno(), place[2], edit)
                _send(out.fileno(), place[2], place[1])
                there[place] = _done_to(part, edit)
    return there


def _offsets(parts: Sequence[Part]) -> list[int]:
    """Return where each part begins in a product, and where the last one ends."""
    return list(accumulate((part.size for part in parts), initial=0))


def _place(part: Part, offset: int) -> Place | None:
    """Return where a part's array is, where the product stores it as its source does."""
    source, start = part.source, offset + len(part.head)
    if isinstance(source, np.ndarray) and part.dtype is not None:
        return -1, source.size * part.dtype.itemsize, start
    if not isinstance(source, ByteRange) or source.native != part.dtype:
        return None
    return source.offset, source.nbytes, start


def _done_to(part: Part, edit: Edit | None) -> object:
    return part.source if isinstance(part.source, np.ndarray) else edit


def write_parts(
    parts: Sequence[Part],
    source: Location,
    product: Path,
    edits: Mapping[str, Edit],
    threads: int = 1,
    there: There | None = None,
) -> None:
    """Write a product: of arrays that stay what they are the bytes are copied.

    Parameters
    ----------
    source : Location
        Of the file that the arrays are in.
    edits : mapping
        By EXTNAME, what is done to the pixels of an array.
    threads : int
        So many parts are written at a time.
    there : There, optional
        What `copy_unchanged` and `write_settled` have written. If an array is in the wrong place,
        the parts are others than they were told, and all are written anew.

    Raises
    ------
    FileError
        If the source ends early.
    """
    *offsets, end = _offsets(parts)
    wanted = {_place(part, offset) for part, offset in zip(parts, offsets, strict=True)}
    there = there if there and wanted.issuperset(there) else {}
    with unbuffered(product, again=bool(there)) as out, source.open() as stream:
        if not source.is_local:  # nothing is gained by several streams of one object
            threads = 1
            arrays = (each.source for each in parts if isinstance(each.source, ByteRange))
            announce(stream, ((each.offset, each.offset + each.nbytes) for each in arrays))
        write = partial(_write_part, out.fileno(), edits, there)
        if threads == 1 or isinstance(stream, gzip.GzipFile):  # read through once
            for part, offset in zip(parts, offsets, strict=True):
                write(stream, part, offset)
            with reading(stream):
                stream.seek(0, os.SEEK_END)  # a gzip file's sum is at its end
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(partial(_apart, write, source), parts, offsets))
        out.truncate(end)  # what pads the last block is not written


def _apart(
    write: Callable[[BinaryIO, Part, int], None], source: Location, part: Part, offset: int
) -> None:
    """Write a part from a stream of its own."""
    with source.open() as stream:
        write(stream, part, offset)


def _write_part(
    descriptor: int,
    edits: Mapping[str, Edit],
    there: There,
    stream: BinaryIO,
    part: Part,
    offset: int,
) -> None:
    place = _place(part, offset)
    _write_at(descriptor, part.head, offset)
    offset += len(part.head)
    source, edit = part.source, edits.get(part.name)
    if source is None or part.dtype is None:
        return
    if place in there and there[place] is _done_to(part, edit):
        return
    if place is not None and edit is None and isinstance(source, ByteRange):
        _copy(stream, source, descriptor, offset)
    else:
        _convert(stream, source, part.dtype, descriptor, offset, edit)
    _send(descriptor, offset, part.size)


def _send(descriptor: int, offset: int, size: int) -> None:
    """Have the disk begin with what is complete, so that the sync at the end waits for less."""
    with suppress(OSError, AttributeError):  # some systems, and file systems, take no advice
        os.posix_fadvise(descriptor, offset, size, os.POSIX_FADV_DONTNEED)


def _convert(
    stream: BinaryIO,
    source: ByteRange | NDArray[np.generic],
    dtype: Type,
    descriptor: int,
    offset: int,
    edit: Edit | None,
) -> None:
    """Send an array's pixels through memory, some rows at a time."""
    ny, nx = (1, *source.shape)[-2:]
    rows = min(ny, max(1, PART_BYTES // (nx * dtype.itemsize)))
    singles: Iterable[ByteRange | NDArray[np.generic]]
    singles = planes(source) if isinstance(source, ByteRange) else iter(source.reshape(-1, ny, nx))
    with Scratch() as scratch:
        pixels = scratch.array((rows, nx), dtype)
        stored = scratch.array((rows, nx), dtype.newbyteorder(">"))
        for integration, single in enumerate(singles):
            for start in range(0, ny, rows):
                stop = min(start + rows, ny)
                part, raw = pixels[: stop - start], stored[: stop - start]
                if isinstance(single, ByteRange):
                    read_rows(stream, single, Window(0, start, nx, stop - start), part)
                else:
                    part[...] = single[start:stop]
                if edit is not None:
                    edit(part, integration, slice(start, stop))
                offset = _store(part, raw, descriptor, offset)


def _store(pixels: Plane, raw: Plane, descriptor: int, offset: int) -> int:
    """Write rows, which this may change, as FITS stores them; return where the next begin."""
    if pixels.dtype.kind == "u" and pixels.dtype.itemsize > 1:  # FITS has no sign to leave out
        pixels ^= pixels.dtype.type(1 << (8 * pixels.dtype.itemsize - 1))
    raw[...] = pixels
    _write_at(descriptor, raw.reshape(-1).view(np.uint8).data, offset)
    return offset + raw.nbytes


def _copy(stream: BinaryIO, source: ByteRange, descriptor: int, offset: int) -> None:
    """Copy an array's bytes; within the kernel where it can."""
    left, begin = source.nbytes, source.offset
    if not isinstance(stream, gzip.GzipFile):  # whose descriptor is that of the packed file
        with suppress(OSError):  # between these file systems, or from this stream, it cannot
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
