"""Files opened for reading; what the system says then becomes an error that names the file."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from bkgflow.errors import FileError

__all__ = ["open_binary", "reading"]

GZIP_MAGIC = b"\x1f\x8b"


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
