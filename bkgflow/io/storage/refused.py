"""What the system says when it takes no file, as errors of bkgflow."""

from __future__ import annotations

import errno
import os

from bkgflow.errors import OutputError, StorageError
from bkgflow.io.storage.handles import TOO_MANY

__all__ = ["FULL", "GONE", "not_writable"]

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
