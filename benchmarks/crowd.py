"""A campaign of ten thousand units, some of them bad: counts, memory, the driver's time, resume."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from rich.table import Table

from benchmarks.crowd_inputs import Crowd, make_crowd
from benchmarks.fault_tools import Running, bkgflow
from benchmarks.grid import Grid, grid
from bkgflow.campaign.place import open_campaign
from bkgflow.errors import BkgflowError
from bkgflow.io.storage.location import Location
from bkgflow.report.tables import human_bytes

__all__ = ["Measured", "as_table", "measure_crowd"]

PAUSE = 1.0
"""Seconds between two looks."""

LONGEST = 7200.0
"""Seconds that a run may take."""

APART = "apart"
"""The cluster whose scheduler and workers are started beforehand, each a process of its own."""


@dataclass
class Measured:
    """What a run of a crowd took, and whether it ended as it must.

    Attributes
    ----------
    memory : list of (int, int, int)
        Units that had ended; bytes of the driver; of the scheduler, where it is another process.
    reading : list of float
        Seconds that counting the units in the ledger took while it ran.
    driver_cpu, scheduler_cpu : float
        Seconds of the driver, in all; and of the scheduler, where it is another process.
    """

    cluster: str
    units: int
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    memory: list[tuple[int, int, int]] = field(default_factory=list)
    reading: list[float] = field(default_factory=list)
    driver_cpu: float = 0.0
    scheduler_cpu: float = 0.0
    planned_cpu: float = 0.0
    resume: float = 0.0
    wrong: list[str] = field(default_factory=list)


def measure_crowd(
    units: int, share: float, clusters: list[str], say: Callable[[str], object]
) -> list[Measured]:
    """Make a program, and run it on each cluster, with an output folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="crowd-"))
    try:
        began = time.monotonic()
        crowd = make_crowd(folder, units, share)
        say(f"{units} units made in {time.monotonic() - began:.0f} s, {len(crowd.bad)} are bad")
        found = []
        for each in clusters:
            with grid(folder / "grid", 2) if each == APART else nullcontext() as made:
                found.append(_measured(crowd, each, folder / each, say, made))
        return found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measured(
    crowd: Crowd, cluster: str, out: Path, say: Callable[[str], object], made: Grid | None
) -> Measured:
    found = Measured(cluster, crowd.units)
    arguments: list[object] = ["run", crowd.folder, "--output", out, "--quiet"]
    arguments += ["--cluster", made.address] if made else ["--cluster", cluster, "--workers", 2]
    quick = {"BKGFLOW_AMEND": "1"}
    with bkgflow(*arguments, out=out, environment=quick) as running:
        while running.process.poll() is None:
            _look(found, out, running, made)
            time.sleep(PAUSE)
        code, said = running.end(LONGEST)
        found.seconds = time.monotonic() - running.began
    _check(found, crowd, out, code, said)
    say(f"{cluster}: {found.seconds:.0f} s, {found.counts}")
    began = time.monotonic()
    with bkgflow(*arguments, out=out, environment=quick) as running:
        code, said = running.end(LONGEST)
    found.resume = time.monotonic() - began
    if code != 1 and crowd.bad:
        found.wrong.append(f"the resumed campaign ends with {code}: {said[-300:]}")
    kept = json.loads((out / "bkgflow-run.json").read_text())
    again = [u for u in kept["units"] if not u["kept"] and u["state"] != "QUARANTINED"]
    if again:
        found.wrong.append(f"{len(again)} units were done again")
    say(f"{cluster}: resumed in {found.resume:.1f} s")
    return found


def _look(found: Measured, out: Path, running: Running, made: Grid | None) -> None:
    ended, began = 0, time.monotonic()
    with suppress(BkgflowError, OSError):
        database, reader = open_campaign(Location.of(out))
        with closing(database):
            counts = reader.counts()
        found.reading.append(time.monotonic() - began)
        ended = sum(number for state, number in counts.items() if state != "PLANNED")
    with suppress(psutil.Error):
        driver = psutil.Process(running.process.pid)
        times = driver.cpu_times()
        found.driver_cpu = times.user + times.system
        if not found.reading:
            found.planned_cpu = found.driver_cpu
        scheduler = 0
        if made:
            apart = psutil.Process(made.processes[0].pid)
            times = apart.cpu_times()
            found.scheduler_cpu, scheduler = times.user + times.system, apart.memory_info().rss
        found.memory.append((ended, driver.memory_info().rss, scheduler))


def _check(found: Measured, crowd: Crowd, out: Path, code: int | None, said: str) -> None:
    result: dict[str, Any] = json.loads((out / "bkgflow-run.json").read_text())
    found.counts = result["counts"]
    wanted = {"COMPLETE": crowd.units - len(crowd.bad), "QUARANTINED": len(crowd.bad)}
    if Counter(found.counts) != Counter(wanted):
        found.wrong.append(f"the counts should be {wanted}")
    if code != (1 if crowd.bad else 0) or "Traceback" in said:
        found.wrong.append(f"exit code {code}: {said[-300:]}")
    for unit in result["units"]:
        what, error = crowd.bad.get(unit["product_name"], ""), unit["error"]
        if bool(what) != (unit["state"] == "QUARANTINED"):
            found.wrong.append(f"{unit['product_name']} ({what or 'good'}): {unit['state']}")
        elif what and not (error and error["file"] and error["cure"]):
            found.wrong.append(f"{unit['product_name']} ({what}) has no file or no cure")
    if len(list(out.glob("*_bsub.fits"))) != wanted["COMPLETE"]:
        found.wrong.append("products are missing, or too many")


def _memory_at(found: Measured, share: int) -> tuple[int, int]:
    """Return the bytes of driver and scheduler when so many units had ended, or a little later."""
    for ended, driver, scheduler in found.memory:
        if ended >= share:
            return driver, scheduler
    return found.memory[-1][1:]


def as_table(found: list[Measured]) -> Table:
    """Draw a column for each cluster."""
    table = Table(title="A crowd of units", title_justify="left")
    table.add_column("")
    for each in found:
        table.add_column(each.cluster, overflow="fold")
    rows: dict[str, Callable[[Measured], str]] = {
        "ended": lambda m: ", ".join(f"{n} {state}" for state, n in m.counts.items()),
        "seconds": lambda m: f"{m.seconds:.0f} ({1000 * m.seconds / m.units:.1f} ms a unit)",
        "driver, first tenth": lambda m: human_bytes(_memory_at(m, m.units // 10)[0]),
        "driver, last tenth": lambda m: human_bytes(_memory_at(m, m.units - m.units // 10)[0]),
        "scheduler, first, last tenth": lambda m: ", ".join(
            human_bytes(_memory_at(m, number)[1]) or "-"
            for number in (m.units // 10, m.units - m.units // 10)
        ),
        "driver's CPU before the first unit": lambda m: f"{m.planned_cpu:.1f} s",
        "driver's CPU a unit, after that": lambda m: (
            f"{1000 * (m.driver_cpu - m.planned_cpu) / m.units:.2f} ms"
        ),
        "scheduler's CPU a unit": lambda m: (
            f"{1000 * m.scheduler_cpu / m.units:.2f} ms" if m.scheduler_cpu else "in the driver's"
        ),
        "counting while it ran": lambda m: (
            f"{1000 * sum(m.reading) / max(1, len(m.reading)):.0f} ms, "
            f"at most {1000 * max(m.reading, default=0):.0f} ms"
        ),
        "resume of all of it": lambda m: f"{m.resume:.1f} s",
        "right": lambda m: "yes" if not m.wrong else f"NO: {'; '.join(m.wrong[:3])}",
    }
    for name, cell in rows.items():
        table.add_row(name, *map(cell, found))
    return table
