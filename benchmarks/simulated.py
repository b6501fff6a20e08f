"""A scheduler with modelled workers: what a unit costs it, and what it costs the driver.

Real are the scheduler, a process reached over TCP, and bkgflow's way to it: plans, graphs, tasks,
the window of units in flight. Modelled are the workers: what they are given takes a time that was
chosen. Measured is processor time of each process; whatever else the machine does meanwhile makes
a run longer, and hardly dearer.
"""

from __future__ import annotations

import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from distributed import Client

from benchmarks.grid import Grid, grid
from bkgflow.campaign.compute import run_plan
from bkgflow.clusters.client import ClientExecutor
from bkgflow.clusters.policy import window_for
from bkgflow.graph.build import PlannedWork
from bkgflow.planning.plan import Plan

__all__ = ["IDLE", "Knee", "Simulated", "knee", "simulate"]

IDLE = 10.0
"""Seconds in which it is measured what workers cost that have nothing to do."""

FIRST = 32
"""Units that are done before anything is measured: both sides import what they need."""

OWN = 0.5
"""The share of a unit's time that its last task takes; parts of shared results take the rest."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """A run with modelled workers.

    Attributes
    ----------
    graph : str
        Which units were done.
    unit_seconds : float
        That a unit takes of a worker's thread, its part of shared results with it.
    tasks_per_unit : float
        Tasks that the scheduler was given.
    window : int
        Units that it had at a time.
    wall : float
        Seconds of the run.
    scheduler_ms, driver_ms : float
        Milliseconds of processor time for each unit; the scheduler's without what it takes for
        its workers while they do nothing.
    idle : float
        Processor seconds of the scheduler in each second, while its workers do nothing.
    scheduler_load, driver_load, workers_load : float
        Processor seconds of each in each second of the run; for the workers, how much of their
        time they had something to do.
    """

    graph: str
    workers: int
    units: int
    unit_seconds: float
    tasks_per_unit: float
    window: int
    wall: float
    scheduler_ms: float
    driver_ms: float
    idle: float
    scheduler_load: float
    driver_load: float
    workers_load: float
    scheduler_bytes: int

    def to_dict(self) -> dict[str, float | int | str]:
        """Return plain values, of as many digits as they are worth."""
        return {n: round(v, 4) if isinstance(v, float) else v for n, v in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Knee:
    """How many workers of one thread keep a core of the scheduler, or of the driver, busy."""

    scheduler: float
    driver: float


def knee(runs: Sequence[Mapping[str, float]], unit_seconds: float, ledger_ms: float = 0.0) -> Knee:
    """Return where more workers do no more units.

    Parameters
    ----------
    runs : sequence of mapping
        Of one graph, as `Simulated.to_dict` gives them. Those count whose workers are as many as
        the knee has, or the nearest; of several, the dearest.
    unit_seconds : float
        That a unit takes of a worker.
    ledger_ms : float
        What the driver's ledger takes of a processor for each unit: it has none in a simulation.
    """
    dearest: dict[float, Knee] = {}
    for run in runs:
        found, before = _knee_of(run, unit_seconds, ledger_ms), dearest.get(run["workers"])
        if before is not None:
            scheduler = min(found.scheduler, before.scheduler)
            found = Knee(scheduler, min(found.driver, before.driver))
        dearest[run["workers"]] = found

    def far(workers: float) -> float:
        here = dearest[workers]
        return abs(math.log(workers / min(here.scheduler, here.driver)))

    return dearest[min(dearest, key=far)]


def _knee_of(run: Mapping[str, float], unit_seconds: float, ledger_ms: float) -> Knee:
    left = 1000 * (1 - run["idle"])  # ms of each second that the workers themselves do not take
    scheduler, driver = left / run["scheduler_ms"], 1000 / (run["driver_ms"] + ledger_ms)
    return Knee(unit_seconds * scheduler, unit_seconds * driver)


def simulate(
    name: str,
    plan: Plan,
    workers: int,
    unit_seconds: float,
    rest: float = IDLE,
    *,
    real: bool = False,
) -> Simulated:
    """Run a plan on so many modelled workers, or on real ones, by which the model is judged.

    Parameters
    ----------
    name : str
        Of the graph.
    unit_seconds : float
        That a unit takes of a modelled worker.
    rest : float
        Seconds in which it is measured what idle workers cost.

    Raises
    ------
    RuntimeError
        If not all of it was done.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    units, parts = len(plan.units), _parts_of(plan)
    own = unit_seconds * OWN if parts else unit_seconds
    part = unit_seconds * (1 - OWN) * units / max(1, parts)
    with (
        tempfile.TemporaryDirectory(prefix="limits-") as folder,
        grid(Path(folder) / "grid", 0) as made,
        _real(made, workers) if real else _modelled(made, workers, own, part),
    ):
        scheduler = psutil.Process(made.processes[0].pid)
        _run(made.address, plan.only({each.digest for each in plan.units[:FIRST]}))
        began = _cpu(scheduler)
        time.sleep(rest)
        idle = (_cpu(scheduler) - began) / rest
        began, driver, wall = _cpu(scheduler), time.process_time(), time.monotonic()
        _run(made.address, plan)
        wall, driver = time.monotonic() - wall, time.process_time() - driver
        took, held = _cpu(scheduler) - began, scheduler.memory_info().rss
    return Simulated(
        graph=name,
        workers=workers,
        units=units,
        unit_seconds=wall * workers / units if real else unit_seconds,
        tasks_per_unit=1 + parts / units,
        window=window_for(workers),
        wall=wall,
        scheduler_ms=1000 * max(0.0, took - idle * wall) / units,
        driver_ms=1000 * driver / units,
        idle=idle,
        scheduler_load=took / wall,
        driver_load=driver / wall,
        workers_load=1.0 if real else units * unit_seconds / (workers * wall),
        scheduler_bytes=held,
    )


def _parts_of(plan: Plan) -> int:
    """Return how many tasks compute shared results."""
    work = PlannedWork(plan)
    return len(work.parts(dict.fromkeys(filter(None, map(work.shared, work.units)))).tasks)


def _run(address: str, plan: Plan) -> None:
    with Client(address, set_as_default=False, timeout=60) as client:
        executor = ClientExecutor(client, own=True)  # modelled workers cannot be asked anything
        result = run_plan(plan, executor, files=False)
    if not result.ok:
        raise RuntimeError(f"not all was done: {result.counts}")


@contextmanager
def _real(made: Grid, workers: int) -> Iterator[None]:
    for _ in range(workers):
        made.worker()
    made.wait(workers)
    yield  # the grid ends them


@contextmanager
def _modelled(made: Grid, workers: int, unit: float, part: float) -> Iterator[None]:
    words = [sys.executable, "-m", "benchmarks.modelled", made.address, str(workers)]
    with subprocess.Popen(
        [*words, str(unit), str(part)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as them:
        assert them.stdout is not None
        try:
            if them.stdout.readline().strip() != "ready":
                raise RuntimeError("the modelled workers did not start")
            yield
        finally:
            them.kill()


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
