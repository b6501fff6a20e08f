"""Whether two files are copies of one, without reading all of large ones."""

from __future__ import annotations

from bkgflow.errors import BkgflowError
from bkgflow.io.storage.location import Location

__all__ = ["are_copies"]

SAMPLES = 16
SAMPLE_BYTES = 8 << 10
"""Of a large file that are read: its first and last bytes, and others at even distances. In
exposures that differ nearly every pixel does, and the date in the header."""

SMALL = 1 << 20
"""Bytes of a file that is read whole."""


def are_copies(one: Location, other: Location) -> bool:
    """Whether two names lead to one file, or to the same bytes; False where they are unreadable."""
    if one == other or one.real() == other.real():
        return True
    try:
        size = one.identity().size
        if size != other.identity().size:
            return False
        with one.open() as first, other.open() as second:
            for offset in _offsets(size):
                first.seek(offset)
                second.seek(offset)
                if first.read(SAMPLE_BYTES) != second.read(SAMPLE_BYTES):
                    return False
    except (BkgflowError, OSError, EOFError):
        return False
    return True


def _offsets(size: int) -> list[int]:
    """Return where the samples begin: one behind the other, or at even distances."""
    last = max(size - SAMPLE_BYTES, 0)
    if size <= SMALL:
        return [*range(0, last + 1, SAMPLE_BYTES), last]
    return [last * i // (SAMPLES - 1) for i in range(SAMPLES)]
