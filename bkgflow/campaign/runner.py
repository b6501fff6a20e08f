"""A plan computed by an executor: every unit ends, whatever happens to its neighbours."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from uuid import uuid4

from bkgflow.campaign.compiling import compile_for
from bkgflow.campaign.events import (
    Announcer,
    Listener,
    RunEnded,
    RunStarted,
    UnitEnded,
    UnitStarted,
)
from bkgflow.campaign.log import log, log_remarks
from bkgflow.campaign.result import RunResult
from bkgflow.clusters.base import LOST, Executor
from bkgflow.clusters.threads import ThreadExecutor
from bkgflow.errors import UsageError
from bkgflow.graph.build import build
from bkgflow.io.products.fits import FitsWriter
from bkgflow.io.products.writer import ProductWriter
from bkgflow.planning.plan import Plan
from bkgflow.verdict import State, Verdict

__all__ = ["check_memory", "run_plan", "run_single"]

FILES = FitsWriter()

MIB = 1 << 20


def run_plan(
    plan: Plan,
    executor: Executor,
    listeners: Iterable[Listener] = (),
    writer: ProductWriter = FILES,
    threads: int = 1,
) -> RunResult:
    """Compute a plan and publish its products.

    A unit that cannot be done is QUARANTINED with its error and the others go on.

    Parameters
    ----------
    plan : Plan
        What to do.
    executor : Executor
        Where.
    listeners : iterable of callables
        Told what happens, in this thread.
    writer : ProductWriter
        How products are written.
    threads : int
        That one task may use; 1 where many run side by side.

    Returns
    -------
    RunResult
        The end of every unit.
    """
    run = uuid4().hex[:8]
    announce = Announcer(listeners)
    began = time.monotonic()
    verdicts: dict[str, Verdict] = {}

    def start(unit: str) -> None:
        announce(UnitStarted(run, unit))

    def end(unit: str, verdict: Verdict) -> None:
        verdicts[unit] = verdict
        announce(UnitEnded(run, unit, verdict))

    announce(RunStarted(run, len(plan.units), executor.where))
    for unit in plan.units:
        if unit.verdict.state == State.QUARANTINED:
            end(unit.digest, unit.verdict)
    graph = build(plan, writer=writer, threads=threads)
    if graph.ends:
        executor.execute(graph, start, end)
    # A cluster that went away leaves units behind; they end as well, so that nobody waits.
    for unit in plan.units:
        if unit.digest not in verdicts:
            end(unit.digest, LOST)
    seconds = time.monotonic() - began
    announce(RunEnded(run, seconds))
    return RunResult(plan, tuple(verdicts[unit.digest] for unit in plan.units), seconds, run)


def run_single(plan: Plan, writer: ProductWriter = FILES) -> Verdict:
    """Compute a plan of one unit on threads of this process; say in the log how it went.

    Raises
    ------
    BkgflowError
        What is wrong with the unit.
    """
    # One unit has the machine to itself: each of its tasks may use every core.
    threads = os.cpu_count() or 1
    compile_for(plan, log.info)
    result = run_plan(plan, ThreadExecutor(threads), writer=writer, threads=threads)
    [(unit, verdict)] = result.pairs()
    if verdict.error is not None:
        raise verdict.error
    log_remarks(unit, verdict)
    if verdict.reason:
        log.warning("%s: %s %s", unit.target, verdict.state, verdict.reason)
    for path in verdict.products[1:]:
        log.info("combined background written to %s", path)
    return verdict


def check_memory(plan: Plan, executor: Executor) -> None:
    """Refuse a plan of which one task alone is too large for a worker.

    Raises
    ------
    UsageError
        If it is; nothing was computed.
    """
    limit, task = executor.worker_memory, plan.costs.task
    if limit is not None and task > limit:
        raise UsageError(
            "A task must fit into the memory of a worker",
            value=f"a task of this plan holds up to {task / MIB:.0f} MiB, "
            f"a worker may have {limit / MIB:.0f} MiB",
            cure="Give the workers more memory (--memory), "
            "or plan for less (bkgflow.plan(…, memory=BYTES))",
        )
