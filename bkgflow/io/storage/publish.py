"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from bkgflow.errors import OutputError

__all__ = ["appearing", "before_sync", "not_writable", "whole", "write_text"]

CANNOT = {errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES}
"""What some network file systems answer when they are asked to sync a folder."""

_leave: ContextVar[Callable[[], object] | None] = ContextVar("leave", default=None)


@contextmanager
def before_sync(leave: Callable[[], object] | None) -> Iterator[None]:
    """Have something done whenever a file was written and its bytes are about to be waited for.

    None: nothing, whatever was wanted outside.
    """
    token = _leave.set(leave)
    try:
        yield
    finally:
        _leave.reset(token)


@contextmanager
def appearing(path: str | Path) -> Iterator[Path]:
    """Give a path to write to; what was written there then appears at its place.

    It lies in a hidden folder beside its place, is synced and renamed. Its name is the one
    wanted as far as printable ASCII goes: FITS headers, which repeat it, hold nothing else.
    After an error nothing appears and nothing stays behind.

    Raises
    ------
    OutputError
        If it cannot be written there.
    """
    path = Path(path)
    scratch: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.mkdtemp(prefix=".bkgflow-", dir=path.parent)
        part = Path(scratch) / re.sub(r"[^!->@-~ ]", "_", path.name)
        yield part
        leave = _leave.get()
        if leave is not None:
            leave()
        _sync(part)
        part.replace(path)
        _sync_folder(path.parent)
    except OSError as problem:
        raise not_writable(path, problem) from problem
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


whole = appearing


def write_text(to: str | Path, text: str) -> None:
    """Write a small text file; it appears whole or not at all.

    Raises
    ------
    OutputError
        If it cannot be written there.
    """
    with whole(to) as path:
        path.write_text(text, encoding="utf-8")


def _sync(path: Path) -> None:
    """Have the file system keep what was written."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(path: Path) -> None:
    """Have the file system keep a folder's names, where it can."""
    try:
        _sync(path)
    except OSError as problem:
        if problem.errno not in CANNOT:
            raise


def not_writable(path: Path, problem: OSError) -> OutputError:
    """Return the error for a path that cannot be written, from what the system said."""
    return OutputError(
        "Products can be written to the output folder",
        file=path,
        value=problem.strerror or str(problem),
        cure="Give another folder, or mend its permissions or its free space",
    )
