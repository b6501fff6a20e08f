"""What the system says when it takes no file, or tells nothing, as errors of bkgflow."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from bkgflow.errors import OutputError, StorageError
from bkgflow.io.storage.handles import TOO_MANY

__all__ = ["FULL", "GONE", "asking_about", "not_writable"]

FULL = {errno.ENOSPC, errno.EDQUOT}
"""What the system answers when a disk, its table of files, or somebody's share of it is full."""

GONE = {
    errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.EIO, errno.EROFS,
    errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.EHOSTDOWN, errno.ETIMEDOUT,
}  # fmt: skip
"""What it answers when a folder is gone, cannot be reached, or is read-only."""


def not_writable(
    path: str | os.PathLike[str], problem: OSError, kind: type[OutputError] = OutputError
) -> OutputError:
    """Return the error for a path that cannot be written, from what the system said.

    Of what concerns the whole folder, it is a `StorageError`.
    """
    value = problem.strerror or str(problem)
    if problem.errno in TOO_MANY:
        cure = "Raise the limit on open files (ulimit -n), or use fewer threads"
        rule = "The system must let one more file be open"
        return OutputError(rule, file=path, value=value, cure=cure)
    if problem.errno in FULL | GONE:
        kind = StorageError
    return kind(
        "It must be possible to write products to the output folder",
        file=path,
        value=value,
        cure="Give another folder, or mend its permissions or its free space",
    )


@contextmanager
def asking_about(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Say of a disk or a store that does not tell what is in a folder which folder it was.

    Raises
    ------
    StorageError
        If the system, or the store, gives no answer.
    """
    try:
        yield
    except OSError as problem:
        raise StorageError(
            "The disk or the store of a folder must say what is in it",
            file=folder,
            value=problem.strerror or str(problem),
            cure="Check the path or the URL, the permissions, and the endpoint (AWS_ENDPOINT_URL);"
            " or try again when it answers",
        ) from problem
