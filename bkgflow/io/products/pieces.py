"""The parts of a FITS product as HDUs for a group: their pixels through the edits, some rows at
a time."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import BinaryIO

import numpy as np

from bkgflow.detector import Window
from bkgflow.io.fits.cards import BLOCK, Cards
from bkgflow.io.fits.hdus import ByteRange, Hdu, hdu_of, read_hdus
from bkgflow.io.fits.planes import ended_early, planes, read_rows
from bkgflow.io.products.pixels import Part
from bkgflow.io.products.sending import PART_BYTES
from bkgflow.io.products.writer import Edit
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.reading import reading
from bkgflow.io.zarr.layout import Pixels, Untyped
from bkgflow.io.zarr.stream import as_stored
from bkgflow.io.zarr.writing import Piece, Planes

__all__ = ["parts_of_file", "pieces_of"]


def parts_of_file(location: Location) -> list[Part]:
    """Return the parts of a FITS file as it is: each HDU with its bytes."""
    with location.open() as stream, reading(stream):
        hdus = list(read_hdus(location, stream))
    return [
        Part(hdu.header.raw, "", data, data.native)
        for hdu in hdus
        for data in (ByteRange(hdu.data.offset, (hdu.stop - hdu.data.offset,), 8),)
    ]


def pieces_of(
    parts: Sequence[Part], stream: BinaryIO, name: str, edits: Mapping[str, Edit]
) -> list[Piece]:
    """Return the HDUs of a product.

    Parameters
    ----------
    parts : sequence of Part
        Of the FITS file: each is one HDU.
    stream : BinaryIO
        The file that their arrays are in; read while the pieces are.
    name : str
        For errors: of the product.
    edits : mapping
        By EXTNAME, what is done to the pixels of an array.
    """
    pieces, place = [], 0
    for index, part in enumerate(parts):
        header = Cards.read(name, io.BytesIO(part.head))
        hdu = hdu_of(name, header, place + len(header.raw), index)
        place = hdu.stop
        pieces.append(_piece(part, hdu, stream, edits.get(part.name)))
    return pieces


def _piece(part: Part, hdu: Hdu, stream: BinaryIO, edit: Edit | None) -> Piece:
    behind = part.head[len(hdu.header.raw) :]  # data that the part has in itself
    source, native, shape = part.source, hdu.data.native, hdu.data.shape
    is_image = hdu.kind == "IMAGE" and len(shape) >= 2 and native is not None
    if source is None:
        planes = None
        if is_image:
            raw = np.frombuffer(behind, hdu.data.dtype, math.prod(shape)).reshape(shape)
            planes = _from(_read(raw, native), stream, edit)
        return Piece(hdu, planes, lambda first: (behind[first:],))
    if isinstance(source, ByteRange) and len(source.shape) == 1:  # bytes that are copied
        array = replace(hdu.data, offset=source.offset)
        copied = _from(array, stream, edit) if is_image else None
        return Piece(hdu, copied, partial(_copied, source, stream))
    planes = _from(source, stream, edit) if len(source.shape) >= 2 else None
    return Piece(hdu, planes if is_image else None, partial(_made, source, planes, hdu))


def _read(raw: Pixels, native: np.dtype[Untyped] | None) -> Pixels:
    """Return pixels that are stored as FITS does it: what has no sign has one there."""
    pixels = raw.astype(native)
    if pixels.dtype.kind == "u" and pixels.dtype.itemsize > 1:
        pixels ^= pixels.dtype.type(1 << (8 * pixels.dtype.itemsize - 1))
    return pixels


def _from(source: ByteRange | Pixels, stream: BinaryIO, edit: Edit | None) -> Planes:
    ny, nx = source.shape[-2:]

    def fill(some: slice, rows: slice, out: Pixels) -> None:
        height = max(1, PART_BYTES // (nx * out.dtype.itemsize))
        if isinstance(source, ByteRange):
            singles: Iterator[Untyped] = planes(source, some.start, some.stop - some.start)
        else:
            singles = itertools.islice(source.reshape(-1, ny, nx), some.start, some.stop)
        for integration, single in enumerate(singles, start=some.start):
            image = out[integration - some.start]
            for y in range(rows.start, rows.stop, height):
                part = image[y - rows.start : min(y + height, rows.stop) - rows.start]
                if isinstance(single, ByteRange):
                    read_rows(stream, single, Window(0, y, nx, len(part)), part)
                else:
                    part[...] = single[y : y + len(part)]
                if edit is not None:
                    edit(part, integration, slice(y, y + len(part)))

    return fill


def _copied(source: ByteRange, stream: BinaryIO, first: int) -> Iterator[bytes]:
    """Yield bytes of a file as they are."""
    begin, left = source.offset + first, source.nbytes - first
    while left:
        with reading(stream):
            stream.seek(begin)
            data = stream.read(min(left, PART_BYTES))
        if not data:
            raise ended_early(stream)
        yield data
        begin, left = begin + len(data), left - len(data)


def _made(
    source: ByteRange | Pixels, planes: Planes | None, hdu: Hdu, first: int
) -> Iterator[bytes]:
    """Yield the bytes of an image that is made for the product, and what pads them.

    All of them are only wanted where it has no array of its own: one of another shape than SCI.
    """
    if first < hdu.size:
        assert hdu.data.native is not None
        pixels = np.empty(hdu.data.shape, hdu.data.native)
        if planes is not None:
            stack = pixels.reshape(-1, *pixels.shape[-2:])
            planes(slice(0, len(stack)), slice(0, stack.shape[1]), stack)
        else:
            pixels[...] = source
        yield bytes(as_stored(pixels, hdu.data.dtype))[first:]
        first = hdu.size
    yield bytes(-hdu.size % BLOCK)[first - hdu.size :]
