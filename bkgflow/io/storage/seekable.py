"""A stream of bytes that knows where it stands: what every one that is read anywhere shares."""

from __future__ import annotations

import io

__all__ = ["SeekableStream"]


class SeekableStream(io.RawIOBase):
    """To be read only; who makes one says how many bytes there are, and reads them."""

    _at = 0

    def _length(self) -> int:
        """Return how many bytes there are."""
        raise io.UnsupportedOperation("length")

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Return the byte that is read next."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go elsewhere; nothing is read. `OSError` before the beginning."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length()}[whence]
        if base + offset < 0:
            raise OSError(f"there is no byte {base + offset}")
        self._at = base + offset
        return self._at
