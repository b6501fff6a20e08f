"""A file or an object opened to be read, and what is said where that cannot be done."""

from __future__ import annotations

import os
import stat
from typing import BinaryIO, cast

from bkgflow.errors import FileError, RunError
from bkgflow.io.storage.handles import TOO_MANY, open_limit, raise_limit
from bkgflow.io.storage.ranges import RangeReader, changed
from bkgflow.io.storage.remote import Remote
from bkgflow.io.storage.unwell import ChangedError
from bkgflow.io.storage.web import NoRangesError

__all__ = ["cure_of", "not_readable", "opened"]


def opened(url: str) -> BinaryIO:
    """Open a file; where too many are open, once more after the limit is raised."""
    try:
        return _open(url)
    except OSError as problem:
        if problem.errno not in TOO_MANY or not raise_limit():
            raise
    return _open(url)


def _open(url: str) -> BinaryIO:
    """Open a file; of a pipe or a device nobody knows when it ends, or whether it begins."""
    if "://" in url:
        return cast(BinaryIO, RangeReader.of(Remote.of(url)))
    # Without waiting for who writes into a pipe; of a file there is nothing to wait for.
    raw = open(url, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115
    if stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
        return raw
    raw.close()
    raise OSError("neither a file nor a link to one, but a pipe, a socket or a device")


def not_readable(url: str, what: str, problem: Exception) -> FileError | RunError:
    """Return the error for a file that cannot be read, which is called by what it is."""
    if isinstance(problem, ChangedError):
        return changed(url)
    if isinstance(problem, OSError) and problem.errno in TOO_MANY:
        return RunError(
            "The system must let one more file be open",
            file=url,
            value=f"{problem.strerror}; this process may have {open_limit()} open",
            cure="Raise the limit (ulimit -n), or use fewer threads",
        )
    return FileError(
        f"{what} must be a readable file",
        file=url,
        value=getattr(problem, "strerror", None) or problem,
        cure=cure_of(problem, "Check the path and the permissions"),
    )


def cure_of(problem: BaseException, usual: str) -> str:
    """Return what can be done about a file that cannot be read; mostly the usual."""
    if isinstance(problem, NoRangesError):
        return "Copy it to a disk, and give its path, or have the server give byte ranges"
    return usual
