"""FITS files read by byte range: where each array lies, and bands of rows out of it.

A background is never opened as a data model. Its headers are walked once, and then the rows
that are wanted are read straight into native arrays: SCI and ERR swapped, DQ (signed integers
with BZERO = 2**31, which astropy refuses to memory-map) swapped with the top bit flipped.
"""

from __future__ import annotations

import gzip
import math
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.errors import FileError
from bkgflow.io.fits.cards import BLOCK, Cards

__all__ = [
    "Extension",
    "Place",
    "ended_early",
    "open_binary",
    "plane",
    "read_rows",
    "read_unit",
    "read_units",
    "reading",
    "walk",
]

SCRATCH_BYTES = 1 << 20
"""Raw bytes read at a time: small enough to stay in a core's cache until they are swapped."""

GZIP_MAGIC = b"\x1f\x8b"

BITPIX = (8, 16, 32, 64, -32, -64)
"""The types that an array may have (FITS standard 4.0, table 8)."""

_threads = threading.local()

UNSIGNED_ZERO = {16: 1 << 15, 32: 1 << 31}
"""BZERO with which FITS stores unsigned integers of 16 and 32 bits."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an image extension's array lies in its file.

    Attributes
    ----------
    offset : int
        Byte of the first pixel.
    shape : tuple of int
        (ny, nx) or (n_integrations, ny, nx).
    bitpix : int
        FITS's name of the type: 8, 16, 32, 64, -32, -64; stored big-endian.
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
class Extension:
    """One header-and-data unit: its name, header, and where its data lie."""

    name: str
    header: Cards
    place: Place


@contextmanager
def open_binary(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file for reading bytes; a gzip file is read through.

    Raises
    ------
    FileError
        If it does not exist, is a folder, or may not be read.
    """
    try:
        raw = Path(path).open("rb")  # noqa: SIM115 - closed below, outside of this try
    except OSError as problem:
        raise FileError(
            "An exposure is a readable file",
            file=path,
            value=problem.strerror,
            cure="Check the path and the permissions",
        ) from None
    with raw:
        packed = raw.read(2) == GZIP_MAGIC
        raw.seek(0)
        if packed:
            with gzip.open(raw) as unpacked:
                yield cast(BinaryIO, unpacked)
        else:
            yield raw


@contextmanager
def reading(stream: BinaryIO) -> Iterator[None]:
    """Say of errors met while reading a file which file it was.

    Raises
    ------
    FileError
        If the system cannot read on, or a gzip file is damaged.
    """
    try:
        yield
    except (OSError, EOFError, zlib.error) as problem:
        raise FileError(
            "An exposure is a FITS file that can be read to its end",
            file=getattr(stream, "name", None),
            value=str(problem) or type(problem).__name__,
            cure="Fetch the file again, or mend the file system that it is on",
        ) from problem


def walk(path: str | Path) -> dict[str, Extension]:
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
    found: dict[str, Extension] = {}
    with open_binary(path) as stream, reading(stream):
        for extension, _ in read_units(path, stream):
            found.setdefault(extension.name, extension)
    if not found:
        raise _unreadable(path, "an empty file")
    return found


def read_units(path: str | Path, stream: BinaryIO) -> Iterator[tuple[Extension, int]]:
    """Read every header of an open file; with each comes where its unit ends.

    Raises
    ------
    FileError
        If the file is not FITS, or ends before its last extension does.
    """
    end, position = stream.seek(0, 2), 0
    while position < end:
        start = stream.seek(position)
        extension, position = read_unit(path, stream, first=start == 0)
        if position > end:
            raise _truncated(path, extension.name, position, end)
        yield extension, position


def read_unit(path: str | Path, stream: BinaryIO, *, first: bool) -> tuple[Extension, int]:
    """Read the header that begins where a stream stands; return it and where the next begins.

    Raises
    ------
    FileError
        If there is no header of FITS.
    """
    start = stream.tell()
    signature = stream.read(8)
    if signature != (b"SIMPLE  " if first else b"XTENSION"):
        where = "the file begins" if first else f"byte {start} begins an extension"
        raise _unreadable(path, f"{where} with {signature!r}")
    stream.seek(start)
    header = Cards.read(path, stream)
    name = "PRIMARY" if first else str(header.get("EXTNAME", "")).upper()
    try:
        place = _place(header, stream.tell())
        size = _size(header, place)
    except (ValueError, TypeError) as problem:
        raise _unreadable(path, f"extension {name}: {problem.args[0]}") from None
    return Extension(name, header, place), place.offset + -(-size // BLOCK) * BLOCK


def _place(header: Cards, offset: int) -> Place:
    """Say where an array lies; what is no shape or no type raises what Python raises."""
    axes = range(header.whole("NAXIS", 0), 0, -1)
    shape = tuple(header.whole(f"NAXIS{axis}") for axis in axes)
    if min(shape, default=0) < 0:
        raise ValueError(f"an axis is shorter than nothing: {shape}")
    bitpix = header.whole("BITPIX")
    if bitpix not in BITPIX:
        raise ValueError(f"BITPIX = {bitpix}")
    scale, zero = float(header.get("BSCALE", 1.0)), float(header.get("BZERO", 0.0))
    return Place(offset, shape, bitpix, scale, zero)


def _size(header: Cards, place: Place) -> int:
    """Return the bytes of a unit's data (FITS standard 4.0, section 4.4.1.2)."""
    if not place.shape:
        return 0
    parameters = header.whole("PCOUNT", 0) * abs(place.bitpix) // 8
    size = header.whole("GCOUNT", 1) * (place.nbytes + parameters)
    if size < 0:
        raise ValueError(f"{size} bytes of data")
    return size


def read_rows(stream: BinaryIO, place: Place, part: Window, out: NDArray[np.generic]) -> None:
    """Read a part of one image plane into a native array.

    Parameters
    ----------
    stream : binary file
        The open file.
    place : Place
        A 2-D place; for a cube, see `plane`.
    part : Window
        Columns and rows of the array (0-based in the array, not on the detector).
    out : (part.ny, part.nx) float32, float64 or uint32
        Filled in place.
    """
    width = place.shape[-1]
    itemsize = place.dtype.itemsize
    rows_at_once = max(1, SCRATCH_BYTES // (width * itemsize))
    scratch = _scratch(min(rows_at_once, part.ny) * width * itemsize)
    scratch = scratch.view(place.dtype).reshape(-1, width)
    with reading(stream):
        stream.seek(place.offset + part.y0 * width * itemsize)
    for row in range(0, part.ny, rows_at_once):
        raw = scratch[: min(rows_at_once, part.ny - row)]
        with reading(stream):
            complete = _read_into(stream, raw) == raw.nbytes
        if not complete:
            raise ended_early(stream)
        _convert(raw[:, part.x0 : part.x1], place, out[row : row + len(raw)])


def _scratch(size: int) -> NDArray[np.uint8]:
    """Return bytes that this thread uses again and again: new pages cost more than a read."""
    held: NDArray[np.uint8] | None = getattr(_threads, "scratch", None)
    if held is None or held.size < size:
        held = _threads.scratch = np.empty(size, np.uint8)
    return held[:size]


def ended_early(stream: BinaryIO) -> FileError:
    """Return the error for a file that is shorter than its headers say."""
    return FileError(
        "The data are as long as the header says",
        file=getattr(stream, "name", None),
        value="the file ended early",
        cure="Fetch the file again; it changed or was cut since it was planned",
    )


def _read_into(stream: BinaryIO, raw: NDArray[np.generic]) -> int:
    """Fill an array with bytes, as far as the file goes; return how many there were."""
    count: int = cast(Any, stream).readinto(raw.view(np.uint8))
    return count


def plane(place: Place, integration: int) -> Place:
    """Return the place of one integration of a cube; an image is one integration."""
    single = replace(place, shape=(1, *place.shape)[-2:])
    return replace(single, offset=place.offset + integration * single.nbytes)


def _convert(raw: NDArray[np.generic], place: Place, out: NDArray[np.generic]) -> None:
    """Swap, and undo BSCALE and BZERO, into ``out``."""
    if place.bscale == 1.0 and place.bzero == 0.0:
        np.copyto(out, raw, casting="unsafe")
    elif out.dtype.kind == "u" and place.bscale == 1.0 and place.bitpix in UNSIGNED_ZERO:
        # Adding 2**31 to a signed integer is flipping its top bit; unsigned addition wraps.
        np.copyto(out, raw, casting="unsafe")
        np.add(out, out.dtype.type(int(place.bzero)), out=out)
    else:
        np.copyto(out, raw.astype(np.float64) * place.bscale + place.bzero, casting="unsafe")


def _truncated(path: str | Path, name: str, wanted: int, found: int) -> FileError:
    return FileError(
        f"The file holds all of its extension {name or 'without a name'}",
        file=path,
        value=f"{found} bytes of {wanted}",
        cure="Fetch the file again; it was cut off",
    )


def _unreadable(path: str | Path, what: str) -> FileError:
    return FileError(
        "An exposure is a FITS file",
        file=path,
        value=what,
        cure="Fetch the file again, or give the right one",
    )
