"""Checksums of whole files: what tells bytes apart when names, sizes and times do not.

XXH3 with 128 bits, which reads memory as fast as it comes; it keeps nobody from forging a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import lru_cache
from io import FileIO
from pathlib import Path
from typing import BinaryIO, cast

import xxhash

from bkgflow.io.storage.many_files import below, is_product

__all__ = [
    "checksum_in",
    "checksum_of",
    "checksum_of_many",
    "checksum_of_version",
    "checksums_wanted",
    "with_checksums",
]

Opens = Callable[[str], AbstractContextManager[BinaryIO]]

METHOD = "xxh3"
"""What a checksum begins with, so that another method can follow one day."""

BLOCK = 1 << 20
"""Bytes that are read at a time."""

_wanted: ContextVar[bool] = ContextVar("checksums_wanted", default=False)


def checksum_of(path: str) -> str:
    """Return the checksum of a file: ``xxh3:`` and 32 hexadecimal digits; empty if unreadable.

    That of a product of many files is `checksum_of_many`.
    """
    top = Path(path)
    try:
        if not is_product(top):
            with top.open("rb", buffering=0) as stream:
                return checksum_in(cast(BinaryIO, stream))
        files = (each for each in below(top) if each.is_file())
        sizes = {each.relative_to(top).as_posix(): each.stat().st_size for each in files}
        return checksum_of_many(sizes, lambda name: cast(BinaryIO, (top / name).open("rb", 0)))
    except OSError:
        return ""


def checksum_of_many(sizes: Mapping[str, int], opened: Opens) -> str:
    """Return the checksum of all files of a product: their paths, lengths and bytes, in order.

    Parameters
    ----------
    sizes : mapping
        Of each file, by its path within the product.
    opened : callable
        Opens one of them.
    """
    found = xxhash.xxh3_128()
    for name, size in sorted(sizes.items()):
        # Its name and length first: no byte of one file can pass for one of the next.
        found.update(f"{name}\0{size}\0".encode())
        with opened(name) as stream:
            _add(found, stream)
    return f"{METHOD}:{found.hexdigest()}"


def checksum_in(stream: BinaryIO) -> str:
    """Return the checksum of what is left in a stream; `OSError` where it cannot be read."""
    found = xxhash.xxh3_128()
    _add(found, stream)
    return f"{METHOD}:{found.hexdigest()}"


def _add(found: xxhash.xxh3_128, stream: BinaryIO) -> None:
    # Not mapped: pages of a mapped file count as memory of the process.
    block = memoryview(bytearray(BLOCK))
    while size := cast(FileIO, stream).readinto(block):
        found.update(block[:size])


@lru_cache(1 << 17)
def checksum_of_version(path: str, size: int, mtime_ns: int) -> str:
    """Do `checksum_of`, but read one version of a file only once."""
    return checksum_of(path)


def checksums_wanted() -> bool:
    """Whether whoever looks at a file is to read all of it."""
    return _wanted.get()


@contextmanager
def with_checksums(*, wanted: bool = True) -> Iterator[None]:
    """Have every file that is looked at inside known by its bytes."""
    before = _wanted.set(wanted)
    try:
        yield
    finally:
        _wanted.reset(before)
