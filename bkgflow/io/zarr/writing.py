"""A FITS product put into a group: its pixels as arrays, all else of it byte by byte."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import zarr
from zarr.storage import LocalStore

from bkgflow.detector import Window
from bkgflow.io.fits.cards import WIDTH
from bkgflow.io.fits.hdus import Hdu
from bkgflow.io.fits.tree import TREE
from bkgflow.io.fits.unwarned import unwarned
from bkgflow.io.zarr.arrays import create, in_batches
from bkgflow.io.zarr.attributes import array_attributes, coordinate_attributes, group_attributes
from bkgflow.io.zarr.layout import (
    DIMENSIONS,
    FITS,
    Attributes,
    Cut,
    Pixels,
    Untyped,
    array_name,
    cut_of,
)
from bkgflow.io.zarr.trees import to_json

__all__ = ["Extra", "Piece", "Planes", "consolidate", "write_group"]

RESERVED = {*DIMENSIONS, FITS}

BYTES_CUT = Cut((1 << 20,), (1 << 24,))
"""How a long row of bytes is cut."""

Planes = Callable[[slice, slice, Pixels], None]
"""Fills an array (n, rows, nx) with the pixels of some integrations and rows; in turn, from the
first to the last."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """One HDU of the product.

    Attributes
    ----------
    hdu : Hdu
        With the header that it has in the product.
    planes : callable or None
        Gives the pixels of an image, in the machine's byte order; None of all else.
    data : callable
        Yields the bytes of its data, with what pads them, from one of them on.
    """

    hdu: Hdu
    planes: Planes | None
    data: Callable[[int], Iterable[bytes]]


@dataclass(frozen=True, slots=True, eq=False)
class Extra:
    """An array (ny, nx) that a product has beside the HDUs of its FITS file.

    Attributes
    ----------
    name : str
        Of the array: an HDU of this name becomes none.
    planes : callable
        Gives its pixels: one plane of them.
    """

    name: str
    dtype: np.dtype[np.generic]
    planes: Planes


def write_group(
    path: Path, name: str, pieces: Sequence[Piece], window: Window, extras: Sequence[Extra] = ()
) -> None:
    """Write a group into a new folder, shard by shard.

    Parameters
    ----------
    name : str
        What the group says it is called.
    pieces : sequence of Piece
        All HDUs, in their order; one of the images is SCI.
    window : Window
        Where SCI lies on the detector.
    extras : sequence of Extra
        In the shape of one plane of SCI.
    """
    sci = next(piece.hdu for piece in pieces if piece.hdu.name == "SCI")
    shape = sci.data.shape
    dimensions = DIMENSIONS[-len(shape) :]
    group = zarr.create_group(
        LocalStore(path),
        attributes=group_attributes(name, pieces[0].hdu.header, dimensions, (window.y0, window.x0)),
    )
    first = pieces[0].hdu.header.whole("INTSTART", 1) if len(shape) == 3 else 0
    for axis, begin, length in zip(
        reversed(dimensions), (window.x0, window.y0, first), reversed(shape), strict=False
    ):
        attributes = coordinate_attributes(axis)
        array = create(group, axis, (length,), np.dtype(np.int32), (axis,), attributes)
        array[...] = np.arange(begin, begin + length, dtype=np.int32)
    names = _names(pieces, shape, {extra.name for extra in extras})
    with in_batches():
        for piece, called in zip(pieces, names, strict=True):
            if called:
                attributes = array_attributes(called, piece.hdu.header, sci.header)
                _write_piece(group, called, piece, attributes)
        for extra in extras:
            attributes = array_attributes(extra.name, sci.header, sci.header)
            _write_pixels(group, extra.name, shape[-2:], extra.dtype, extra.planes, attributes)
    _write_rest(group.create_group(FITS), pieces, names)
    consolidate(group.store)


def consolidate(store: Untyped, path: str = "") -> None:
    """Gather the metadata of all that is below a group into its own, for one read."""
    # Part of no specification yet, as zarr warns; readers that do not know it read the single ones.
    with unwarned():
        zarr.consolidate_metadata(store, path=path or None)


def _names(pieces: Sequence[Piece], shape: tuple[int, ...], taken: set[str]) -> list[str]:
    """Return what each HDU's array is called; empty where it becomes none."""
    names: list[str] = []
    for piece in pieces:
        hdu = piece.hdu
        called = array_name(hdu.name)
        fits = piece.planes is not None and hdu.data.shape in {shape, shape[-2:]}
        names.append(called if fits and called not in {*names, *RESERVED, *taken} else "")
    return names


def _write_piece(group: zarr.Group, name: str, piece: Piece, attributes: Attributes) -> None:
    data, planes = piece.hdu.data, piece.planes
    assert data.native is not None and planes is not None
    _write_pixels(group, name, data.shape, data.native, planes, attributes)


def _write_pixels(
    group: zarr.Group,
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype[np.generic],
    planes: Planes,
    attributes: Attributes,
) -> None:
    cut = cut_of(shape)
    array = create(group, name, shape, dtype, DIMENSIONS[-len(shape) :], attributes, cut)
    deep, (ny, nx) = (1, *shape)[-3], shape[-2:]
    depth, height = cut.step
    buffer = np.empty((min(depth, deep), min(height, ny), nx), dtype)
    for i in range(0, deep, depth):
        for y in range(0, ny, height):
            some, rows = slice(i, min(i + depth, deep)), slice(y, min(y + height, ny))
            pixels = buffer[: some.stop - i, : rows.stop - y]
            planes(some, rows, pixels)
            if len(shape) == 2:
                array[rows] = pixels[0]
            else:
                array[some, rows] = pixels


def _write_rest(group: zarr.Group, pieces: Sequence[Piece], names: Sequence[str]) -> None:
    """Write headers, the bytes of all that is no array of pixels, and the tree as JSON."""
    raw = [piece.hdu.header.raw for piece in pieces]
    cards = [header[: header.rindex(b"END".ljust(WIDTH)) + WIDTH] for header in raw]
    table, total = [], 0
    lengths = [_data_bytes(piece, name) for piece, name in zip(pieces, names, strict=True)]
    card = 0
    for piece, name, lines, length in zip(pieces, names, cards, lengths, strict=True):
        number = len(lines) // WIDTH
        table.append(
            {
                "name": piece.hdu.name,
                "cards": [card, card + number],
                "array": name,
                "data": [total, total + length],
            }
        )
        card, total = card + number, total + length
    group.update_attributes({"long_name": "the FITS product but for its pixels", "hdus": table})
    joined = np.frombuffer(b"".join(cards), np.uint8).reshape(-1, WIDTH)
    _write_bytes(group, "cards", joined.shape, ("card", "column"), "cards of all headers",
                 [joined.tobytes()])  # fmt: skip
    tree = _Kept(pieces, names)
    _write_bytes(group, "data", (total,), ("byte",), "data of all that is no array of pixels",
                 tree)  # fmt: skip
    if tree.content is not None:
        with suppress(ValueError):
            text = to_json(tree.content)
            _write_bytes(group, "tree", (len(text),), ("character",),
                         "the ASDF tree as JSON, in UTF-8", [text])  # fmt: skip


def _data_bytes(piece: Piece, name: str) -> int:
    hdu = piece.hdu
    padded = hdu.stop - hdu.data.offset
    return padded - hdu.size if name else padded


@dataclass(slots=True, eq=False)
class _Kept:
    """The bytes of all HDUs that are no arrays; of the tree they are kept.

    What pads an array is a part of them: the zeros of nearly all files take no room.
    """

    pieces: Sequence[Piece]
    names: Sequence[str]
    content: bytes | None = field(default=None, init=False)

    def __iter__(self) -> Iterator[bytes]:
        for piece, name in zip(self.pieces, self.names, strict=True):
            if piece.hdu.name == TREE and self.content is None and not name:
                self.content = b"".join(piece.data(0))
                yield self.content
                self.content = self.content[: piece.hdu.data.nbytes]
            else:
                yield from piece.data(piece.hdu.size if name else 0)


def _write_bytes(
    group: zarr.Group,
    name: str,
    shape: tuple[int, ...],
    dimensions: tuple[str, ...],
    long_name: str,
    content: Iterable[bytes],
) -> None:
    """Write a row of bytes, or of cards, some shards at a time."""
    long = len(shape) == 1 and shape[0] > BYTES_CUT.chunks[0]
    array = create(
        group, name, shape, np.dtype(np.uint8), dimensions, {"long_name": long_name},
        BYTES_CUT if long else None,
    )  # fmt: skip
    if not long:
        whole = np.frombuffer(b"".join(content), np.uint8)
        if whole.size:
            array[...] = whole.reshape(shape)
        return
    held, place, size = bytearray(), 0, BYTES_CUT.shards[0]
    for part in content:
        held += part
        while len(held) >= size:
            array[place : place + size] = np.frombuffer(bytes(held[:size]), np.uint8)
            del held[:size]
            place += size
    if held:
        array[place:] = np.frombuffer(bytes(held), np.uint8)
