"""The parts of a FITS product as HDUs for a group: their pixels through the edits, some rows at
a time."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.io.fits.cards import BLOCK, Cards
from bkgflow.io.fits.hdus import ByteRange, Hdu, hdu_of, read_hdus
from bkgflow.io.fits.planes import ended_early, planes, read_rows
from bkgflow.io.products.pixels import PART_BYTES, Part
from bkgflow.io.products.writer import Edit
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.reading import reading
from bkgflow.io.zarr.writing import Piece

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
    native = hdu.data.native
    is_image = hdu.kind == "IMAGE" and len(hdu.data.shape) >= 2 and native is not None
    source = part.source
    if not is_image:
        return Piece(hdu, None, _bytes_of(source, behind, hdu, stream, 0))
    if source is None:
        image = np.frombuffer(behind, np.uint8, hdu.size)
        source = np.zeros(hdu.data.shape, native)
        _unstored(image.view(hdu.data.dtype).reshape(hdu.data.shape), source)
        return Piece(hdu, _from(source, stream, edit), lambda: (behind[hdu.size :],))
    copied = isinstance(source, ByteRange) and len(source.shape) == 1
    if copied:
        assert isinstance(source, ByteRange)
        array = replace(hdu.data, offset=source.offset)
        return Piece(hdu, _from(array, stream, edit),
                     _bytes_of(source, b"", hdu, stream, hdu.size))  # fmt: skip
    padding = bytes(-hdu.size % BLOCK)
    return Piece(hdu, _from(source, stream, edit), lambda: (padding,))


def _unstored(raw: NDArray[Any], out: NDArray[Any]) -> None:
    """Undo what FITS does to unsigned integers."""
    np.copyto(out, raw, casting="unsafe")
    if out.dtype.kind == "u" and out.dtype.itemsize > 1:
        out ^= out.dtype.type(1 << (8 * out.dtype.itemsize - 1))


def _from(
    source: ByteRange | NDArray[Any], stream: BinaryIO, edit: Edit | None
) -> Callable[[slice, slice, NDArray[Any]], None]:
    ny, nx = source.shape[-2:]

    def fill(some: slice, rows: slice, out: NDArray[Any]) -> None:
        height = max(1, PART_BYTES // (nx * out.dtype.itemsize))
        if isinstance(source, ByteRange):
            singles: Iterator[Any] = planes(source, some.start, some.stop - some.start)
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


def _bytes_of(
    source: ByteRange | NDArray[Any] | None, behind: bytes, hdu: Hdu, stream: BinaryIO, skip: int
) -> Callable[[], Iterator[bytes]]:
    """Return what yields the bytes of an HDU's data, and what pads them, but for the first."""

    def give() -> Iterator[bytes]:
        if behind:
            yield behind[skip:]
        if isinstance(source, ByteRange):
            begin, left = source.offset + skip, source.nbytes - skip
            while left:
                with reading(stream):
                    stream.seek(begin)
                    data = stream.read(min(left, PART_BYTES))
                if not data:
                    raise ended_early(stream)
                yield data
                begin, left = begin + len(data), left - len(data)
        elif source is not None:
            raw = source.astype(source.dtype.newbyteorder(">")).tobytes()
            yield raw + bytes(-len(raw) % BLOCK)

    return give
