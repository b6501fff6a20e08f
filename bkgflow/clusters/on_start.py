"""What worker processes of a run of its own do when they start: dask preloads this module."""

from __future__ import annotations

import signal
from multiprocessing import parent_process

from bkgflow.clusters.dask_log import quiet_from_now_on

__all__ = ["dask_setup"]


def dask_setup(worker: object) -> None:
    """Ignore Ctrl-C, which a terminal sends to every process: the run itself ends its workers.

    They would close at once, and take with them what they are about to publish. What dask logs
    there would be shown on the same terminal. A worker in the run's own process, where dask was
    told to have no others, leaves both as they are.
    """
    if parent_process() is None:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    quiet_from_now_on()
