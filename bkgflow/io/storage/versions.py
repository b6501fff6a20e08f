"""Which version of an object this process has seen, so that another one is noticed when it is read.

What is seen of an object is registered when somebody asks for its identity, and where a task begins
that was planned with it. Opening the object then asks the store for that very version. What is
kept of an object was that version when it was fetched: whoever takes it from memory first has the
store confirm that it still is, once for each time that the version was registered.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace

__all__ = [
    "Version",
    "confirmed",
    "expect",
    "expected",
    "found_plain",
    "is_confirmed",
    "listed",
    "take_listed",
]

MOST = 1 << 16
"""Objects that are remembered."""

FRESH = 60.0
"""Seconds for which a listing tells what a question to the object itself would."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an object.

    Attributes
    ----------
    etag : str
        What the store calls it, without quotes; empty where it has no name for it.
    size : int
        Bytes.
    mtime_ns : int
        When it was written; 0 where the store does not say.
    plain : bool
        Whether it is known not to be packed: then nobody need look at its first bytes.
    """

    etag: str
    size: int
    mtime_ns: int = 0
    plain: bool = False

    def is_same(self, other: Version) -> bool:
        """Whether both are one version: by their names, else by size and time."""
        if self.etag and other.etag:
            return (self.etag, self.size) == (other.etag, other.size)
        return (self.size, self.mtime_ns) == (other.size, other.mtime_ns)


_lock = threading.Lock()
_expected: OrderedDict[str, Version] = OrderedDict()
_confirmed: OrderedDict[str, str] = OrderedDict()
_listed: OrderedDict[str, tuple[Version, float]] = OrderedDict()


def expect(url: str, version: Version) -> None:
    """Have an object be opened as this version from now on, by all threads of this process."""
    with _lock:
        before = _expected.pop(url, None)
        _confirmed.pop(url, None)
        if before is not None and before.plain and before.is_same(version):
            version = replace(version, plain=True)
        _expected[url] = version
        while len(_expected) > MOST:
            _expected.popitem(last=False)


def expected(url: str) -> Version | None:
    """Return the version as which an object is to be opened; None where nobody has seen it."""
    return _expected.get(url)


def confirmed(url: str, etag: str) -> None:
    """Remember that the store has given something of this version, under that condition."""
    with _lock:
        _confirmed[url] = etag
        while len(_confirmed) > MOST:
            _confirmed.popitem(last=False)


def is_confirmed(url: str, etag: str) -> bool:
    """Whether it has done so since the version was registered last."""
    return _confirmed.get(url) == etag


def found_plain(url: str) -> None:
    """Remember that an object is not packed."""
    with _lock:
        if (known := _expected.get(url)) is not None:
            _expected[url] = replace(known, plain=True)


def listed(url: str, version: Version) -> None:
    """Take down what a listing says of an object: whoever asks next need not ask the store."""
    with _lock:
        _listed[url] = version, time.monotonic()
        while len(_listed) > MOST:
            _listed.popitem(last=False)


def take_listed(url: str) -> Version | None:
    """Return what a listing has just said of an object; once, for it grows old."""
    with _lock:
        version, when = _listed.pop(url, (None, 0.0))
    return version if time.monotonic() - when < FRESH else None
