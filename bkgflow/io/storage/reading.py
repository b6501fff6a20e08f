"""Open files: packed ones read through, and what goes wrong said with the file's name."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from types import TracebackType
from typing import BinaryIO, cast

from bkgflow.errors import BkgflowError, FileError
from bkgflow.io.storage.opening import cure_of, not_readable
from bkgflow.io.storage.ranges import announce

__all__ = ["most_bytes", "reading", "said", "understood", "unpacked"]

GZIP_MAGIC = b"\x1f\x8b"

UNPACKED, FACTOR = 1 << 30, 64
"""Bytes that any gzip file may unpack to, and how many times its size a larger one may: exposures
become smaller by a factor of two or three, and of ten where they are simulated."""


@contextmanager
def unpacked(raw: BinaryIO, what: str = "An exposure") -> Iterator[BinaryIO]:
    """Give the stream itself, or what is in it where it is a gzip file.

    Raises
    ------
    FileError
        If not even its beginning can be read.
    """
    try:
        packed = raw.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    except OSError as problem:
        raise not_readable(str(raw.name), what, problem) from None
    raw.seek(0)
    if not packed:
        yield raw
        return
    announce(raw, [(0, raw.seek(0, os.SEEK_END))])  # it is read through from its beginning
    raw.seek(0)
    with gzip.open(raw) as stream:
        yield cast(BinaryIO, stream)


def most_bytes(stream: BinaryIO) -> int:
    """Return how many bytes a file may unpack to; of a file that is not packed, those it has.

    gzip packs zero bytes a thousandfold: a small file could keep a worker busy for ever.
    """
    packed = stream.fileobj if isinstance(stream, gzip.GzipFile) else stream
    place = packed.tell()
    size: int = packed.seek(0, os.SEEK_END)
    packed.seek(place)
    return size if packed is stream else max(UNPACKED, size * FACTOR)


class reading:  # noqa: N801
    """Says of errors met while reading a file which file it was.

    A class, as what is entered with every read must cost next to nothing.

    Raises
    ------
    FileError
        If the system cannot read on, or a gzip file is damaged.
    """

    __slots__ = ("_stream",)

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def __enter__(self) -> None:
        """Nothing is done."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Say what was wrong."""
        if isinstance(problem, OSError | EOFError | zlib.error):
            raise FileError(
                "An exposure must be a FITS file that can be read to its end",
                file=getattr(self._stream, "name", None),
                value=getattr(problem, "strerror", None) or str(problem) or type(problem).__name__,
                cure=cure_of(
                    problem, "Fetch the file again, or mend the file system that it is on"
                ),
            ) from problem


@contextmanager
def understood(rule: str, file: str | PathLike[str], cure: str) -> Iterator[None]:
    """Say of whatever a library finds wrong with a file's content which rule it breaks.

    Raises
    ------
    FileError
        For every error: astropy, asdf, yaml and stdatamodels each raise their own. Those of
        bkgflow say it themselves.
    """
    try:
        yield
    except BkgflowError:
        raise
    except Exception as problem:
        raise FileError(rule, file=file, value=said(problem), cure=cure) from problem


def said(problem: BaseException) -> str:
    """Return what a library said, short enough for a message."""
    return f"{type(problem).__name__}: {problem}"[:300]
