"""What a run announces while it goes on. Progress bars, the log and the summary listen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bkgflow.graph.finish import UnitResult
from bkgflow.planning.plan import Plan, Unit

__all__ = ["Event", "Listener", "RunFinished", "RunStarted", "UnitFinished"]


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The graph is built and handed over; ``where`` says to whom."""

    plan: Plan
    where: str


@dataclass(frozen=True, slots=True)
class UnitFinished:
    """A unit ended, one way or another."""

    unit: Unit
    result: UnitResult


@dataclass(frozen=True, slots=True)
class RunFinished:
    """Every unit has ended; ``seconds`` is the time since the start."""

    plan: Plan
    seconds: float


Event = RunStarted | UnitFinished | RunFinished

Listener = Callable[[Event], None]
