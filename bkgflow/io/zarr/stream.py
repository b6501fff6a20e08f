"""The FITS file that a group holds, as a stream: nothing of it is made before it is asked for."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import numpy as np

from bkgflow.io.fits.hdus import Hdus, by_name, read_hdus
from bkgflow.io.fits.hdus import walk as walk_file
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.reading import reading
from bkgflow.io.storage.seekable import SeekableStream
from bkgflow.io.zarr.layout import Pixels, Untyped
from bkgflow.io.zarr.reading import Group, StoredHdu, holds_group, open_group

__all__ = ["FitsStream", "as_stored", "check_whole", "open_product", "walk_product"]


@contextmanager
def open_product(location: Location) -> Iterator[BinaryIO]:
    """Open a product for reading bytes of its FITS file, whatever it is stored as.

    Raises
    ------
    FileError
        If it cannot be read.
    """
    if holds_group(location):
        yield cast(BinaryIO, FitsStream(open_group(location)))
        return
    with location.open() as stream:
        yield stream


def check_whole(location: Location) -> None:
    """See that no shard of a product in zarr is missing; see `Group.check_whole`.

    That a FITS file is whole is seen when its headers are read.
    """
    if holds_group(location):
        open_group(location).check_whole()


def walk_product(location: Location) -> Hdus:
    """Read every header of a product, whatever it is stored as; see `bkgflow.io.fits.hdus.walk`."""
    if not holds_group(location):
        return walk_file(location)
    with open_product(location) as stream, reading(stream):
        return by_name(list(read_hdus(location, stream)))


def as_stored(pixels: Pixels, dtype: np.dtype[Any]) -> memoryview:
    """Return pixels as FITS stores them, in a type of FITS: what has no sign gets one."""
    if pixels.dtype.kind == "u" and pixels.dtype.itemsize > 1:
        pixels = pixels ^ pixels.dtype.type(1 << (8 * pixels.dtype.itemsize - 1))
    raw = np.ascontiguousarray(pixels).astype(dtype, casting="unsafe")
    return raw.reshape(-1).view(np.uint8).data


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Bytes of one kind: a header, pixels, or what is kept as bytes."""

    begin: int
    stop: int
    hdu: StoredHdu
    kind: str


class FitsStream(SeekableStream):
    """A file to be read, whose bytes come out of a group's arrays row by row."""

    def __init__(self, group: Group) -> None:
        super().__init__()
        self._group, self._at = group, 0
        self.name = str(group.location)
        self._stretches = list(_stretches(group))
        self._begins = [each.begin for each in self._stretches]
        self._held: tuple[_Stretch, bytes] | None = None

    def _length(self) -> int:
        return self._stretches[-1].stop

    def readinto(self, buffer: Untyped) -> int:
        """Fill a buffer, but for what lies behind the end."""
        out = memoryview(buffer).cast("B")
        done = 0
        while done < len(out):
            index = bisect_right(self._begins, self._at) - 1
            stretch = self._stretches[index]
            if self._at >= stretch.stop:
                break
            count = min(len(out) - done, stretch.stop - self._at)
            out[done : done + count] = self._bytes(stretch, self._at - stretch.begin, count)
            done, self._at = done + count, self._at + count
        return done

    def _bytes(self, stretch: _Stretch, first: int, count: int) -> memoryview | bytes:
        if stretch.kind != "pixels":
            return self._whole(stretch)[first : first + count]
        data = stretch.hdu.hdu.data
        ny, nx = data.shape[-2:]
        width = nx * data.dtype.itemsize
        array = self._group.array(stretch.hdu.array)
        row, last = first // width, (first + count - 1) // width
        found = bytearray()
        while row <= last:  # integration by integration
            plane, y = divmod(row, ny)
            stop = min(ny, y + last - row + 1)
            where = (plane, slice(y, stop)) if len(data.shape) == 3 else slice(y, stop)
            found += as_stored(self._group.read(array, where), data.dtype)
            row += stop - y
        skip = first % width
        return memoryview(found)[skip : skip + count]

    def _whole(self, stretch: _Stretch) -> bytes:
        """Return the bytes of a stretch, which is often read a little at a time."""
        if self._held is None or self._held[0] is not stretch:
            header = stretch.hdu.hdu.header.raw
            self._held = (
                stretch,
                header if stretch.kind == "header" else self._group.data(stretch.hdu),
            )
        return self._held[1]


def _stretches(group: Group) -> Iterator[_Stretch]:
    for stored in group.hdus:
        hdu = stored.hdu
        yield _Stretch(hdu.begin, hdu.data.offset, stored, "header")
        place = hdu.data.offset
        if stored.array:
            yield _Stretch(place, place := place + hdu.size, stored, "pixels")
        if place < hdu.stop:
            yield _Stretch(place, hdu.stop, stored, "bytes")
