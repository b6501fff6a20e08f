"""Files behind a URL: the few questions that locations ask of fsspec."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, BinaryIO, cast

from bkgflow.errors import UsageError
from bkgflow.io.storage.identity import Identity

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = ["Remote"]

CHECKSUMS = ("ETag", "etag", "md5Hash")
TIMES = ("mtime", "LastModified", "last_modified", "updated", "created")
"""Where the file systems of fsspec say which version of a file they have."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A URL taken apart: who has the file, and its name there; asked as a path is."""

    url: str
    system: AbstractFileSystem
    path: str

    @classmethod
    def of(cls, url: str) -> Remote:
        """Find who has a URL's files; fsspec keeps one for each scheme.

        Raises
        ------
        UsageError
            If nobody knows the scheme, or its package is not installed.
        """
        import fsspec  # takes a tenth of a second, and most programs lie on disks

        try:
            system, path = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as problem:
            raise UsageError(
                "A URL must have a scheme that fsspec knows",
                file=url,
                value=str(problem),
                cure="Correct the URL, or install the package that the message names",
            ) from None
        return cls(url, system, path)

    def exists(self) -> bool:
        """Whether something is there."""
        return bool(self.system.exists(self.path))

    def is_file(self) -> bool:
        """Whether a file is there."""
        return bool(self.system.isfile(self.path))

    def is_dir(self) -> bool:
        """Whether a folder is there."""
        return bool(self.system.isdir(self.path))

    def names(self) -> list[str]:
        """Return the names of what lies in a folder."""
        self.system.invalidate_cache(self.path)  # it may have been asked before the last change
        found: list[str] = self.system.ls(self.path, detail=False)
        return [each.rstrip("/").rpartition("/")[2] for each in found]

    def below(self) -> list[str]:
        """Return the paths of all files below a folder, as they follow its own, in order."""
        self.system.invalidate_cache(self.path)
        found: list[str] = self.system.find(self.path)
        start = len(self.path.rstrip("/")) + 1
        return sorted(each[start:] for each in found)

    def open(self, mode: str) -> BinaryIO:
        """Open a file for reading bytes, under the name by which messages know it."""
        stream = self.system.open(self.path, mode)
        with suppress(AttributeError):
            stream.name = self.url
        return cast(BinaryIO, stream)

    def identity(self, name: str) -> Identity:
        """Return which version of a file is there."""
        found = self.system.info(self.path)
        if found["type"] == "directory":
            raise IsADirectoryError(f"{self.url} is a folder")
        checksum = next((str(found[key]) for key in CHECKSUMS if found.get(key)), "")
        moment = next((found[key] for key in TIMES if found.get(key)), 0)
        return Identity(name, int(found["size"]), _nanoseconds(moment), checksum.strip('"'))


def _nanoseconds(moment: float | str | datetime) -> int:
    """Return a time as the file system tells it in nanoseconds since 1970."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    seconds = moment.timestamp() if isinstance(moment, datetime) else moment
    return round(seconds * 1e9)
