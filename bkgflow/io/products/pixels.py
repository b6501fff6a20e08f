"""The parts of a product, written in their places: heads, and arrays that are copied or changed."""

from __future__ import annotations

import gzip
import math
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from bkgflow.io.fits.cards import BLOCK
from bkgflow.io.fits.hdus import ByteRange
from bkgflow.io.products.sending import copy, send, write_at
from bkgflow.io.products.writer import Changes, Edit
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.publish import unbuffered
from bkgflow.io.storage.ranges import announce
from bkgflow.io.storage.reading import reading

__all__ = ["Part", "Place", "There", "copy_unchanged", "write_parts", "write_settled"]

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
                copy(stream, part.source, out.fileno(), place[2])
                there[place] = None
    return there


def write_settled(
    parts: Sequence[Part],
    source: Location,
    product: Path,
    changes: Changes,
    before: There,
    threads: int = 1,
) -> There:
    """Add arrays to a product that was begun: those that are edited, and the mask.

    As `copy_unchanged`; what the parts have in memory is a mask like the one to come. What was
    done ``before`` is not done again. Of each array so many bands are written at a time.
    """
    there: There = {}
    with unbuffered(product, again=True) as out, ThreadPoolExecutor(threads) as pool:
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
                band = partial(_send_band, source, part, out.fileno(), place[2], edit, threads)
                list(pool.map(band, range(threads)))
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
    write_at(descriptor, part.head, offset)
    offset += len(part.head)
    source, edit = part.source, edits.get(part.name)
    if source is None or part.dtype is None:
        return
    if place in there and there[place] is _done_to(part, edit):
        return
    if place is not None and edit is None and isinstance(source, ByteRange):
        copy(stream, source, descriptor, offset)
    else:
        send(stream, source, part.dtype, descriptor, offset, edit)


def _send_band(
    source: Location,
    part: Part,
    descriptor: int,
    offset: int,
    edit: Edit | None,
    bands: int,
    band: int,
) -> None:
    """Send some of an array's rows, read from a stream of their own."""
    assert part.source is not None and part.dtype is not None
    with source.open() as stream:
        send(stream, part.source, part.dtype, descriptor, offset, edit, (band, bands))
