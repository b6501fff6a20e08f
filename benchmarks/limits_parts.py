"""What else limits a large campaign: planning, the ledger, the disk. Each measured by itself."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import psutil

from benchmarks.inputs import Inputs
from bkgflow.campaign.ledger.batch import Batch, Change, Step
from bkgflow.campaign.ledger.opening import database_of, open_database
from bkgflow.campaign.ledger.reader import Reader
from bkgflow.campaign.ledger.register import Entry
from bkgflow.campaign.ledger.rows import KeptFile, RunRow
from bkgflow.campaign.ledger.writer import Writer
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.owner import Owner
from bkgflow.io.storage.publish import whole
from bkgflow.planning.plan import Plan
from bkgflow.verdict import State, Verdict

__all__ = ["PRODUCT", "measure_disk", "measure_ledger", "measure_planning"]

Numbers = dict[str, float | int]

PRODUCT = 83_900_000
"""Bytes of a full-frame product: SCI, ERR, DQ and variances."""

CAMPAIGN = "0123456789ab"


def measure_planning(inputs: Inputs, numbers: tuple[int, ...]) -> list[Numbers]:
    """Plan so many of the smallest units, ten of which share four backgrounds.

    Each number in a process of its own: seconds of its processor, and how much memory it takes.
    """
    target, *backgrounds = inputs.tiny()
    found: list[Numbers] = []
    for units in numbers:
        program = inputs.program(f"units-{units}", units, [target], backgrounds, 10)
        with get_context("spawn").Pool(1) as process:
            found.append(process.apply(_plan, (program,)))
        shutil.rmtree(program)
    return found


def _plan(program: Path) -> Numbers:
    import bkgflow

    first = min(program.glob("*_asn.json"))
    bkgflow.plan(first, program / "out")  # what has to be imported is
    process = psutil.Process()
    before, began = process.memory_info().rss, time.process_time()
    plan = bkgflow.plan(program, program / "out")
    seconds, units = time.process_time() - began, len(plan.units)
    held = process.memory_info().rss - before
    return {
        "units": units,
        "cpu_seconds": round(seconds, 3),
        "ms_per_unit": round(1000 * seconds / units, 4),
        "bytes_per_unit": held // units,
    }


def measure_ledger(plan: Plan, folder: Path, commits: int) -> Numbers:
    """Write a campaign's ledger: all its units together, then some in commits of their own.

    Parameters
    ----------
    plan : Plan
        Its products are never made.
    commits : int
        Units that get a transaction each.
    """
    folder.mkdir(parents=True)
    url = database_of(Location.of(folder))
    units = len(plan.units)
    database = open_database(url, write=True)
    with closing(database):
        writer = Writer(CAMPAIGN, "run1", lambda: database)
        cpu, began = time.process_time(), time.monotonic()
        row = RunRow("run1", "1", Owner.me(), "ada", time.time(), units, 0)
        entries = [Entry(unit, "new") for unit in plan.units]
        writer.begin(row, plan, str(plan.output), entries, {})
        begun = time.monotonic() - began
        cpu_begun = time.process_time() - cpu
        cpu, began = time.process_time(), time.monotonic()
        for unit in plan.units:
            _hand_over(writer, unit.digest, unit.output)
        writer.end("")
        writer.check()
        together, cpu_together = time.monotonic() - began, time.process_time() - cpu
        changes = [_change(name) for name in list(writer.names.values())[:commits]]
        began = time.monotonic()
        for each in changes:
            with database.engine.begin() as connection:
                Batch.of([each]).apply(connection, again=False)
        single = time.monotonic() - began
        began = time.monotonic()
        Reader(database, CAMPAIGN, plan.output).counts()
        counting = time.monotonic() - began
    return {
        "units": units,
        "begin_cpu_ms_per_unit": round(1000 * cpu_begun / units, 4),
        "begin_seconds": round(begun, 3),
        "cpu_ms_per_unit": round(1000 * cpu_together / units, 4),
        "units_per_second": round(units / together, 1),
        "commits_per_second": round(len(changes) / single, 1),
        "counting_ms": round(1000 * counting, 2),
        "bytes_per_unit": sum(each.stat().st_size for each in folder.iterdir()) // units,
    }


def _hand_over(writer: Writer, unit: str, file: str) -> None:
    """Hand over all that is said of a unit: that it begins, how it was tried, how it ended."""
    writer.begun(unit)
    tried = {"number": 1, "worker": "w", "host": "h", "started": time.time(), "seconds": 1.0,
             "state": "COMPLETE", "reason": "", "log": ""}  # fmt: skip
    writer.tried(unit, tried)
    writer.ended(unit, Verdict(State.COMPLETE), [KeptFile(file, PRODUCT, 11, "xxh3:00", unit)])


def _change(unit: str) -> Change:
    return Step.BEGUN, {"of_campaign": CAMPAIGN, "of_unit": unit, "to_begun": time.time()}


def measure_disk(folder: Path, small: int, large: int, size: int = PRODUCT) -> Numbers:
    """Publish files as products are: whole, synced, renamed, and the folder synced.

    Parameters
    ----------
    small, large : int
        Files of 4 kB; of ``size`` bytes, as a full-frame product.
    """
    pixels = np.random.default_rng(1).integers(0, 255, size, np.uint8).tobytes()
    found: Numbers = {"large_bytes": size}
    for threads in (1, 8):
        name = f"small_per_second_{threads}"
        found[name] = round(_rate(folder / name, pixels[:4096], small, threads), 1)
    for threads in (1, 4):
        name = f"large_mb_per_second_{threads}"
        found[name] = round(_rate(folder / name, pixels, large, threads) * size / 1e6, 1)
    return found


def _rate(folder: Path, content: bytes, number: int, threads: int) -> float:
    """Return how many files a second are published, by so many threads."""
    folder.mkdir(parents=True)

    def publish(each: int) -> None:
        with whole(folder / f"{each}.fits") as path:
            path.write_bytes(content)

    with ThreadPoolExecutor(threads) as pool:
        took = _timed(lambda: list(pool.map(publish, range(number))))
    shutil.rmtree(folder)
    return number / took


def _timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began
