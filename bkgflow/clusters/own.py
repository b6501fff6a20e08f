"""Worker processes and a scheduler of a run's own: started, and started again where they fail."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from threading import Thread
from typing import Any

from distributed import Client, Nanny
from distributed.core import Status
from distributed.system import MEMORY_LIMIT

from bkgflow.clusters.listening import LOOPBACK
from bkgflow.clusters.processes import ScriptlessNanny

__all__ = ["PRELOAD", "LargerWorker", "Own"]

log = logging.getLogger("bkgflow.clusters")

PRELOAD = ["bkgflow.clusters.on_start"]
"""What worker processes import when they start."""

CLOSING = 30.0
"""Seconds that a cluster may take to end whose scheduler has died."""

WORTH_IT = 1.2
"""How many times the memory of the others a larger worker must have."""

STARTING = 60.0
"""Seconds that a worker may take to start."""


class Own:
    """A cluster that nobody else has, and a client of it.

    Parameters
    ----------
    start : callable
        Gives the cluster as a context, which ends it.
    """

    def __init__(self, start: Callable[[], AbstractContextManager[Any]]) -> None:
        self._start = start
        self._stack = ExitStack()
        self._client: Client | None = None
        self._closing: list[Thread] = []
        self.larger = LargerWorker()

    def connect(self, timeout: float = 0.0) -> Client:
        """Start the cluster; the one before it, if there was one, is ended meanwhile."""
        before, self._stack = self._stack, ExitStack()
        if self._client is not None:
            self._client = None
            thread = Thread(target=_end, args=(before,), daemon=True)
            thread.start()
            self._closing.append(thread)
        cluster = self._stack.enter_context(self._start())
        client = self._client = self._stack.enter_context(Client(cluster, set_as_default=False))
        self.larger.use(client)
        self._stack.callback(self._close_larger, client)
        return client

    def _close_larger(self, client: Client) -> None:
        with suppress(Exception):
            client.sync(self.larger.close)

    def close(self) -> None:
        """End what was started."""
        self._stack.close()
        for each in self._closing:
            each.join(CLOSING)


def _end(stack: ExitStack) -> None:
    """End a cluster whose scheduler has died: its workers have nobody left to take leave of."""
    try:
        stack.close()
    except Exception as problem:
        log.warning("the cluster before was not closed in order: %s", problem)


class LargerWorker:
    """One worker process of twice the memory, started when something needs it."""

    def __init__(self) -> None:
        self._nanny: Nanny | None = None
        self._client: Client | None = None
        self._memory = 0

    def use(self, client: Client) -> None:
        """Be a worker of the scheduler of this client, which has its other workers already.

        It gets twice the memory of these, but no more than the machine has.
        """
        self._client, self._nanny = client, None
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        least = min((int(each["memory_limit"] or 0) for each in workers), default=0)
        twice = min(2 * least, int(MEMORY_LIMIT))
        self._memory = twice if twice > WORTH_IT * least else 0

    async def start(self) -> str:
        """Start it, or wait for it to be started again; return its address, empty without one."""
        assert self._client is not None
        if self._nanny is None:
            if not self._memory:
                return ""
            self._nanny = ScriptlessNanny(
                self._client.scheduler.address,
                host=LOOPBACK,  # without it, the worker would listen to every network
                nthreads=1,
                memory_limit=self._memory,
                preload=PRELOAD,
                security=self._client.security,
                silence_logs=logging.WARNING,
            )
            await asyncio.wait_for(self._nanny, STARTING)
        async with asyncio.timeout(STARTING):
            while self._nanny.status != Status.running or not self._nanny.worker_address:
                await asyncio.sleep(0.1)
        return str(self._nanny.worker_address)

    async def close(self) -> None:
        """End it."""
        nanny, self._nanny = self._nanny, None
        if nanny is not None:
            await nanny.close(timeout=5)
