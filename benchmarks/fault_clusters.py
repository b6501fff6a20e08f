"""What may befall a run on a cluster that is there already: its workers, and its scheduler."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from functools import partial

from benchmarks.fault_cases import Answer, Case, Skipped, Trial, everything, judged
from benchmarks.fault_tools import Found, bkgflow, ended, found_in
from benchmarks.grid import grid

__all__ = ["CLUSTER_CASES"]

HEAVY = """
import psutil
def dask_setup(worker):
    ballast = bytearray((1740 << 20) - psutil.Process().memory_info().rss)
    for i in range(0, len(ballast), 4096):
        ballast[i] = 1
    worker.ballast = ballast
"""
"""Memory that a worker of 2 GiB holds outside of what it computes: dask pauses it at 80%, 1638 MiB,
and ends it at 95%, 1945 MiB."""

BARE = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "bkgflow":
            raise ModuleNotFoundError("No module named 'bkgflow'", name="bkgflow")
sys.meta_path.insert(0, Hidden())
"""
"""A worker in whose environment bkgflow is not installed."""

OLD = """
import bkgflow.version
bkgflow.version.VERSION = "0.0.1"
import bkgflow
bkgflow.__version__ = "0.0.1"
"""
"""A worker that has another bkgflow."""

DEADLY = """
import os
from distributed import WorkerPlugin
class Dies(WorkerPlugin):
    def transition(self, key, start, finish, **more):
        if finish == "executing" and str(key).startswith("subtract-"):
            os.kill(os.getpid(), 9)
async def dask_setup(worker):
    await worker.plugin_add(plugin=Dies(), name="dies")
"""
"""A worker that the system kills as soon as it computes a unit, as one without memory."""


def _scheduler_killed(trial: Trial) -> Answer:
    with (
        grid(trial.scratch / "grid") as made,
        bkgflow(*trial.run(cluster=made.address), out=trial.out) as running,
    ):
        running.wait_for_products(5)
        os.kill(made.processes[0].pid, signal.SIGKILL)
        code, said = running.end()
    return judged(trial, code, said, {1}, lambda found: "BLOCKED" in found.counts)


def _scheduler_paused(trial: Trial) -> Answer:
    with (
        grid(trial.scratch / "grid") as made,
        bkgflow(*trial.run(cluster=made.address), out=trial.out) as running,
    ):
        running.wait_for_products(5)
        os.kill(made.processes[0].pid, signal.SIGSTOP)
        time.sleep(5)
        os.kill(made.processes[0].pid, signal.SIGCONT)
        code, said = running.end()
    return judged(trial, code, said, {0}, partial(everything, trial))


def _worker_stopped(trial: Trial) -> Answer:
    """One of two workers stops for ever; the other must do its work before long."""
    with (
        grid(trial.scratch / "grid") as made,
        bkgflow(*trial.run(cluster=made.address), out=trial.out) as running,
    ):
        running.wait_for_products(5)
        os.killpg(made.processes[1].pid, signal.SIGSTOP)
        began = time.monotonic()
        code, said = running.end(180)
    answer = judged(trial, code, said, {0}, partial(everything, trial))
    return Answer(f"{answer.what}, {time.monotonic() - began:.0f} s", answer.right)


def _no_memory(trial: Trial) -> Answer:
    """Workers with hardly any memory left pause; that is said, and comes to an end."""
    with grid(trial.scratch / "grid", 0) as made:
        for _ in range(2):
            made.worker(HEAVY, memory="2GiB")
        began = time.monotonic()
        code, said = ended(*trial.run(cluster=made.address), out=trial.out)
    right = code == 1 and "Traceback" not in said and "their memory is near its limit" in said
    counts = found_in(trial.out).counts
    what = f"exit {code} after {time.monotonic() - began:.0f} s, {dict(counts) or 'no result'}"
    return Answer(what, right and "QUARANTINED" not in counts)


def _workers_die(trial: Trial) -> Answer:
    with grid(trial.scratch / "grid", 0) as made:
        for _ in range(2):
            made.worker(DEADLY)
        made.wait(2)
        code, said = ended(*trial.run(cluster=made.address), out=trial.out)
    return judged(trial, code, said, {1}, lambda found: found.counts == {"BLOCKED": trial.units})


def _refused(words: Sequence[str], preload: str, trial: Trial) -> Answer:
    """Workers that cannot do the work are refused before any of it."""
    with grid(trial.scratch / "grid", 0) as made:
        for _ in range(2):
            made.worker(preload)
        made.wait(2)
        code, said = ended(*trial.run(cluster=made.address), out=trial.out)
    return _as_refused(trial, code, said, words)


def _as_refused(trial: Trial, code: int | None, said: str, words: Sequence[str]) -> Answer:
    told = all(word.lower() in said.lower() for word in words)
    left = found_in(trial.out)
    right = code in {1, 2} and told and "Traceback" not in said and not left.products
    return Answer(f"exit {code}, said: {told}, {len(left.products)} products", right)


def _no_worker(trial: Trial) -> Answer:
    with grid(trial.scratch / "grid", 0) as made:
        code, said = ended(*trial.run(cluster=made.address), out=trial.out)
    return _as_refused(trial, code, said, ["waiting for workers", "none"])


def _other_folder(folder: str, trial: Trial) -> Answer:
    """Another disk lies over a folder where the workers are: they see nothing of it."""
    trial.out.mkdir()
    hidden = {"output": trial.out, "program": trial.program}[folder]
    script = f'mount -t tmpfs none "{hidden}" && exec "$@"'
    prefix = ["unshare", "-m", "sh", "-c", script, "sh"]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        raise Skipped("this user may not mount a disk")
    with grid(trial.scratch / "grid", 0) as made:
        for _ in range(2):
            made.worker(prefix=prefix)
        made.wait(2)
        code, said = ended(*trial.run(cluster=made.address), out=trial.out)
    found: Found = found_in(trial.out)
    right = code in {1, 2} and not found.counts.get("COMPLETE") and "Traceback" not in said
    return Answer(
        f"exit {code}, {dict(found.counts) or 'refused'}",
        right and "Check the path" not in said and not found.missing,
    )


CLUSTER_CASES: dict[str, tuple[str, Case]] = {
    "scheduler-killed": ("scheduler killed", _scheduler_killed),
    "scheduler-paused": ("scheduler stopped for 5 s", _scheduler_paused),
    "worker-stopped": ("one of two workers stopped for ever", _worker_stopped),
    "no-memory": ("workers near the limit of their memory", _no_memory),
    "workers-die": ("every worker dies of every unit", _workers_die),
    "no-bkgflow": ("workers without bkgflow", partial(_refused, ["bkgflow", "worker"], BARE)),
    "other-bkgflow": ("workers with another bkgflow", partial(_refused, ["0.0.1"], OLD)),
    "no-worker": ("no worker at all", _no_worker),
    "other-output": ("workers with another output folder", partial(_other_folder, "output")),
    "no-inputs": ("workers that see no input", partial(_other_folder, "program")),
}
"""By name: what is done to a run, and how."""
