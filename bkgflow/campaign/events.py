"""What a run announces while it goes on: plain values with ids, and nothing that is large.

A listener that wants names is given the plan when it is made, and finds a unit by its digest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bkgflow.clusters.attempts import Attempt
from bkgflow.verdict import Verdict

__all__ = [
    "Event",
    "Listener",
    "Notice",
    "RunEnded",
    "RunStarted",
    "UnitEnded",
    "UnitStarted",
    "UnitTried",
]


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
class UnitTried:
    """An attempt at a unit has ended; where it is not tried again, its end comes next."""

    run: str
    unit: str
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class UnitEnded:
    """A unit ended, one way or another; every unit of a run does, once."""

    run: str
    unit: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Notice:
    """What a user should read while the run goes on: workers that are waited for, or lost.

    Some come before the run begins. A minor one is no trouble.
    """

    run: str
    text: str
    minor: bool = False


@dataclass(frozen=True, slots=True)
class RunEnded:
    """Every unit has ended; ``seconds`` is the time since the start."""

    run: str
    seconds: float


Event = RunStarted | UnitStarted | UnitTried | UnitEnded | Notice | RunEnded

Listener = Callable[[Event], None]
