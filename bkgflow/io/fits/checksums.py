"""CHECKSUM and DATASUM: whether the bytes of an HDU add up to what its header says.

The sums are those of the FITS standard 4.0, appendix J: of 32-bit words, in ones' complement. A
file is added up once in a process, a few MiB at a time, and only where its headers have sums.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from typing import BinaryIO

import numpy as np

from bkgflow.errors import FileError
from bkgflow.io.fits.hdus import Hdu, read_hdus
from bkgflow.io.storage.identity import Identity
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.reading import reading

__all__ = ["SUMS", "check_checksums"]

SUMS = ("CHECKSUM", "DATASUM")
"""The keywords."""

CHUNK = 4 << 20
"""Bytes that are added up at a time."""

WHOLE = 0xFFFFFFFF
"""What all words of an HDU add up to where CHECKSUM is right: nothing, in ones' complement."""

_one_at_a_time: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


def check_checksums(location: Location) -> None:
    """See that every HDU of a file that has a checksum adds up to it.

    Raises
    ------
    FileError
        If one does not; it names the HDU.
    """
    with _one_at_a_time[location.url]:  # other tasks that want the file wait for the answer
        _check(location, location.identity())


@lru_cache(maxsize=4096)
def _check(location: Location, _version: Identity) -> None:
    with location.open() as stream, reading(stream):
        for hdu in list(read_hdus(location, stream)):
            if hdu.has_checksum:
                _check_hdu(location, stream, hdu)


def _check_hdu(location: Location, stream: BinaryIO, hdu: Hdu) -> None:
    data = _add(_chunks(stream, hdu.data.offset, hdu.stop))
    stated = _stated(hdu, "DATASUM")
    if stated and stated != str(data):
        raise _wrong(location, hdu, f"DATASUM = {stated}, the data add up to {data}")
    if _stated(hdu, "CHECKSUM"):
        total = _add([hdu.header.raw], data)
        if total != WHOLE:
            raise _wrong(location, hdu, f"CHECKSUM is not that of its bytes ({total:#010x} left)")


def _stated(hdu: Hdu, keyword: str) -> str:
    """Return what a header says; empty where the card is missing, or is blanks: "unknown"."""
    value = hdu.header.get(keyword)
    return "" if value is None else str(value).strip()


def _chunks(stream: BinaryIO, start: int, stop: int) -> Iterable[bytes]:
    for begin in range(start, stop, CHUNK):
        yield _read(stream, begin, min(begin + CHUNK, stop))


def _read(stream: BinaryIO, start: int, stop: int) -> bytes:
    stream.seek(start)
    return stream.read(stop - start)


def _add(parts: Iterable[bytes], total: int = 0) -> int:
    """Add bytes, whole words, to a sum in ones' complement: what overflows is added at the end."""
    for part in parts:
        total += int(np.frombuffer(part, ">u4").sum(dtype=np.uint64))
    return _folded(total)


def _folded(total: int) -> int:
    while total > WHOLE:
        total = (total & WHOLE) + (total >> 32)
    return total


def _wrong(location: Location, hdu: Hdu, found: str) -> FileError:
    return FileError(
        "The bytes of an extension must add up to the checksums in its header",
        file=location,
        value=f"extension {hdu.name or hdu.index}: {found}",
        cure="Fetch the file again: it is damaged; or, where a program changed it and left the old "
        'sums, renew them with astropy (fits.open(file, mode="update", checksum=True))',
    )
