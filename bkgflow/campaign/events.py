"""What a run announces while it goes on: plain values with ids, and nothing that is large.

A listener that wants names is given the plan when it is made, and finds a unit by its digest.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bkgflow.verdict import Verdict

__all__ = [
    "Announcer",
    "Event",
    "Listener",
    "RunEnded",
    "RunStarted",
    "UnitEnded",
    "UnitStarted",
]

log = logging.getLogger("bkgflow.run")


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run begins: its short id, how many units it has, and where they are computed."""

    run: str
    units: int
    where: str


@dataclass(frozen=True, slots=True)
class UnitStarted:
    """The last task of a unit begins; ``unit`` is the digest of its key.

    Units that are not computed have no start; one whose worker died has two.
    """

    run: str
    unit: str


@dataclass(frozen=True, slots=True)
class UnitEnded:
    """A unit ended, one way or another; every unit of a run does, once."""

    run: str
    unit: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class RunEnded:
    """Every unit has ended; ``seconds`` is the time since the start."""

    run: str
    seconds: float


Event = RunStarted | UnitStarted | UnitEnded | RunEnded

Listener = Callable[[Event], None]


class Announcer:
    """Tells every listener what happens, in one thread.

    A listener that fails is heard of in the log, and hears no more: it never stops a run.
    """

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._listeners = list(listeners)

    def __call__(self, event: Event) -> None:
        """Pass an event on."""
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception:
                self._listeners.remove(listener)
                log.exception("a listener of the run failed and is told no more: %r", listener)
