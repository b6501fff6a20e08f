"""What comes back from workers: results, what was raised, and what it says of the worker itself."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from errno import EACCES, EIO, ENOENT, ENOTDIR, EPERM, ESTALE

from distributed import Client, Future

from bkgflow.clusters.measured import Ended
from bkgflow.clusters.trial import Trial
from bkgflow.errors import FileError, RunError
from bkgflow.io.storage.location import Location

__all__ = ["problem_of", "results_of", "unseen_input"]

GATHER = 15
"""Seconds that results may take from workers to here; one that holds some may have stopped."""

UNSEEN = {os.strerror(each) for each in (EACCES, EIO, ENOENT, ENOTDIR, EPERM, ESTALE)}
"""What a system says of a file that it has not, or may not read."""


def results_of(client: Client, futures: list[Future]) -> list[Ended | None]:
    """Fetch results together; None for those that cannot be had now."""
    with suppress(TimeoutError):
        found: list[Ended | None] = client.sync(_gather, client, futures)
        return found
    return [None] * len(futures)


async def _gather(client: Client, futures: list[Future]) -> list[Ended | None]:
    found: list[Ended | None] = await asyncio.wait_for(
        client.gather(futures, errors="skip", asynchronous=True), GATHER
    )
    if len(found) < len(futures) > 1:
        # dask leaves out those of a worker that has just died, and does not say which they are.
        return [(await _gather(client, [each]) or [None])[0] for each in futures]
    return found or [None] * len(futures)


def problem_of(future: Future) -> BaseException | None:
    """Return what a task raised; None where it was cancelled."""
    if future.status != "error":
        return None
    problem: BaseException = future.exception(timeout=GATHER)
    return problem


def unseen_input(ended: Ended, trial: Trial | None) -> RunError | None:
    """Say that a worker does not see an input that is seen from here; None where it does.

    Without a trial workers cannot differ.
    """
    error = ended.verdict.error
    if trial is None or not isinstance(error, FileError) or error.value not in UNSEEN:
        return None
    try:
        Location.of(error.file or "").identity()
    except FileError:
        return None
    return RunError(
        "Every worker must see the inputs as the driver sees them",
        file=error.file,
        value=f"{error.value}: {ended.worker}, or a worker that computed what it needs",
        cure="Share the folder with every worker under the same path",
    )
