"""Small files between processes: what one is to do, what it says, what is asked of it meanwhile."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bkgflow.errors import BkgflowError, OutputError
from bkgflow.io.storage import objects
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.mirror import Mirror
from bkgflow.io.storage.refused import not_writable
from bkgflow.io.storage.remote import Remote

__all__ = ["Appended", "Desk", "newest_words", "private_folder", "remove_folder", "working_folder"]

LAST = 1500
"""Characters of a log that are told."""


def working_folder() -> Location:
    """Return the folder that relative paths count from."""
    return Location.of(Path.cwd())


def private_folder(within: Location | None = None) -> Location:
    """Make a folder that nobody else may look into.

    Among the machine's temporary files, or, hidden, in a folder that other machines see.
    """
    try:
        if within is None:
            return Location.of(tempfile.mkdtemp(prefix="bkgflow-"))
        within.make_folder()
        return Location.of(tempfile.mkdtemp(prefix=".bkgflow-", dir=within.path))
    except OSError as problem:
        raise not_writable(within or tempfile.gettempdir(), problem) from None


def remove_folder(folder: Location) -> None:
    """Take away such a folder with all that is in it, if it is there."""
    shutil.rmtree(folder.path, ignore_errors=True)


def newest_words(folder: Location) -> str:
    """Return the end of the file in a folder that was written last; empty where there is none."""
    with suppress(OSError, ValueError):
        files = [each for each in folder.path.iterdir() if each.is_file() and each.stat().st_size]
        newest = max(files, key=lambda each: each.stat().st_mtime)
        return newest.read_text(errors="replace")[-LAST:].strip()
    return ""


@dataclass(frozen=True, slots=True)
class Appended:
    """A text file that another process appends to.

    Attributes
    ----------
    stream : binary stream
        For that process.
    before : int
        Bytes that were there.
    made : tuple of Path
        Folders that were made for it, the innermost first.
    """

    location: Location
    stream: BinaryIO
    before: int
    made: tuple[Path, ...]

    @classmethod
    def to(cls, location: Location) -> Appended:
        """Open a file to append to; its folder is made if it is not there.

        Raises
        ------
        OutputError
            If it cannot be written there.
        """
        path = Mirror(location).file.path
        location = Location.of(path)
        try:
            missing = tuple(each for each in path.parents if not each.exists())
            path.parent.mkdir(parents=True, exist_ok=True)
            stream = path.open("ab", buffering=0)
        except OSError as problem:
            raise not_writable(location, problem) from None
        return cls(location, stream, os.fstat(stream.fileno()).st_size, missing)

    def said(self) -> str:
        """Return what was appended."""
        with suppress(OSError), self.location.path.open("rb") as stream:
            stream.seek(self.before)
            return stream.read().decode(errors="replace")
        return ""

    def withdraw(self) -> None:
        """Leave everything as it was before."""
        with suppress(OSError):
            if self.before:
                os.truncate(self.location.path, self.before)
            else:
                self.location.path.unlink()
            for each in self.made:
                each.rmdir()


@dataclass(frozen=True, slots=True)
class Desk:
    """A small file where others leave a word for the process that looks at it again and again.

    It is there, empty, from the beginning: a network disk may remember for half a minute that a
    file is not there, but looks anew at one that is opened.
    """

    location: Location

    @property
    def patience(self) -> float:
        """Seconds between two looks at it: a store counts the requests."""
        return 0.5 if self.location.is_local else 3.0

    def open(self) -> None:
        """Have it there, empty; what cannot be done is left."""
        with suppress(OSError, BkgflowError):
            if self.location.is_local:
                self.location.path.write_bytes(b"")
            else:
                objects.put(Remote.of(self.location.url), b"")

    def read(self) -> str:
        """Return what was left there; empty where nothing was."""
        with suppress(BkgflowError):
            return self.location.read_text()
        return ""

    def leave(self, text: str) -> None:
        """Leave a word.

        Raises
        ------
        OutputError
            If it cannot be written there.
        """
        try:
            if self.location.is_local:
                self.location.path.write_text(text, encoding="utf-8")
            else:
                objects.put(Remote.of(self.location.url), text.encode())
        except OSError as problem:
            raise not_writable(self.location, problem, OutputError) from None

    def close(self) -> None:
        """Take it away."""
        with suppress(OSError, BkgflowError):
            if self.location.is_local:
                self.location.path.unlink()
            else:
                Remote.of(self.location.url).remove()
