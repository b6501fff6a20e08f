"""Worker processes and a scheduler of a run's own: started, and started again where they fail."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Any

from distributed import Client, Nanny
from distributed.core import Status
from distributed.system import MEMORY_LIMIT

from bkgflow.clusters.processes import ScriptlessNanny

__all__ = ["PRELOAD", "LargerWorker", "Own"]

log = logging.getLogger("bkgflow.clusters")

PRELOAD = ["bkgflow.clusters.on_start"]
"""What worker processes import when they start."""

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
        self.larger = LargerWorker()

    def connect(self, timeout: float = 0.0) -> Client:
        """Start the cluster; end the one before it, if there was one."""
        self.close()
        cluster = self._stack.enter_context(self._start())
        client = self._stack.enter_context(Client(cluster, set_as_default=False))
        self.larger.use(client)
        self._stack.callback(self._close_larger, client)
        return client

    def _close_larger(self, client: Client) -> None:
        with suppress(Exception):
            client.sync(self.larger.close)

    def close(self) -> None:
        """End what was started; a scheduler that has died is no reason not to."""
        stack, self._stack = self._stack, ExitStack()
        try:
            stack.close()
        except Exception as problem:
            log.warning("the cluster was not closed in order: %s", problem)


class LargerWorker:
    """One worker process of twice the memory, started when something needs it."""

    def __init__(self) -> None:
        self._nanny: Nanny | None = None
        self._client: Client | None = None

    def use(self, client: Client) -> None:
        """Be a worker of the scheduler of this client."""
        self._client, self._nanny = client, None

    async def start(self) -> str:
        """Start it, or wait for it to be started again; return its address, empty without one."""
        assert self._client is not None
        if self._nanny is None:
            if not (memory := await self._memory(self._client)):
                return ""
            self._nanny = ScriptlessNanny(
                self._client.scheduler.address,
                nthreads=1,
                memory_limit=memory,
                preload=PRELOAD,
                security=self._client.security,
            )
            await asyncio.wait_for(self._nanny, STARTING)
        async with asyncio.timeout(STARTING):
            while self._nanny.status != Status.running or not self._nanny.worker_address:
                await asyncio.sleep(0.1)
        return str(self._nanny.worker_address)

    async def _memory(self, client: Client) -> int:
        """Return twice the memory of the other workers, but no more than the machine has."""
        workers = (await client.scheduler.identity(n_workers=-1))["workers"].values()
        least = min((int(each["memory_limit"] or 0) for each in workers), default=0)
        twice = min(2 * least, int(MEMORY_LIMIT))
        return twice if twice > 1.2 * least else 0

    async def close(self) -> None:
        """End it."""
        nanny, self._nanny = self._nanny, None
        if nanny is not None:
            await nanny.close(timeout=5)
