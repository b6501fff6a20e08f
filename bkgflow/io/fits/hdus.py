"""The HDUs of a FITS file: their headers, and the byte range of each array.

A background is never opened as a data model. Its headers are walked once; then the rows that
are wanted are read by `bkgflow.io.fits.planes`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

import numpy as np

from bkgflow.errors import FileError
from bkgflow.io.fits.cards import BLOCK, Cards, Value
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.reading import reading

__all__ = ["UNSIGNED_ZERO", "ByteRange", "Hdu", "read_hdus", "walk"]

BITPIX = (8, 16, 32, 64, -32, -64)
"""The types that an array may have (FITS standard 4.0, table 8)."""

UNSIGNED_ZERO = {16: 1 << 15, 32: 1 << 31}
"""BZERO with which FITS stores unsigned integers of 16 and 32 bits."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Where an image extension's array lies in its file.

    Attributes
    ----------
    offset : int
        Byte of the first pixel.
    shape : tuple of int
        (ny, nx) or (n_integrations, ny, nx).
    bitpix : int
        FITS's name of the type, one of `BITPIX`; stored big-endian.
    bscale, bzero : float
        True value = bscale × stored + bzero.
    """

    offset: int
    shape: tuple[int, ...]
    bitpix: int
    bscale: float = 1.0
    bzero: float = 0.0

    @property
    def nbytes(self) -> int:
        """Bytes of the array, without padding."""
        return math.prod(self.shape) * abs(self.bitpix) // 8

    @property
    def native(self) -> np.dtype[np.generic] | None:
        """The type in memory, with the machine's byte order; None where values are scaled."""
        if self.bscale != 1.0:
            return None
        if self.bzero == 0.0:
            return self.dtype.newbyteorder("=")
        unsigned = self.bzero == UNSIGNED_ZERO.get(self.bitpix)
        return np.dtype(f"u{self.bitpix // 8}") if unsigned else None

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The stored type."""
        kind = "f" if self.bitpix < 0 else ("u" if self.bitpix == 8 else "i")
        return np.dtype(f">{kind}{abs(self.bitpix) // 8}")


@dataclass(frozen=True, slots=True)
class Hdu:
    """One header-and-data unit: its name, header, and where its data lie."""

    name: str
    header: Cards
    data: ByteRange


def walk(path: PathLike) -> dict[str, Hdu]:
    """Read every header of a file and prove that its data are all there.

    Returns
    -------
    dict
        Extensions by name; the first of a name counts, the primary is ``PRIMARY``.

    Raises
    ------
    FileError
        If the file cannot be read, is not FITS, or ends before its last extension does.
    """
    found: dict[str, Hdu] = {}
    with Location.of(path).open() as stream, reading(stream):
        for hdu, _ in read_hdus(path, stream):
            found.setdefault(hdu.name, hdu)
    if not found:
        raise _unreadable(path, "an empty file")
    return found


def read_hdus(path: PathLike, stream: BinaryIO) -> Iterator[tuple[Hdu, int]]:
    """Read every header of an open file; with each comes where its HDU ends.

    Raises
    ------
    FileError
        If the file is not FITS, or ends before its last extension does.
    """
    end, position = stream.seek(0, 2), 0
    while position < end:
        hdu, position = _read_hdu(path, stream, position)
        if position > end:
            raise FileError(
                f"The file must hold all of its extension {hdu.name or 'without a name'}",
                file=path,
                value=f"{end} bytes of {position}",
                cure="Fetch the file again; it was cut off",
            )
        yield hdu, position


def _read_hdu(path: PathLike, stream: BinaryIO, start: int) -> tuple[Hdu, int]:
    """Read the header that begins at a byte; return it and where the next begins."""
    stream.seek(start)
    signature = stream.read(8)
    if signature != (b"XTENSION" if start else b"SIMPLE  "):
        where = f"byte {start} begins an extension" if start else "the file begins"
        raise _unreadable(path, f"{where} with {signature!r}")
    stream.seek(start)
    header = Cards.read(path, stream)
    name = str(header.get("EXTNAME", "")).upper() if start else "PRIMARY"
    try:
        data = _byte_range(header, stream.tell())
        size = _size(header, data)
    except (ValueError, TypeError) as problem:
        raise _unreadable(path, f"extension {name}: {problem.args[0]}") from None
    return Hdu(name, header, data), data.offset + -(-size // BLOCK) * BLOCK


def _byte_range(header: Cards, offset: int) -> ByteRange:
    """Say where an array lies; what is no shape or no type raises what Python raises."""
    axes = range(header.whole("NAXIS", 0), 0, -1)
    shape = tuple(header.whole(f"NAXIS{axis}") for axis in axes)
    if min(shape, default=0) < 0:
        raise ValueError(f"an axis is shorter than nothing: {shape}")
    bitpix = header.whole("BITPIX")
    if bitpix not in BITPIX:
        raise ValueError(f"BITPIX = {bitpix}")
    bscale, bzero = header.get("BSCALE", 1.0), header.get("BZERO", 0.0)
    return ByteRange(offset, shape, bitpix, float(cast(Value, bscale)), float(cast(Value, bzero)))


def _size(header: Cards, data: ByteRange) -> int:
    """Return the bytes of an HDU's data (FITS standard 4.0, section 4.4.1.2)."""
    if not data.shape:
        return 0
    parameters = header.whole("PCOUNT", 0) * abs(data.bitpix) // 8
    size = header.whole("GCOUNT", 1) * (data.nbytes + parameters)
    if size < 0:
        raise ValueError(f"{size} bytes of data")
    return size


def _unreadable(path: PathLike, what: str) -> FileError:
    return FileError(
        "An exposure must be a FITS file",
        file=path,
        value=what,
        cure="Fetch the file again, or give the right one",
    )
