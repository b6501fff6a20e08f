"""What tells one version of a file from another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Identity", "Stamp"]


class Stamp(NamedTuple):
    """What a folder tells of a file: its bytes, and when it was last written."""

    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """Which version of a file was looked at; where it lies is no part of it.

    ``size`` is in bytes; ``mtime_ns`` is 0 where the storage does not say when the file was last
    written; ``checksum`` is that of the bytes, or the ETag that an object store gives them, and
    empty where nobody asked.
    """

    name: str
    size: int
    mtime_ns: int = 0
    checksum: str = ""

    def differs(self, other: Identity) -> str:
        """Say in words how another version differs; empty where it does not."""
        if self == other:
            return ""
        if self.name != other.name:
            return f"other file ({self.name} → {other.name})"
        if self.checksum and other.checksum:
            return "" if self.checksum == other.checksum else f"other bytes in {self.name}"
        if self.size != other.size:
            return f"other size of {self.name} ({self.size} → {other.size} bytes)"
        if self.mtime_ns == other.mtime_ns:  # of one of them nobody asked for the checksum
            return ""
        unknown = ", and the checksum of the earlier one is not known"
        return f"{self.name} was written again{unknown if other.checksum else ''}"
