"""A run that is stopped: what has begun comes to its end, what has not is given up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from distributed import Client, Future

__all__ = ["LET_END", "let_end"]

LET_END = 10.0
"""Seconds that units which have begun get: batch systems wait half a minute before they kill."""

STOP = 2.0
"""Seconds in which workers are to hear that the run is stopped."""

ENDED = {"finished", "error"}
"""How a future stands whose task was computed."""


def let_end(
    client: Client,
    stop: Callable[[], object],
    left: dict[str, Future],
    begun: Collection[str],
    said: SimpleQueue[Any],
    on_end: Callable[[Future], object],
) -> None:
    """Let the units that have begun come to their end, for a while; cancel the others.

    What they publish meanwhile is then reported as well.

    Parameters
    ----------
    stop : callable
        Keeps units from beginning in the process that calls it: each worker does.
    left, begun : dict, collection of str
        By unit, the futures that have not ended; and of which units it is known that they began.
    said : SimpleQueue
        Brings the futures that end, among other things.
    on_end : callable
        Takes a future that has ended.
    """
    with suppress(Exception, KeyboardInterrupt):  # the cluster may be gone; a second Ctrl-C
        with suppress(TimeoutError):  # one worker may not answer any more
            client.sync(_stopped, client, stop)
        # A start that was announced may not have come yet: the scheduler knows more.
        running = {str(key) for keys in client.processing().values() for key in keys}
        wanted = {
            unit
            for unit, future in left.items()
            if unit in begun or str(future.key) in running or future.status in ENDED
        }
        client.cancel([future for unit, future in left.items() if unit not in wanted])
        # The news of an end may have been taken from the queue when the run was stopped.
        for future in [left[unit] for unit in wanted]:
            if future.status in ENDED:
                with suppress(Exception):
                    on_end(future)
        waited = {left[unit].key for unit in wanted if unit in left}
        deadline = time.monotonic() + LET_END
        while waited and (seconds := deadline - time.monotonic()) > 0:
            try:
                news = said.get(timeout=seconds)
            except Empty:
                return
            if isinstance(news, Future) and news.key in waited:
                if news.status in ENDED:
                    waited.remove(news.key)
                    with suppress(Exception):
                        on_end(news)
                elif news.status == "cancelled":
                    waited.remove(news.key)


async def _stopped(client: Client, stop: Callable[[], object]) -> None:
    await asyncio.wait_for(client.run(stop, on_error="ignore"), STOP)
