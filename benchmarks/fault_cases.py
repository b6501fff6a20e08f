"""What may befall a run, and whether it ends as it should: signals, killed drivers, disks."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from benchmarks.fault_tools import (
    COMMAND,
    Found,
    bkgflow,
    disk,
    ended,
    found_in,
    processes_of,
    traceback_in,
    unchanged,
)

__all__ = ["CASES", "Answer", "Case", "Skipped", "Trial", "everything", "judged"]

PROTECT = """
import subprocess, sys, bkgflow
from contextlib import contextmanager
from bkgflow.clusters.local import Threads
class Protecting(Threads):
    @contextmanager
    def open(self):
        with super().open() as executor:
            execute = executor.execute
            def then_protect(*graph):
                execute(*graph)
                subprocess.run(["chattr", "+i", sys.argv[2]], check=True)
            executor.execute = then_protect
            yield executor
plan = bkgflow.plan(sys.argv[1], sys.argv[2])
result = bkgflow.run(plan, Protecting(2))
print(result)
print("KEPT", result.file)
"""
"""A script whose output folder becomes read-only when all products are there."""


class Skipped(Exception):  # noqa: N818 - no error
    """A case that this machine or this user cannot try; says why."""


@dataclass(frozen=True)
class Trial:
    """What all cases share.

    Attributes
    ----------
    program : Path
        Its associations and exposures.
    units : int
        How many it has.
    right : mapping
        By the names of products, their pixels as an undisturbed run makes them.
    scratch : Path
        A folder of the case's own.
    kills : int
        How often a case that is left to chance is tried.
    """

    program: Path
    units: int
    right: Mapping[str, str]
    scratch: Path
    kills: int

    @property
    def out(self) -> Path:
        """The output folder."""
        return self.scratch / "out"

    def run(
        self, *more: object, out: Path | None = None, cluster: object = "local"
    ) -> list[object]:
        """Return a command line."""
        workers = ["--workers", 2] if cluster in {"local", "threads"} else []
        given = ["--output", out or self.out, "--cluster", cluster, *workers, *more]
        return ["run", self.program, *given]


@dataclass(frozen=True)
class Answer:
    """What happened in a case, in a line, and whether that was right."""

    what: str
    right: bool


Case = Callable[[Trial], Answer]


def judged(
    trial: Trial,
    code: int | None,
    said: str,
    codes: set[int],
    wanted: Callable[[Found], bool],
    out: Path | None = None,
    result: Path | None = None,
) -> Answer:
    """Hold what a run left against what must be true of any, and of this one."""
    found = found_in(out or trial.out, result)
    wrong = []
    if code is None:
        wrong.append("hung")
    elif code not in codes:
        wrong.append(f"exit code {code}")
    if sum(found.counts.values()) != trial.units:
        wrong.append("no whole result file")
    if found.missing:
        wrong.append(f"{len(found.missing)} reported products are not there")
    if bad := unchanged(found.products, trial.right):
        wrong.append(f"{len(bad)} products are wrong or half written")
    if found.hidden:
        wrong.append(f"left behind: {', '.join(found.hidden[:3])}")
    if shown := traceback_in(said):
        wrong.append(f"a traceback: {shown}")
    if found.counts.get("QUARANTINED"):
        wrong.append("QUARANTINED, and no input is bad")
    if not wanted(found):
        wrong.append("not as it should be")
    counts = ", ".join(f"{number} {state}" for state, number in found.counts.items())
    return Answer("; ".join([f"exit {code}, {counts or 'no result'}", *wrong]), not wrong)


def everything(trial: Trial, found: Found) -> bool:
    """Whether every unit is COMPLETE."""
    return found.counts == {"COMPLETE": trial.units}


def _signal(number: int, trial: Trial) -> Answer:
    with bkgflow(*trial.run(), out=trial.out) as running:
        running.wait_for_products(random.randrange(1, trial.units // 2))
        running.signal(number, group=number == signal.SIGINT)
        code, said = running.end()
    return judged(trial, code, said, {128 + number}, lambda found: "BLOCKED" in found.counts)


def _second_signal(trial: Trial) -> Answer:
    with bkgflow(*trial.run(), out=trial.out) as running:
        running.wait_for_products(3)
        workers = processes_of(running)
        running.signal(signal.SIGTERM)
        time.sleep(0.05)
        running.signal(signal.SIGTERM)
        began = time.monotonic()
        code, said = running.end()
    seconds = time.monotonic() - began
    _, alive = psutil.wait_procs(workers, timeout=10)
    right = code == 143 and seconds < 5 and "Traceback" not in said and not alive
    return Answer(f"exit {code} after {seconds:.1f} s, {len(alive)} workers live on", right)


def _workers_killed(trial: Trial) -> Answer:
    killed = 0
    with bkgflow(*trial.run(), out=trial.out) as running:
        for number in range(trial.kills):
            running.wait_for_products(1 + number * trial.units // (2 * trial.kills))
            for worker in random.sample(workers := processes_of(running), min(1, len(workers))):
                with suppress(psutil.NoSuchProcess):
                    worker.kill()
                    killed += 1
        code, said = running.end()
    answer = judged(trial, code, said, {0}, partial(everything, trial))
    return Answer(f"{killed} kills: {answer.what}", answer.right and killed > 0)


def _drivers_killed(trial: Trial) -> Answer:
    for _ in range(trial.kills):
        with bkgflow(*trial.run(), out=trial.out) as running:
            running.wait_for_products(random.randrange(1, 10))
            time.sleep(random.random() / 5)
            running.signal(signal.SIGKILL)
            running.end()
            if bad := unchanged(found_in(trial.out).products, trial.right):
                return Answer(f"{len(bad)} products are wrong or half written", False)
    code, said = ended(*trial.run(), out=trial.out)
    answer = judged(trial, code, said, {0}, partial(everything, trial))
    told = "taken over" in said
    return Answer(f"{trial.kills} kills, next run: {answer.what}", answer.right and told)


def _two_runs(trial: Trial) -> Answer:
    with bkgflow(*trial.run(), out=trial.out) as first:
        first.wait_for((trial.out / ".bkgflow-lock").exists)
        refused, told = ended(*trial.run(), out=trial.out)
        code, said = first.end()
    answer = judged(trial, code, said, {0}, partial(everything, trial))
    named = f"process {first.process.pid} on" in told
    return Answer(f"second: exit {refused}; {answer.what}", answer.right and named and refused == 2)


def _removed(trial: Trial) -> Answer:
    with bkgflow(*trial.run(), out=trial.out) as running:
        running.wait_for_products(20)
        trial.out.rename(away := trial.scratch / "away")
        shutil.rmtree(away)
        code, said = running.end()
    told = "must be there" in said or "takes no more" in said
    answer = judged(trial, code, said, {1, 2}, lambda found: "COMPLETE" not in found.counts)
    return Answer(answer.what, answer.right and told)


def _no_room(trial: Trial) -> Answer:
    with disk(trial.scratch / "disk", size="2m") as folder:
        if folder is None:
            raise Skipped("this user may not mount a disk")
        code, said = ended(*trial.run(out=folder / "out"), out=folder / "out")
        left = list(folder.iterdir())
    both = "are to be written" in said and "are free" in said
    return Answer(f"exit {code}, both figures: {both}", code == 2 and both and not left)


def _full(trial: Trial, *, files: bool = False) -> Answer:
    size = {"size": "512m", "files": 40} if files else {"size": f"{trial.units * 100_000}"}
    with disk(trial.scratch / "disk", **size) as folder:
        if folder is None:
            raise Skipped("this user may not mount a disk")
        out = folder / "out"
        code, said = ended(*trial.run("--no-check-space", out=out), out=out)
        answer = judged(trial, code, said, {1}, _stopped_once, out)
    return Answer(answer.what, answer.right)


def _stopped_once(found: Found) -> bool:
    """Whether no unit was tried once it was known that the disk takes none."""
    tried = [unit for unit in found.result.get("units", ()) if unit["error"]]
    return 0 < len(tried) <= 8 and bool(found.result["stopped"])


def _read_only(trial: Trial) -> Answer:
    if shutil.which("chattr") is None:
        raise Skipped("no chattr here")
    script = (sys.executable, "-c", PROTECT)
    try:
        with bkgflow(trial.program, trial.out, out=trial.out, command=script) as running:
            code, said = running.end()
    finally:
        subprocess.run(["chattr", "-i", trial.out], check=False)
    if "CalledProcessError" in said:
        raise Skipped("chattr is not allowed here")
    kept = Path(said.rpartition("KEPT ")[2].strip().splitlines()[0])
    for path in trial.out.glob(".bkgflow-*"):  # none of them could be taken away
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    answer = judged(trial, code, said, {0}, partial(everything, trial), result=kept)
    kept.unlink(missing_ok=True)
    return Answer(
        f"{answer.what}, kept in {kept}", answer.right and "cannot be kept beside" in said
    )


def _few_handles(trial: Trial) -> Answer:
    """Fewer files may be open than the units have backgrounds."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    script = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 96))\n" + COMMAND[2]
    code, said = ended(*trial.run(cluster="threads"), out=trial.out, command=(*COMMAND[:2], script))
    same = resource.getrlimit(resource.RLIMIT_NOFILE) == limits
    answer = judged(trial, code, said, {0}, partial(everything, trial))
    return Answer(answer.what, answer.right and same and "Check the path" not in said)


def _driver_paused(trial: Trial) -> Answer:
    with bkgflow(*trial.run(), out=trial.out) as running:
        running.wait_for_products(5)
        os.killpg(running.process.pid, signal.SIGSTOP)
        time.sleep(5)
        os.killpg(running.process.pid, signal.SIGCONT)
        code, said = running.end()
    return judged(trial, code, said, {0}, partial(everything, trial))


CASES: dict[str, tuple[str, Case]] = {
    "sigterm": ("SIGTERM midway", partial(_signal, signal.SIGTERM)),
    "sighup": ("SIGHUP midway", partial(_signal, signal.SIGHUP)),
    "ctrl-c": ("Ctrl-C, to all processes of the terminal", partial(_signal, signal.SIGINT)),
    "second-signal": ("a second signal", _second_signal),
    "driver-paused": ("driver and workers stopped for 5 s", _driver_paused),
    "workers-killed": ("workers killed", _workers_killed),
    "drivers-killed": ("drivers killed, and run again", _drivers_killed),
    "two-runs": ("two runs into one folder", _two_runs),
    "removed": ("output folder removed midway", _removed),
    "no-room": ("too little room for the plan", _no_room),
    "disk-full": ("disk full midway", _full),
    "no-inode": ("no inode midway", partial(_full, files=True)),
    "read-only": ("output made read-only at the end", _read_only),
    "few-handles": ("fewer open files than backgrounds", _few_handles),
}
"""By name: what is done to a run, and how."""
