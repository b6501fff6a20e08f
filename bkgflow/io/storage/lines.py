"""A file that grows by whole lines, whatever ends the process or the room on its disk."""

from __future__ import annotations

import os

from bkgflow.io.storage.location import Location
from bkgflow.io.storage.mirror import Mirror

__all__ = ["Lines"]


class Lines:
    """Appends lines to a file; where the disk takes no more, it keeps why, and is quiet.

    A line goes to the system in one call, so that a process which is killed leaves whole ones, but
    for one that a disk was just taking. What is left of such a line, or of one when a machine lost
    its power, ends there: the next one begins on a new line.

    Attributes
    ----------
    trouble : str
        Why lines are missing, in the system's words; empty where none are.
    """

    def __init__(self, location: Location) -> None:
        self.trouble = ""
        self._file: int | None = None
        self._mirror: Mirror | None = None
        try:
            self._mirror = Mirror.begin(location)
            location = self._mirror.file
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
            self._file = os.open(location.path, flags, 0o666)
            self._size = os.fstat(self._file).st_size
            if self._size and os.pread(self._file, 1, self._size - 1) != b"\n":
                self._write(b"\n")
        except OSError as problem:
            self._end(problem)

    def append(self, text: str) -> None:
        """Write one line; ``text`` has no line break."""
        if self._file is None:
            return
        try:
            self._write(text.encode() + b"\n")
        except OSError as problem:
            self._end(problem)

    def _write(self, data: bytes) -> None:
        """Write all of it or nothing: where there is room for a part, that is taken away again."""
        assert self._file is not None
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError:
            if len(left) < len(data):
                os.ftruncate(self._file, self._size)
            raise
        self._size += len(data)

    def _end(self, problem: OSError) -> None:
        self.trouble = problem.strerror or str(problem)
        self.close()

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is None:
            return
        try:
            os.close(file)
        except OSError as problem:  # some network disks say only here that they are full
            self.trouble = self.trouble or problem.strerror or str(problem)
        if self._mirror is not None:
            self.trouble = self.trouble or self._mirror.end()
