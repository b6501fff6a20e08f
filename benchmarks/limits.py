"""What limits a campaign of many workers and many units: measured, and simulated."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import bkgflow
from benchmarks.inputs import Inputs, Note
from benchmarks.limits_parts import PRODUCT, measure_disk, measure_ledger, measure_planning
from benchmarks.machine import facts, today
from benchmarks.simulated import IDLE, simulate
from bkgflow.planning.plan import Plan

__all__ = ["GRAPHS", "PARTS", "QUICK", "RUNS", "measure_limits"]

Results = dict[str, Any]

GRAPHS = {"shared": (8, 8), "own": (1, 4)}
"""How many units share backgrounds, and how many backgrounds these are."""

RUNS = ((10, 1000, 0.2), (100, 2000, 2.0), (1000, 6000, 20.0), (1000, 6000, 1.0))
"""Workers, units, and the seconds that a unit takes of its worker: so long that a scheduler is
half busy, whatever the number of workers; and at last so short that it is more than busy."""

QUICK = ((3, 60, 0.02),)

PARTS = ("planning", "ledger", "disk", "model", "scheduler")
"""What is measured, the shortest first."""


def measure_limits(
    inputs: Inputs,
    note: Note,
    parts: Iterable[str] = PARTS,
    runs: Iterable[tuple[int, int, float]] = RUNS,
    units: int = 10_000,
    rest: float = IDLE,
) -> Results:
    """Measure what is asked for.

    Parameters
    ----------
    runs : iterable of (int, int, float)
        Of the scheduler: see `RUNS`.
    units : int
        Of the largest plan, and of the ledger.
    rest : float
        Seconds in which it is measured what idle workers cost.
    """
    inputs.folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="limits-", dir=inputs.folder))
    found: Results = {"machine": facts(), "date": today()}
    measures: dict[str, Callable[[], object]] = {
        "planning": lambda: measure_planning(inputs, (max(1, units // 10), units)),
        "ledger": lambda: _ledger(inputs, scratch, units),
        "disk": lambda: _disk(scratch, small=units > 1000),
        "model": lambda: _model(inputs, scratch, max(40, units // 10), rest),
        "scheduler": lambda: _scheduler(inputs, tuple(runs), rest, note),
    }
    try:
        for name in parts:
            began = time.monotonic()
            found[name] = measures[name]()
            note(f"{name}: {time.monotonic() - began:.0f} s")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return found


def _ledger(inputs: Inputs, scratch: Path, units: int) -> Mapping[str, float]:
    target, *backgrounds = inputs.tiny()
    folder = inputs.program("limits-ledger", units, [target], backgrounds, 10)
    plan = bkgflow.plan(folder, scratch / "out")
    return measure_ledger(plan, scratch / "ledger", max(10, units // 20))


def _disk(scratch: Path, *, small: bool) -> Mapping[str, float]:
    if small:
        return measure_disk(scratch, 2000, 12)
    return measure_disk(scratch, 20, 4, PRODUCT // 100)


def _model(inputs: Inputs, scratch: Path, units: int, rest: float) -> list[Mapping[str, object]]:
    """Do small images with two real workers, then the same with two that are modelled."""
    target, *backgrounds = inputs.tiny()
    folder = inputs.program("limits-model", units, [target], backgrounds, 8)
    plan = bkgflow.plan(folder, scratch / "model")
    real = simulate("real", plan, 2, 0.0, rest, real=True)
    return [real.to_dict(), simulate("modelled", plan, 2, real.unit_seconds, rest).to_dict()]


def _scheduler(
    inputs: Inputs, runs: tuple[tuple[int, int, float], ...], rest: float, note: Note
) -> list[Mapping[str, object]]:
    found: list[Mapping[str, object]] = []
    for name, (group, backgrounds) in GRAPHS.items():
        for workers, units, seconds in runs:
            plan = _plan(inputs, f"limits-{name}", units, group, backgrounds)
            run = simulate(name, plan, workers, seconds, rest)
            note(
                f"  {name}, {workers} workers, {units} units: scheduler {run.scheduler_ms:.2f} ms, "
                f"driver {run.driver_ms:.2f} ms of processor time a unit"
            )
            found.append(run.to_dict())
    return found


def _plan(inputs: Inputs, name: str, units: int, group: int, backgrounds: int) -> Plan:
    """Plan full frames whose products are never made; a small inputs' size makes small ones."""
    folder = inputs.program(name, units, inputs.image(1), inputs.sky(backgrounds), group)
    return bkgflow.plan(folder, inputs.folder / "nowhere")
