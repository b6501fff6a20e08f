"""What a run announces while it goes on: plain values with ids, and nothing that is large.

A listener that wants names is given the plan when it is made, and finds a unit by its digest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from bkgflow.verdict import Verdict

__all__ = [
    "Attempted",
    "Event",
    "Happened",
    "Listener",
    "Notice",
    "RunEnded",
    "RunStarted",
    "UnitEnded",
    "UnitStarted",
    "UnitTried",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """What all events share: when they happened. Who hears of it may do so later.

    Attributes
    ----------
    at : float
        Seconds since 1970, UTC.
    """

    at: float = field(default_factory=time.time, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class RunStarted(Happened):
    """A run begins: its short id, how many units it has, and where they are computed."""

    run: str
    units: int
    where: str


@dataclass(frozen=True, slots=True)
class UnitStarted(Happened):
    """The last task of a unit begins; ``unit`` is the digest of its key.

    Units that are not computed have no start; one whose worker died has two.
    """

    run: str
    unit: str


class Attempted(Protocol):
    """One attempt at a unit that has ended: its number from 1, where it was, and how it ended."""

    @property
    def number(self) -> int:
        """The first is 1."""

    @property
    def process(self) -> str:
        """Which process it was, and on which host, in words."""

    @property
    def seconds(self) -> float:
        """That it took."""

    @property
    def state(self) -> str:
        """The word for a `State`, or one for an attempt that came to no verdict."""

    @property
    def reason(self) -> str:
        """Why, in a sentence; empty where all is well."""


@dataclass(frozen=True, slots=True)
class UnitTried(Happened):
    """An attempt at a unit has ended; where it is not tried again, its end comes next."""

    run: str
    unit: str
    attempt: Attempted


@dataclass(frozen=True, slots=True)
class UnitEnded(Happened):
    """A unit ended, one way or another; every unit of a run does, once.

    One whose product was lost before the run's end ends once more, then: the last end counts.
    """

    run: str
    unit: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Notice(Happened):
    """What a user should read while the run goes on: workers that are waited for, or lost.

    Some come before the run begins. A minor one is no trouble.
    """

    run: str
    text: str
    minor: bool = False


@dataclass(frozen=True, slots=True)
class RunEnded(Happened):
    """Every unit has ended; ``seconds`` is the time since the start.

    ``stopped`` says why the run ended before its end: a signal, the disk, the cluster; empty if it
    did not.
    """

    run: str
    seconds: float
    stopped: str = ""


Event = RunStarted | UnitStarted | UnitTried | UnitEnded | Notice | RunEnded

Listener = Callable[[Event], None]
