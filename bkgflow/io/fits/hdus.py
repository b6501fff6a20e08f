"""The HDUs of a FITS file: their headers, and the byte range of each array.

A background is never opened as a data model. Its headers are walked once; then the rows that
are wanted are read by `bkgflow.io.fits.planes`.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, cast

import numpy as np

from bkgflow.errors import FileError
from bkgflow.io.fits.cards import BLOCK, Cards, Value
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.ranges import announce
from bkgflow.io.storage.reading import most_bytes, reading

__all__ = ["ByteRange", "Hdu", "Hdus", "by_name", "hdu_of", "read_hdus", "walk"]

BITPIX = (8, 16, 32, 64, -32, -64)
"""The types that an array may have (FITS standard 4.0, table 8)."""

UNSIGNED_ZERO = {16: 1 << 15, 32: 1 << 31}
"""BZERO with which FITS stores unsigned integers of 16 and 32 bits."""


FORESEEN = 7
"""Headers behind that of SCI which are looked for where they mostly are: ERR, DQ, variances, the
tree."""

MOST_PADDING = 1 << 20
"""Zero bytes or blanks that may follow the last extension."""


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
    """One header-and-data unit.

    Attributes
    ----------
    name : str
        EXTNAME in capitals, without blanks around it, as astropy looks for it; of a primary
        without one, ``PRIMARY``; else empty.
    data : ByteRange
        Where its data lie.
    index : int
        Its number in the file; the primary is 0.
    size : int
        Bytes of the data, with what a table has behind its rows, without padding.
    """

    name: str
    header: Cards
    data: ByteRange
    index: int
    size: int

    @property
    def kind(self) -> str:
        """XTENSION; of the primary IMAGE, and COMPRESSED of a tile-compressed image."""
        if self.header.get("ZIMAGE") is True:
            return "COMPRESSED"
        return str(self.header.get("XTENSION", "IMAGE")).strip()

    @property
    def has_checksum(self) -> bool:
        """Whether its header says what its bytes add up to."""
        return self.header.once(_has_checksum)

    @property
    def begin(self) -> int:
        """Byte of its header's first card."""
        return self.data.offset - len(self.header.raw)

    @property
    def stop(self) -> int:
        """Byte behind its data and what pads them."""
        return self.data.offset + self.size + -self.size % BLOCK


Hdus = dict[str, Hdu]
"""By name, see `by_name`."""


def walk(path: PathLike, look: Callable[[BinaryIO, Sequence[Hdu]], None] | None = None) -> Hdus:
    """Read every header of a file and prove that its data are all there.

    Parameters
    ----------
    look : callable, optional
        Given the open file and its HDUs, for what else is to be looked at.

    Raises
    ------
    FileError
        If the file cannot be read, is not FITS, or ends before its last extension does.
    """
    with Location.of(path).open() as stream, reading(stream):
        hdus = list(read_hdus(path, stream))
        if look is not None:
            look(stream, hdus)
    return by_name(hdus)


def by_name(hdus: Sequence[Hdu]) -> Hdus:
    """Return HDUs by name: the first of a name counts, and the primary is ``PRIMARY`` too."""
    found = {"PRIMARY": hdus[0]}
    for hdu in hdus:
        found.setdefault(hdu.name, hdu)
    return found


def read_hdus(path: PathLike, stream: BinaryIO) -> Iterator[Hdu]:
    """Read every header of an open file.

    Raises
    ------
    FileError
        If the file is not FITS, or ends before its last extension does.
    """
    most, position, index, foreseen = most_bytes(stream), 0, 0, False
    while header := _read_header(path, stream, position):
        hdu = hdu_of(path, header, stream.tell(), index)
        # A packed file is unpacked as far as is asked for, and tells its length by ending.
        if hdu.stop > most or not _reaches(stream, hdu.stop):
            raise FileError(
                f"The file must hold all of its extension {hdu.name or 'without a name'}",
                file=path,
                value=f"{most if hdu.stop > most else stream.tell()} bytes of {hdu.stop}",
                cure="Fetch the file again; it was cut off, or a header is damaged",
            )
        if index and not foreseen and hdu.kind == "IMAGE" and hdu.data.shape:
            # Most exposures have arrays of one size, with headers of a block: in an object store
            # all of them are fetched side by side.
            foreseen, step = True, BLOCK + hdu.stop - hdu.data.offset
            at = range(hdu.stop, hdu.stop + FORESEEN * step, step)
            announce(stream, ((each, each + 3 * BLOCK) for each in at))
        yield hdu
        position, index = hdu.stop, index + 1


def _reaches(stream: BinaryIO, stop: int) -> bool:
    """Whether a packed file is that long; of others the length is known."""
    return not isinstance(stream, gzip.GzipFile) or stream.seek(stop) == stop


def _read_header(path: PathLike, stream: BinaryIO, start: int) -> Cards | None:
    """Read the header that begins at a byte; None where the file ends there."""
    stream.seek(start)
    begin = stream.read(BLOCK)
    signature = begin[:8]
    if not signature and start:
        return None
    if signature != (b"XTENSION" if start else b"SIMPLE  "):
        if start and _is_padding(begin, stream):
            return None
        where = f"byte {start} begins an extension" if start else "the file begins"
        raise _unreadable(path, f"{where} with {signature!r}" if signature else "an empty file")
    return Cards.read(path, stream, begin)


def _is_padding(begin: bytes, stream: BinaryIO) -> bool:
    """Whether a file ends with zero bytes or blanks alone, as tapes and some copies leave them."""
    rest = begin + stream.read(MOST_PADDING)
    return len(rest) < MOST_PADDING and not rest.strip(b"\0 ")


def hdu_of(path: PathLike, header: Cards, offset: int, index: int) -> Hdu:
    """Return the HDU that a header describes; ``offset`` is the byte where its data begin.

    Raises
    ------
    FileError
        If a card that must be there is not, or says what no array can be.
    """
    try:
        name, size, shape, bitpix, bscale, bzero = header.once(_layout)
        return Hdu(name, header, ByteRange(offset, shape, bitpix, bscale, bzero), index, size)
    except (ValueError, TypeError, OverflowError) as problem:
        where = f"extension {_name(header)}"
        raise _unreadable(path, f"{where}: {problem.args[0]}") from None


Layout = tuple[str, int, tuple[int, ...], int, float, float]
"""Of an HDU: its name, the bytes of its data; and of its `ByteRange` what follows the offset."""


def _has_checksum(header: Cards) -> bool:
    return any(header.get(each) not in (None, "") for each in ("CHECKSUM", "DATASUM"))


def _name(header: Cards) -> str:
    default = "" if header.is_extension else "PRIMARY"
    return str(header.get("EXTNAME", default)).strip().upper()


def _layout(header: Cards) -> Layout:
    """Say what a header describes; what is no shape or no type raises what Python raises."""
    axes = range(header.whole("NAXIS", 0), 0, -1)
    shape = tuple(header.whole(f"NAXIS{axis}") for axis in axes)
    if min(shape, default=0) < 0:
        raise ValueError(f"an axis is shorter than nothing: {shape}")
    bitpix = header.whole("BITPIX")
    if bitpix not in BITPIX:
        raise ValueError(f"BITPIX = {bitpix}")
    bscale, bzero = header.get("BSCALE", 1.0), header.get("BZERO", 0.0)
    scale = float(cast(Value, bscale)), float(cast(Value, bzero))
    return _name(header), _size(header, shape, bitpix), shape, bitpix, *scale


def _size(header: Cards, shape: tuple[int, ...], bitpix: int) -> int:
    """Return the bytes of an HDU's data (FITS standard 4.0, section 4.4.1.2)."""
    if not shape:
        return 0
    elements = header.whole("PCOUNT", 0) + math.prod(shape)
    size = header.whole("GCOUNT", 1) * elements * abs(bitpix) // 8
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
