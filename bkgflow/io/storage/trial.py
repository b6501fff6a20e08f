"""Whether two machines see the same files: looked at, and written, by both in the same way."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256

from bkgflow.errors import BkgflowError
from bkgflow.io.storage import objects
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.refused import not_writable
from bkgflow.io.storage.remote import Remote

__all__ = [
    "TOKEN",
    "UNSEEN",
    "drop_token",
    "leave_token",
    "look",
    "look_into",
    "read_token",
    "trial_folder",
]

EDGE = 1 << 14
"""Bytes at either end of a file that are compared: headers, and the end of what was copied."""

TOKEN = ".bkgflow-token-"
"""How the names of small files begin by which two machines find out whether a folder is one."""

UNSEEN = "not seen: "
"""Begins what `look` says of a file that cannot be read."""


def look(files: Iterable[Location]) -> dict[Location, str]:
    """Say of each file what a machine sees of it: two that see the same file say the same.

    Times are no part of it: file systems round them differently.
    """
    return {each: _seen(each) for each in files}


def look_into(folder: Location) -> str:
    """Say what a machine sees in a folder: two that see the same folder say the same."""
    try:
        names = [each.name for each in folder.listing()]
    except (OSError, BkgflowError) as problem:
        return UNSEEN + (getattr(problem, "strerror", None) or str(problem))
    told = sha256("\n".join(names).encode(errors="surrogateescape")).hexdigest()[:8]
    return f"{len(names)} names {told}"


def _seen(file: Location) -> str:
    try:
        if not file.is_local:
            found = file.identity()
            return f"{found.size} bytes {found.checksum}".strip()
        with file.path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            edges = stream.read(EDGE)
            stream.seek(max(0, size - EDGE))
            edges += stream.read(EDGE)
    except BkgflowError as problem:
        return UNSEEN + (problem.value or problem.rule)
    except Exception as problem:  # the packages behind URLs each raise their own
        return UNSEEN + (getattr(problem, "strerror", None) or repr(problem))
    return f"{size} bytes {sha256(edges).hexdigest()[:12]}"


@contextmanager
def trial_folder(folder: Location) -> Iterator[None]:
    """Make a folder where it is not there; after an error it is as it was.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    if not folder.is_local:  # a store has no folders to be made
        yield
        return
    try:
        missing = [each for each in (folder.path, *folder.path.parents) if not each.exists()]
        folder.make_folder()
    except OSError as problem:
        raise not_writable(folder, problem) from None
    try:
        yield
    except BaseException:
        with suppress(OSError):  # somebody else has put something there
            for each in missing:
                each.rmdir()
        raise


def leave_token(folder: Location, name: str, text: str) -> None:
    """Write a small file into a folder that is there; `OutputError` if it cannot be written."""
    try:
        if not folder.is_local:
            objects.put(Remote.of((folder / name).url), text.encode())
            return
        (folder / name).path.write_text(text, encoding="utf-8")
    except OSError as problem:
        raise not_writable(folder, problem) from None


def read_token(folder: Location, name: str) -> str:
    """Return what stands in such a file; empty where there is none."""
    with suppress(BkgflowError):
        return (folder / name).read_text()
    return ""


def drop_token(folder: Location, name: str) -> None:
    """Remove such a file, where it is there."""
    with suppress(OSError, BkgflowError):
        if not folder.is_local:
            Remote.of((folder / name).url).remove()
            return
        (folder / name).path.unlink(missing_ok=True)
