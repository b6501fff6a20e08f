"""The floor: what the data cost to move, with nothing computed.

Of every background the bytes of SCI, ERR and DQ are read once and swapped to the machine's
order, into a buffer that is used again and again; every target is read once and written once.
Nothing is synced to the disk, while bkgflow syncs its products. One thread. bkgflow leaves the
backgrounds' ERR alone where nobody asked for it; the reference step reads it always, and so does
this.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from benchmarks.contender import Work
from benchmarks.files import empty

__all__ = ["move"]

CHUNK = 1 << 20
"""Bytes moved at a time: they stay in a core's cache until they are swapped."""

ARRAYS = ("SCI", "ERR", "DQ")


Span = tuple[int, int]
"""Where the bytes of an array begin in its file, and how many they are."""


@contextmanager
def move(backgrounds: Sequence[Path], targets: Sequence[Path], output: Path) -> Iterator[Work]:
    """Read and swap the backgrounds, copy the targets."""
    spans = [(path, _spans(path)) for path in backgrounds]
    largest = max((size for _, each in spans for _, size in each), default=0)
    native = np.empty(largest // 4, np.uint32)
    scratch: NDArray[Any] = np.empty(CHUNK // 4, ">u4")

    def run() -> None:
        for path, each in spans:
            with path.open("rb", buffering=0) as stream:
                for span in each:
                    _read(stream, span, scratch, native)
        for target in targets:
            _copy(target, output / target.name, scratch)

    yield Work(run, prepare=lambda: empty(output))


def _spans(path: Path) -> list[Span]:
    """Return where the arrays are in a file."""
    with fits.open(path, memmap=False) as hdus:
        found = [hdus[name] for name in ARRAYS if name in hdus]
        return [(hdu.fileinfo()["datLoc"], hdu.size) for hdu in found]


def _read(stream: FileIO, span: Span, scratch: NDArray[Any], native: NDArray[np.uint32]) -> None:
    """Read one array of four-byte pixels in chunks, each swapped while it is in the cache."""
    offset, length = span
    stream.seek(offset)
    raw = scratch.view(np.uint8).data
    for start in range(0, length, CHUNK):
        size = min(CHUNK, length - start)
        if stream.readinto(raw[:size]) != size:
            raise OSError("the file ended early")
        np.copyto(native[start // 4 : (start + size) // 4], scratch[: size // 4])


def _copy(source: Path, copy: Path, scratch: NDArray[Any]) -> None:
    raw = scratch.view(np.uint8).data
    with source.open("rb", buffering=0) as reading, copy.open("wb", buffering=0) as writing:
        while size := reading.readinto(raw):
            writing.write(raw[:size])
