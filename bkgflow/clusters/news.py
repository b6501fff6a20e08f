"""News of a computation, taken from a queue as much as there is, and not piece by piece."""

from __future__ import annotations

import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TypeVar

__all__ = ["TOGETHER", "all_news"]

T = TypeVar("T")

TOGETHER = 0.1
"""Seconds in which news comes together, where nobody waits for the driver: results that are
fetched, taken down and announced one by one cost it twice the time."""

MOST = 1000
"""Pieces of news that are taken at a time."""


def all_news(queue: SimpleQueue[T], patience: float, *, together: bool) -> list[T]:
    """Wait for news, but not longer than some seconds; return all that there are, in order.

    Parameters
    ----------
    together : bool
        Whether more may come before the first is heard.
    """
    found: list[T] = []
    with suppress(Empty):
        found.append(queue.get(timeout=max(0.0, patience)))
        if together:
            time.sleep(TOGETHER)
        while len(found) < MOST:
            found.append(queue.get_nowait())
    return found
