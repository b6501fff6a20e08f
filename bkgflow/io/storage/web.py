"""Files on web servers: what their URLs say, and byte ranges that not every server gives."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = ["NO_RANGES", "NoRangesError", "is_web", "name_of", "path_of", "ranged"]

WEB = ("http://", "https://")

NO_RANGES = "the server gives whole files alone: it ignores the header Range"


class NoRangesError(OSError):
    """A server that does not give the bytes that it is asked for, but all there are."""


def is_web(url: str) -> bool:
    """Whether a URL is one of a web server, in which a query may follow the path."""
    return url.startswith(WEB)


def path_of(url: str) -> str:
    """Return a URL, or a path, without its query: with a token, as a signed URL has it."""
    return url.partition("?")[0] if is_web(url) else url


def name_of(url: str) -> str:
    """Return what a file is called: what stands behind the last slash, without the query.

    Services that give files to be downloaded name them at the end of the query.
    """
    name = path_of(url).rpartition("/")[2]
    if "?" not in url or "." in name or not is_web(url):
        return name
    last = unquote(url).rpartition("/")[2]
    return last if "." in last and "?" not in last else name


async def ranged(system: AbstractFileSystem, url: str, start: int, stop: int, size: int) -> bytes:
    """Return a range of bytes of a file of so many; nothing else is waited for.

    Raises
    ------
    NoRangesError
        If the server would give all of it.
    """
    words, session = dict(system.kwargs), await system.set_session()
    asked = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
    words["headers"] = {**words.get("headers", {}), **asked}
    async with session.get(system.encode_url(url), **words) as answer:
        answer.raise_for_status()
        if answer.status != 206 and (start, stop) != (0, size):
            raise NoRangesError(errno.ENOTSUP, NO_RANGES, url)
        data: bytes = await answer.read()
    return data
