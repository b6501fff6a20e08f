"""What the workers in jobs do when they end: dask preloads this module.

A job that is preempted or cancelled, or whose time is over, is told to end. Its worker says so to
the scheduler before it leaves, so that what it was computing is not taken for what killed it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from bkgflow.clusters.topics import LEAVES

if TYPE_CHECKING:
    from distributed import Worker

__all__ = ["dask_teardown"]


def dask_teardown(worker: Worker) -> None:
    """Say that this worker leaves because it was told to."""
    with suppress(Exception):  # the scheduler may be gone
        worker.log_event(LEAVES, {"worker": worker.address})
