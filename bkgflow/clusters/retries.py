"""What is done about units that failed: told, taken back, and tried again after a while."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Protocol

from distributed import Client

from bkgflow.clusters.attempts import Attempt
from bkgflow.clusters.executor import Telling
from bkgflow.clusters.failure import Failure
from bkgflow.clusters.flights import Flights
from bkgflow.verdict import Verdict

__all__ = ["Larger", "LargerReady", "Retries"]

SHARED = "what it shares with others: "
"""How the story begins of an attempt that did not come to the unit itself."""


class Larger(Protocol):
    """A worker with more memory than others have, where a cluster can start one."""

    async def start(self) -> str:
        """Have it run; return its address, empty where it cannot be had."""


class LargerReady:
    """News: the larger worker is there, for a unit or a group; or it cannot be had."""

    def __init__(self, name: str, address: str) -> None:
        self.name, self.address = name, address


@dataclass
class Retries:
    """The units and groups of shared results that failed and are not given up.

    Parameters
    ----------
    put : callable
        Given a `LargerReady`, in another thread.
    """

    client: Client
    flights: Flights
    telling: Telling
    larger: Larger | None
    put: Callable[[LargerReady], object]
    parked: dict[str, list[str]] = field(default_factory=dict)
    _later: list[tuple[float, int, str]] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)

    def parks(self, unit: str) -> bool:
        """Whether a unit has to wait for a group that is not tried again yet: it is kept here."""
        units = self.parked.get(self.flights.feed.workload.group(unit))
        if units is not None:
            units.append(unit)
        return units is not None

    @property
    def due(self) -> float:
        """When something is to be tried again; infinity where nothing is."""
        return self._later[0][0] if self._later else float("inf")

    def look(self) -> None:
        """Try again what has waited long enough."""
        while self._later and self._later[0][0] <= time.monotonic():
            _, _, name = heapq.heappop(self._later)
            if self.larger is not None and self.flights.tries.way(name).larger:
                self.client.loop.add_callback(self._start_larger, name, self.larger)
            else:
                self.go(name)

    async def _start_larger(self, name: str, larger: Larger) -> None:
        address = ""
        try:
            address = await larger.start()
        finally:
            self.put(LargerReady(name, address))

    def go(self, name: str, worker: str = "") -> None:
        """Try a unit or a group again, on one worker if that is said."""
        feed = self.flights.feed
        if name in self.parked:
            units = self.parked.pop(name)
            if worker:
                self.flights.open([name], worker)
            for unit in units:
                feed.again(unit)
        elif name in feed.left:
            if worker and not self.parks(name):
                self.flights.open([feed.workload.group(name)])
                self.flights.add([name], worker)
            elif not worker:
                feed.again(name)

    def unit_failed(self, unit: str, failure: Failure, attempt: Attempt) -> None:
        """A unit failed: tell of it, and try it again or give it up."""
        self.flights.take_back(unit)
        self.telling.attempt(unit, attempt)
        self._decide(unit, failure, [unit])

    def group_failed(self, name: str, failure: Failure, attempt: Attempt) -> None:
        """Shared results failed: all units that wait for them do so a while longer."""
        waiting = [*self.parked.get(name, ()), *self.flights.close(name)]
        for unit in waiting:
            number = self.flights.tries.begun(unit)
            told = replace(attempt, number=number, reason=SHARED + attempt.reason)
            self.telling.attempt(unit, told)
        self.parked[name] = waiting
        self._decide(name, replace(failure, story=SHARED + failure.story), None)

    def _decide(self, name: str, failure: Failure, units: list[str] | None) -> None:
        answer = self.flights.tries.fail(name, failure)
        if not isinstance(answer, Verdict):
            due = time.monotonic() + answer
            heapq.heappush(self._later, (due, next(self._numbers), name))
            return
        self.parked.pop(name, None)
        for unit in units or self.flights.feed.units_of(name):
            self.telling.end(unit, answer)
            self.flights.end(unit)
        self.flights.tries.end(name)
