"""What is said of a worker that died: by its nanny, and by the scheduler."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from distributed import Client

__all__ = ["NOTICE", "story_of"]

NOTICE = 0.3
"""Seconds in which a nanny notices that its worker is gone."""

ANSWER = 3.0
"""Seconds that it may take to say so."""

MOST = 12
"""Lines of its log that are told."""


async def story_of(client: Client, worker: str, nanny: str, process: str) -> tuple[str, ...]:
    """Return the last lines of a nanny's log that speak of its worker; in the client's loop.

    Parameters
    ----------
    nanny : str
        Its address; empty where the worker had none.
    process : str
        The worker's process, as workers say it; empty where none was heard of.
    """
    if not nanny:
        return ()
    await asyncio.sleep(NOTICE)
    with suppress(Exception):  # it may be gone as well
        message = {"op": "get_logs", "n": 100}
        asked = client.scheduler.broadcast(msg=message, workers=[nanny], on_error="return")
        said = (await asyncio.wait_for(asked, ANSWER)).get(nanny)
        # Nannies of one process share a log; it is told newest first.
        number = process.removeprefix("process ").partition(" ")[0] or "-"
        lines = [line for _, line in reversed(said) if worker in line or f" {number} " in line
                 or f"={number})" in line]  # fmt: skip
        return tuple(lines[-MOST:])
    return ()
