"""What tells one version of a file from another."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Identity"]


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """Which version of a file was looked at; where it lies is no part of it.

    Attributes
    ----------
    name : str
        Its file name.
    size : int
        In bytes.
    mtime_ns : int
        When it was last written; 0 where its storage does not say.
    checksum : str
        Of its bytes, or the ETag that an object store gives it; empty where nobody asked.
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
        return f"{self.name} was written again"
