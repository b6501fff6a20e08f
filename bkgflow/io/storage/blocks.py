"""What a process holds of objects: blocks that were fetched, and room for those still to come."""

from __future__ import annotations

import threading
from bisect import bisect_right, insort
from collections import OrderedDict

__all__ = ["Ahead", "KeptBlocks", "Key", "ahead", "kept"]

COMING = 64 << 20
"""Bytes that all readers of a process have under way or waiting; what is read next comes anyway."""

KEPT = 96 << 20
"""Bytes of objects that a process keeps, those used last: what is read again comes from here."""

Key = tuple[str, str, int]
"""An object's URL, its ETag, and when it was written."""


class KeptBlocks:
    """Blocks of objects that were fetched, the last used ones, for all readers of a process.

    What a system's page cache does for files: a target is looked at for its flags, fitted, and
    then copied, each by a reader of its own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._starts: dict[Key, list[int]] = {}
        self._blocks: OrderedDict[tuple[Key, int], bytes] = OrderedDict()
        self._size = 0

    def find(self, key: Key, at: int) -> tuple[int, bytes] | None:
        """Return the block that has a byte, and where it begins."""
        with self._lock:
            return self._find(key, at)

    def _find(self, key: Key, at: int) -> tuple[int, bytes] | None:
        starts = self._starts.get(key, [])
        last = bisect_right(starts, at) - 1
        for number in range(last, max(-1, last - 4), -1):  # small ones may lie within large ones
            start = starts[number]
            data = self._blocks[key, start]
            if at < start + len(data):
                self._blocks.move_to_end((key, start))
                return start, data
        return None

    def missing(self, key: Key, start: int, stop: int) -> list[tuple[int, int]]:
        """Return the ranges that are not kept, of a range."""
        gaps, at = list[tuple[int, int]](), start
        with self._lock:
            starts = self._starts.get(key, [])
            while at < stop:
                block = self._find(key, at)
                if block is not None:
                    at = block[0] + len(block[1])
                    continue
                later = bisect_right(starts, at)
                end = min(stop, starts[later]) if later < len(starts) else stop
                gaps.append((at, end))
                at = end
        return gaps

    def keep(self, key: Key, start: int, data: bytes) -> None:
        """Keep a block; others that were not used for long go."""
        with self._lock:
            before = self._blocks.pop((key, start), None)
            if before is None:
                insort(self._starts.setdefault(key, []), start)
            else:
                self._size -= len(before)
            self._blocks[key, start] = data
            self._size += len(data)
            while self._size > KEPT and len(self._blocks) > 1:
                (other, begin), gone = self._blocks.popitem(last=False)
                self._size -= len(gone)
                self._starts[other].remove(begin)
                if not self._starts[other]:
                    del self._starts[other]


kept = KeptBlocks()
"""Of this process."""


class Ahead:
    """Room for what is fetched ahead, of all readers of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = 0

    def take(self, size: int, *, anyway: bool = False) -> bool:
        """Take room, if there is any left."""
        with self._lock:
            if self._taken and self._taken + size > COMING and not anyway:
                return False
            self._taken += size
            return True

    def give(self, size: int) -> None:
        """Give it back."""
        with self._lock:
            self._taken -= size


ahead = Ahead()
"""Of this process."""
