"""One attempt at a unit: where it was, what it took, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

__all__ = ["BROKEN", "LOST", "TIMEOUT", "Attempt", "OnAttempt", "unheard"]

LOST = "LOST"
"""The state of an attempt whose worker went away."""

TIMEOUT = "TIMEOUT"
"""The state of an attempt that was given up: it took longer than it might."""

BROKEN = "BROKEN"
"""The state of an attempt whose task raised in spite of its guard, or was cancelled."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a unit; or at what it shares with others, where that failed.

    Attributes
    ----------
    number : int
        The first is 1.
    worker : str
        Its address; empty where threads of this process compute.
    process : str
        Which process it was, and on which host, in words.
    host : str
        Name of the machine.
    started : datetime
        When its last task began, in UTC, by the worker's clock.
    seconds : float
        That it took; of a worker that went away, until that was seen.
    read, written : int
        Bytes, by the thread that computed it: files alone, and no shared results. -1 where the
        system does not say, or the worker could not.
    peak : int
        The most memory in bytes that the worker's process held meanwhile, all its threads
        together; -1 likewise.
    state : str
        How it ended: a `State`, or LOST, TIMEOUT or BROKEN.
    reason : str
        Why, in a sentence; empty where all is well.
    log : tuple of str
        What its worker logged meanwhile, or, where it ended badly, the last lines that it logged;
        of a worker that went away, what is said of it.
    """

    number: int
    worker: str
    process: str
    host: str
    started: datetime
    seconds: float
    read: int
    written: int
    peak: int
    state: str
    reason: str = ""
    log: tuple[str, ...] = ()


OnAttempt = Callable[[str, Attempt], None]
"""Called with the digest of a unit and an attempt at it that has ended: before the unit's end."""


def unheard(unit: str, attempt: Attempt) -> None:
    """Take no notice."""
