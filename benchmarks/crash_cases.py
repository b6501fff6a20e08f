"""How a run is made to die: its driver, a worker, the scheduler, its disk, at every step."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from functools import partial

from benchmarks.crash_points import COMMAND, DRIVER_POINTS, POINTS, environment
from benchmarks.crash_tools import Site, Tried
from benchmarks.fault_cases import Skipped
from benchmarks.fault_tools import bkgflow, disk, ended
from benchmarks.grid import Grid, grid

__all__ = ["CRASHES", "Crash"]

Crash = Callable[[Site], Tried]

SCHEDULERS = 5
"""How often the scheduler is killed: most of the time goes into starting another."""


def _drivers(site: Site) -> Tried:
    tried = Tried()
    with grid(site.scratch / "grid") as made:
        for number in range(site.times):
            out = site.scratch / f"out{number}"
            site.killed(out, made.address, site.moment())
            site.resumed(tried, out, made.address)
    return tried


def _workers(site: Site) -> Tried:
    """A run survives that by itself; the same command once more finds nothing to do."""
    tried = Tried()
    with grid(site.scratch / "grid") as made:
        for number in range(site.times):
            out = site.scratch / f"out{number}"
            with bkgflow(*site.arguments(out, made.address), out=out) as running:
                running.wait_for(lambda: False, site.moment(0.4))
                made.kill(made.workers.pop(site.chance.randrange(2)))
                made.worker()
                code, said = running.end()
            if code != 0:
                tried.wrong.append(f"{out.name}: exit code {code}: {said[-300:]}")
            site.resumed(tried, out, made.address)
            made.wait(2)
    return tried


def _schedulers(site: Site) -> Tried:
    tried = Tried()
    with grid(site.scratch / "grid") as made:
        wanted = min(SCHEDULERS, site.times)
        for number in range(2 * wanted):  # a run may be done before it is hit
            if tried.times == wanted:
                break
            out = site.scratch / f"out{number}"
            with bkgflow(*site.arguments(out, made.address), out=out) as running:
                running.wait_for_products(site.chance.randrange(1, site.units // 2))
                _end_all(made)
                code, said = running.end()
            made.scheduler()
            for _ in range(2):
                made.worker()
            made.wait(2)
            if code == 0:
                continue
            if code != 1:
                tried.wrong.append(f"{out.name}: exit code {code}: {said[-300:]}")
            site.resumed(tried, out, made.address)
    return tried


def _end_all(made: Grid) -> None:
    """Kill the scheduler; workers that have none are of no use any more."""
    for process in made.processes:
        made.kill(process)
    made.processes.clear()
    made.workers.clear()


def _disk_full(site: Site) -> Tried:
    tried, room = Tried(), site.units * 60_000
    with disk(site.scratch / "disk", size=str(room)) as folder:
        if folder is None:
            raise Skipped("this user may not mount a disk")
        with grid(site.scratch / "grid") as made:
            out = folder / "out"
            code, said = ended(*site.arguments(out, made.address, "--no-check-space"), out=out)
            if code != 1:
                tried.wrong.append(f"a full disk: exit code {code}: {said[-300:]}")
            subprocess.run(["mount", "-o", "remount,size=200m", folder], check=True)
            site.resumed(tried, out, made.address, "--no-check-space")
    return tried


def _read_only(site: Site) -> Tried:
    if shutil.which("chattr") is None:
        raise Skipped("no chattr here")
    tried, out = Tried(), site.scratch / "out"
    with grid(site.scratch / "grid") as made:
        try:
            with bkgflow(*site.arguments(out, made.address), out=out) as running:
                running.wait_for_products(3)
                if subprocess.run(["chattr", "+i", out], check=False).returncode:
                    raise Skipped("chattr is not allowed here")
                code, said = running.end()
        finally:
            subprocess.run(["chattr", "-i", out], check=False)
        if code not in {1, 2}:
            tried.wrong.append(f"a folder that takes nothing: exit code {code}: {said[-300:]}")
        site.resumed(tried, out, made.address)
    return tried


def _driver_at(point: str, site: Site) -> Tried:
    """Threads: the process that writes the products is the driver."""
    tried = Tried()
    for number in range(max(1, site.times // 5)):
        out, flag = site.scratch / f"out{number}", site.scratch / f"flag{number}"
        at = environment(point, site.chance.randrange(1, site.units // 2), flag)
        command = {"command": COMMAND, "environment": at}
        code, said = ended(*site.arguments(out, "threads"), out=out, **command)
        if not flag.exists():
            tried.wrong.append(f"{out.name}: it never came to that point ({code}): {said[-300:]}")
        site.resumed(tried, out, "threads")
    return tried


def _worker_at(point: str, site: Site) -> Tried:
    tried = Tried()
    with grid(site.scratch / "grid", workers=0) as made:
        for number in range(max(1, site.times // 5)):
            out, flag = site.scratch / f"out{number}", site.scratch / f"flag{number}"
            at = environment(point, site.chance.randrange(1, site.units // 4), flag)
            for _ in range(2):
                made.worker("from benchmarks.crash_points import dask_setup", environment=at)
            made.wait(2)
            code, said = ended(*site.arguments(out, made.address), out=out)
            if code != 0 or not flag.exists():
                what = f"exit code {code}, crashed: {flag.exists()}: {said[-300:]}"
                tried.wrong.append(f"{out.name}: {what}")
            site.resumed(tried, out, made.address)
            while made.workers:
                made.kill(made.workers.pop())
            time.sleep(0.5)
    return tried


CRASHES: dict[str, tuple[str, Crash]] = {
    "drivers": ("driver killed (SIGKILL) at random moments", _drivers),
    "workers": ("worker killed at random moments", _workers),
    "schedulers": ("scheduler and workers killed", _schedulers),
    "disk-full": ("disk full while products are written, then more room", _disk_full),
    "read-only": ("output folder takes nothing any more, then it does again", _read_only),
    **{f"driver-{p}": (f"driver dies {w}", partial(_driver_at, p)) for p, w in POINTS.items()},
    **{
        f"driver-{p}": (f"driver dies {w} to the ledger", partial(_driver_at, p))
        for p, w in DRIVER_POINTS.items()
    },
    **{f"worker-{p}": (f"worker dies {w}", partial(_worker_at, p)) for p, w in POINTS.items()},
}
"""By name: what befalls a run, and how."""
