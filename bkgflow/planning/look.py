"""Many objects looked at side by side: a store answers many questions at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor

from bkgflow.io.storage.location import Location

__all__ = ["look_side_by_side"]

AT_ONCE = 24
"""Objects whose headers are read at a time."""


def look_side_by_side(look: Callable[[Location], object], locations: Collection[Location]) -> None:
    """Call a function of each location, in threads; the first error ends it, and is raised."""
    if not locations:
        return
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="bkgflow-look") as pool:
        try:
            for _ in pool.map(look, locations):
                pass
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
