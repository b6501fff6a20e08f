"""Workers that go away while a run goes on: heard of at once, and asked after."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from distributed import Client
from distributed.client import ClosedClientError

from bkgflow.clusters.stories import story_of
from bkgflow.clusters.topics import LEAVES
from bkgflow.clusters.watch import Watch

__all__ = ["Deaths", "Gone", "Told"]

ALL, MEMORY = "all", "worker-restart-memory"
"""Topics of dask: what a scheduler does, and whom nannies end for their memory."""

MIB = 1 << 20


class Gone(NamedTuple):
    """A worker is gone.

    Attributes
    ----------
    keys : frozenset of str
        The tasks that it had, begun or not.
    blamed : bool
        Whether these may be at fault: nobody has sent it away.
    """

    worker: str
    keys: frozenset[str]
    blamed: bool


class Told(NamedTuple):
    """What is said of a worker that is gone: in a few words, and the lines of a log."""

    worker: str
    reason: str
    lines: tuple[str, ...]


class Deaths:
    """Listens to a scheduler.

    Parameters
    ----------
    put : callable
        Given every `Gone`; and a `Told` for each worker that `ask` is called for.
    """

    def __init__(self, client: Client, watch: Watch, put: Callable[[Gone | Told], object]) -> None:
        self.client, self.watch, self.put = client, watch, put
        self._held: dict[str, int] = {}
        self._leaving: set[str] = set()

    def start(self) -> None:
        """Begin to listen."""
        self.client.subscribe_topic(ALL, self._hear)
        self.client.subscribe_topic(MEMORY, self._hear_of_memory)
        self.client.subscribe_topic(LEAVES, self._hear_of_leave)

    def stop(self) -> None:
        """Listen no more."""
        for topic in (ALL, MEMORY, LEAVES):
            with suppress(ValueError, ClosedClientError, OSError):
                self.client.unsubscribe_topic(topic)

    def ask(self, worker: str, process: str) -> None:
        """Have somebody tell of a worker; from any thread."""
        self.client.loop.add_callback(self._ask, worker, process)

    def _hear(self, event: tuple[float, Any]) -> None:
        said = event[1]
        if not isinstance(said, dict) or said.get("action") != "remove-worker":
            return
        worker = str(said["worker"])
        told_to = bool(said.get("expected")) or worker in self._leaving
        sent_away = told_to and worker not in self._held
        self._leaving.discard(worker)
        blamed = not (sent_away or worker in self.watch.removed)
        if sent_away:  # its job was preempted, or there is less to do: nothing that died
            self.watch.leave(worker)
        keys = frozenset(str(key) for key in said["processing-tasks"])
        self.put(Gone(worker, keys, blamed))

    def _hear_of_leave(self, event: tuple[float, Any]) -> None:
        self._leaving.add(str(event[1]["worker"]))

    def _hear_of_memory(self, event: tuple[float, Any]) -> None:
        self._held[str(event[1]["worker"])] = int(event[1]["rss"])

    async def _ask(self, worker: str, process: str) -> None:
        lines = await story_of(self.client, worker, self.watch.nannies.get(worker, ""), process)
        held = self._held.pop(worker, 0)
        why = [line for line in lines if "killed by" in line or "exited with" in line]
        if held:
            said = f"was ended for its memory: it held {held // MIB} MiB"
        elif why:
            said = f"died: {why[-1].rpartition(' - ')[2]}"
        else:
            said = "went away"
        name = f"{worker}, {process}" if process else worker
        self.put(Told(worker, f"worker {name} {said}", lines))
