"""An object read as a file: byte ranges alone, few requests, and what is announced comes early.

Small reads, such as those of headers, bring a little more than was asked for, large ones what is
asked for. What a reader announces is fetched in the background, in pieces, while it still works on
what came before. What was fetched last is kept, for whoever opens the same version again.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, BinaryIO

from bkgflow.errors import FileError
from bkgflow.io.storage.blocks import Key, ahead, kept
from bkgflow.io.storage.reached import AT_ONCE
from bkgflow.io.storage.remote import Remote
from bkgflow.io.storage.seekable import SeekableStream
from bkgflow.io.storage.unwell import ChangedError
from bkgflow.io.storage.versions import Version, confirmed, expected, is_confirmed

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["RangeReader", "announce", "changed"]

PIECE = 4 << 20
"""Bytes of a request for what was announced, at most."""

FIRST = 40 << 10
"""Bytes that are fetched where a file begins: most primary headers, with that of SCI."""

AHEAD = 5760
"""Bytes that a small read fetches elsewhere: two blocks of FITS, as the header of an array has."""

SMALL = 64 << 10
"""Bytes that make a read a large one, and a file one that is fetched whole."""

GROWTH, MOST_AHEAD = 4, 4 << 20
"""By which factor more is fetched ahead where small reads follow each other, and how much."""

GAP = 16 << 10
"""Bytes between two announced ranges that are fetched with them rather than asked for apart."""


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(AT_ONCE // 2, thread_name_prefix="bkgflow-fetch")


class RangeReader(SeekableStream):
    """An object, read by byte ranges; of one version from its beginning to its end.

    Errors are those of bkgflow where the object is another one by now; else what the store says,
    as `OSError`.
    """

    def __init__(self, remote: Remote, version: Version) -> None:
        self.name = remote.url
        self._remote, self.version = remote, version
        self._key: Key = (remote.url, version.etag, version.mtime_ns)
        self._at = 0
        self._wanted: deque[tuple[int, int]] = deque()
        self._coming: OrderedDict[int, tuple[int, Future[bytes]]] = OrderedDict()
        self._end = 0
        self._ahead = AHEAD

    @classmethod
    def of(cls, remote: Remote) -> RangeReader:
        """Open an object as the version that was seen of it."""
        return cls(remote, remote.opened_as())

    # What a stream has.

    def _length(self) -> int:
        return self.version.size

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill a buffer, as far as there are bytes."""
        out = memoryview(buffer).cast("B")
        done = 0
        while done < len(out):
            data = self._some(len(out) - done)
            if not data:
                break
            out[done : done + len(data)] = data
            done += len(data)
            self._at += len(data)
        return done

    def readall(self) -> bytes:
        """Return what is left, in pieces that come side by side."""
        self.announce([(self._at, self.version.size)])
        return self.read(max(0, self.version.size - self._at))

    def close(self) -> None:
        """Give up what is still to come."""
        self._wanted.clear()
        for start in list(self._coming):
            self._give_up(start)
        super().close()

    # Where bytes come from.

    def announce(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Say which bytes will be read, in about this order: (start, stop) each."""
        wanted = (
            gap
            for start, stop in _joined(ranges, self.version.size)
            for gap in kept.missing(self._key, start, stop)
        )
        for start, stop in _joined(wanted, self.version.size):
            self._wanted.extend((at, min(at + PIECE, stop)) for at in range(start, stop, PIECE))
        self._fetch()

    def _fetch(self) -> None:
        """Begin to fetch what is wanted next, as far as there is room for it."""
        while self._wanted:
            start, stop = self._wanted[0]
            if start not in self._coming:
                if not ahead.take(stop - start):
                    return
                self._begin(start, stop)
            self._wanted.popleft()

    def _begin(self, start: int, stop: int) -> None:
        self._coming[start] = stop, _pool().submit(self._remote.read, start, stop, self.version)

    def _give_up(self, start: int) -> None:
        stop, future = self._coming.pop(start)
        future.cancel()
        ahead.give(stop - start)

    def _some(self, most: int) -> bytes | memoryview:
        """Return some bytes from where it stands, at most so many; none at the end."""
        at = self._at
        if at >= self.version.size or most <= 0:
            return b""
        if (found := kept.find(self._key, at)) is None:
            found = self._announced(at) or self._demanded(at, most)
        else:
            self._confirm()
        begin, data = found
        return memoryview(data)[at - begin : at - begin + most]

    def _announced(self, at: int) -> tuple[int, bytes] | None:
        """Return the announced piece that has a byte; from now on it is among those kept."""
        start = next((s for s, (stop, _) in self._coming.items() if s <= at < stop), None)
        if start is None:
            wanted = next((each for each in self._wanted if each[0] <= at < each[1]), None)
            if wanted is None:
                return None
            self._wanted.remove(wanted)
            start = wanted[0]
            ahead.take(wanted[1] - start, anyway=True)
            self._begin(*wanted)
        _, future = self._coming[start]
        try:
            data = self._said(future.result)
        except BaseException:
            self._give_up(start)
            raise
        self._keep(start, data)
        self._give_up(start)
        self._fetch()
        return start, data

    def _demanded(self, at: int, most: int) -> tuple[int, bytes]:
        """Fetch what nobody has announced: a little more than a small read asks for."""
        size = self.version.size
        small = most < SMALL
        if small and size <= SMALL:
            most = size - at
        elif small and at == 0:
            most = max(most, FIRST)
        elif small:
            follows = at == self._end
            self._ahead = min(self._ahead * GROWTH, MOST_AHEAD) if follows else AHEAD
            most = max(most, self._ahead)
        stop = min(at + most, size)
        if stop - at > PIECE:
            self.announce([(at, stop)])
            if (found := self._announced(at)) is not None:
                return found
        data = self._said(lambda: self._remote.read(at, stop, self.version))
        self._keep(at, data)
        self._end = stop
        return at, data

    def _keep(self, start: int, data: bytes) -> None:
        kept.keep(self._key, start, data)
        confirmed(self.name, self.version.etag)

    def _confirm(self) -> None:
        """See that what is held in memory is in the store still, unless somebody just has.

        Of other stores than S3 the version was compared when the object was opened.
        """
        version = self.version
        if self._remote.is_s3 and version.etag and not is_confirmed(self.name, version.etag):
            self._said(lambda: self._remote.read(0, 1, version))
            confirmed(self.name, version.etag)

    def _said(self, read: Callable[[], bytes]) -> bytes:
        try:
            return read()
        except ChangedError:
            raise changed(self.name) from None


def _joined(ranges: Iterable[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    """Return the ranges as they are fetched: those that nearly touch are one."""
    joined: list[tuple[int, int]] = []
    for start, stop in ranges:
        end = min(stop, size)
        if start >= end:
            continue
        if joined and 0 <= start - joined[-1][1] <= GAP:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((start, end))
    return joined


def changed(url: str) -> FileError:
    """Return the error for an object that was replaced since it was looked at."""
    now = expected(url)
    return FileError(
        "An object must stay what it was when the program was planned",
        file=url,
        value="another version is there now (its ETag is not the one that was seen"
        + (f", {now.etag})" if now and now.etag else ")"),
        cure="Run the same command again: it plans anew, and does what has changed",
    )


def announce(stream: BinaryIO, ranges: Iterable[tuple[int, int]]) -> None:
    """Tell a stream which bytes will be read of it, where it wants to know; in this order."""
    if isinstance(stream, RangeReader):
        stream.announce(ranges)
