"""A plan run to its end: every unit gets an outcome, whatever happens to its neighbours."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable
from typing import Any

from bkgflow.campaign.events import Event, Listener, RunFinished, RunStarted, UnitFinished
from bkgflow.campaign.executors import Executor, Lost
from bkgflow.campaign.result import RunResult
from bkgflow.errors import BkgflowError
from bkgflow.graph.build import build
from bkgflow.graph.finish import UnitResult
from bkgflow.graph.guard import Failure
from bkgflow.outcome import Outcome
from bkgflow.planning.plan import Plan, Unit

__all__ = ["run_plan"]

LOST = "the run ended before its turn: the cluster went away or the run was stopped"


def run_plan(plan: Plan, executor: Executor, listeners: Iterable[Listener] = ()) -> RunResult:
    """Compute a plan and write its products.

    A unit that cannot be done is QUARANTINED with its error and the others go on.

    Parameters
    ----------
    plan : Plan
        What to do.
    executor : Executor
        Where.
    listeners : iterable of callables
        Told what happens, in the driver.

    Returns
    -------
    RunResult
        The end of every unit.
    """
    listeners = tuple(listeners)
    started = time.monotonic()
    ended: dict[str, UnitResult] = {}

    def announce(event: Event) -> None:
        for listener in listeners:
            listener(event)

    def end(unit: Unit, result: UnitResult) -> None:
        ended[unit.key] = result
        announce(UnitFinished(unit, result))

    announce(RunStarted(plan, executor.where))
    for unit in plan.units:
        if unit.outcome == Outcome.QUARANTINED:
            end(unit, UnitResult(unit.key, unit.outcome, unit.reason, error=unit.error))
    graph = build(plan)

    def on_end(key: Hashable, value: Any) -> None:
        end(graph.ends[key], _unit_result(graph.ends[key], value))

    if graph.ends:
        executor.execute(graph, on_end)
    for unit in plan.units:
        if unit.key not in ended:
            end(unit, UnitResult(unit.key, Outcome.BLOCKED, LOST))
    seconds = time.monotonic() - started
    announce(RunFinished(plan, seconds))
    return RunResult(plan, tuple(ended[unit.key] for unit in plan.units), seconds)


def _unit_result(unit: Unit, value: Any) -> UnitResult:
    if isinstance(value, UnitResult):
        return value
    if isinstance(value, Failure):
        return _quarantined(unit, value.error)
    if isinstance(value, Lost):
        return UnitResult(unit.key, Outcome.BLOCKED, LOST)
    raise TypeError(f"a unit's last task returned {type(value).__name__}")


def _quarantined(unit: Unit, error: BkgflowError) -> UnitResult:
    return UnitResult(unit.key, Outcome.QUARANTINED, error.message, error=error.to_dict())
