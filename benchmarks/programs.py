"""Whole programs: bkgflow on a running cluster, the reference step in a warm pool.

One thread to a worker on both sides. Planning is part of bkgflow's time.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.contender import Contender, Work
from benchmarks.files import empty

if TYPE_CHECKING:
    from benchmarks.inputs import Inputs

__all__ = ["jobs_of", "on_cluster", "peer_pool", "planning_of"]

Job = tuple[Path, tuple[Path, ...]]
"""A target and its backgrounds."""


@contextmanager
def on_cluster(program: Path, output: Path, workers: int) -> Iterator[Work]:
    """Plan and run a program on worker processes that are already there."""
    from distributed import Client, LocalCluster

    import bkgflow

    with (
        LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs=50
        ) as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(workers)

        def run() -> None:
            _check(bkgflow.run(bkgflow.plan(program, output), client))

        def warm_up() -> None:
            client.run(_warm_up_worker, program, output)
            empty(output)
            run()

        yield Work(run, prepare=lambda: empty(output), warm_up=warm_up)


@contextmanager
def peer_pool(jobs: Sequence[Job], output: Path, workers: int) -> Iterator[Work]:
    """Call the reference step for every target, in processes that have called it before."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(workers + 1)
    empty(output / "warm")
    calls = [(job, output) for job in jobs]
    with context.Pool(workers, _warm_up, (barrier, jobs[0], output / "warm")) as pool:
        barrier.wait()

        def run() -> None:
            pool.starmap(_call, calls, chunksize=1)

        yield Work(run, prepare=lambda: empty(output), warm_up=lambda: None)


@contextmanager
def planning(program: Path, output: Path, first: Path) -> Iterator[Work]:
    """Plan a program; afterwards build its graph and weigh it. ``first`` is for the warm-up."""
    import cloudpickle

    import bkgflow
    from bkgflow.graph.build import build

    plans: list[Any] = []

    def run() -> None:
        plans[:] = [bkgflow.plan(program, output)]

    def weigh() -> dict[str, float]:
        units = len(plans[0].units)
        tasks = build(plans[0]).tasks
        apart = sum(len(cloudpickle.dumps(task)) for task in tasks.values())
        return {
            "units": units,
            "tasks_per_unit": len(tasks) / units,
            "graph_bytes_per_unit": len(cloudpickle.dumps(tasks)) / units,
            "task_bytes_per_unit": apart / units,
        }

    yield Work(run, after=weigh, warm_up=lambda: bkgflow.plan(first, output))


def planning_of(inputs: Inputs, units: int, output: Path) -> Contender:
    """Return the planning of so many of the smallest units; ten share four backgrounds."""
    target, *backgrounds = inputs.tiny()
    first = inputs.program("units-first", 10, [target], backgrounds, 10)
    program = inputs.program(f"units-{units}", units, [target], backgrounds, 10)
    return partial(planning, program, output, first)


def jobs_of(members: Mapping[Path, Sequence[Path]]) -> list[Job]:
    """Return what a pool is given for targets and their backgrounds."""
    return [(target, tuple(backgrounds)) for target, backgrounds in members.items()]


def _check(result: object) -> None:
    """See that every unit was done."""
    if not getattr(result, "ok", False):
        raise RuntimeError(f"not all was done:\n{result}")


def _warm_up_worker(program: Path, output: Path) -> None:
    """Do a program's first unit in this worker, so that not the first only is warm."""
    import bkgflow

    first = min(program.glob("*_asn.json"))
    plan = bkgflow.plan(first, output / f"warm-{os.getpid()}")
    _check(bkgflow.run(plan, "threads", workers=1))


def _warm_up(barrier: Barrier, job: Job, output: Path) -> None:
    """Start a process of the pool: import all, and call the step once."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    folder = output / multiprocessing.current_process().name
    empty(folder)
    _call(job, folder)
    barrier.wait()


def _call(job: Job, output: Path) -> None:
    from benchmarks.peer import subtract

    subtract(*job, output)
