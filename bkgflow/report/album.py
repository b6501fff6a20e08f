"""The pictures of a whole run, drawn side by side by processes of this machine."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context, parent_process
from typing import NamedTuple

from bkgflow.errors import BkgflowError
from bkgflow.io.storage.location import Location
from bkgflow.report.drawing import draw_product

__all__ = ["Draw", "Wanted", "draw_all", "processes_for"]

FEW = 2
"""Pictures that are drawn sooner here than processes are started."""

MOST_PROCESSES = 8

MEMORY = 4 << 30
"""Bytes that all processes together may hold."""

LIBRARIES = 300 << 20
"""Bytes that a process holds before it has read a pixel."""

COPIES = 3
"""Times the size of its product that a picture takes, at most: target, product, and what is made
of them on the way."""

DIED = "the process that drew it died: it may have needed more memory than there is"


class Wanted(NamedTuple):
    """A picture that is wanted: of a target and its product, at a path."""

    target: str
    product: str
    picture: str


Draw = Callable[[str, str, str], object]
"""Draws a picture of a target and a product, at a path; called in another process."""


def draw_all(
    wanted: Sequence[Wanted], processes: int | None = None, draw: Draw = draw_product
) -> Iterator[tuple[Wanted, str]]:
    """Draw pictures, each by one of several processes; yield each one as soon as it has ended.

    Parameters
    ----------
    processes : int, optional
        As `processes_for` has it by default.

    Yields
    ------
    (Wanted, str)
        A picture, and why it could not be drawn; empty where it was.
    """
    number = processes_for(wanted) if processes is None else processes
    one = partial(_drawn, draw)
    if number == 1:
        yield from ((each, one(each)) for each in wanted)
        return
    lost = []
    pool = _pool(number)
    try:
        futures = {pool.submit(one, each): each for each in wanted}
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except BrokenProcessPool:
                lost.append(futures[future])
    finally:
        pool.shutdown(cancel_futures=True)
    yield from _one_by_one(lost, one)


def processes_for(wanted: Sequence[Wanted]) -> int:
    """Return how many processes draw: as many as there are cores, and memory for the largest."""
    if len(wanted) <= FEW:
        return 1
    # What is gone has no size; that is said when it is drawn.
    largest = max(0, *(Location.of(each.product).size() for each in wanted))
    room = MEMORY // (LIBRARIES + COPIES * largest)
    return max(1, min(len(wanted), os.cpu_count() or 1, MOST_PROCESSES, room))


def _one_by_one(
    lost: Sequence[Wanted], one: Callable[[Wanted], str]
) -> Iterator[tuple[Wanted, str]]:
    """Draw what was lost with a process: alone, so that the one which ends processes is known."""
    pool = None
    for each in lost:
        pool = pool or _pool(1)
        try:
            yield each, pool.submit(one, each).result()
        except BrokenProcessPool:
            pool.shutdown()
            pool = None
            yield each, DIED
    if pool is not None:
        pool.shutdown()


def _drawn(draw: Draw, wanted: Wanted) -> str:
    """Draw a picture; return why it could not be drawn."""
    try:
        draw(*wanted)
    except BkgflowError as error:
        return error.message
    except Exception as problem:  # whatever it is: the others are drawn all the same
        return f"{type(problem).__name__}: {problem}"[:300]
    return ""


def _pool(processes: int) -> ProcessPoolExecutor:
    # A process that is forked would have the locks of this one's threads, and nobody to open them.
    return ProcessPoolExecutor(processes, get_context("spawn"), initializer=_begin)


def _begin() -> None:
    """Leave Ctrl-C to the process that wants the pictures, and end when that one does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
