"""A plan computed by an executor: every unit ends, whatever happens to its neighbours."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from uuid import uuid4

from bkgflow.campaign.events import Event, Listener, RunEnded, RunStarted, UnitEnded, UnitStarted
from bkgflow.campaign.log import log, log_events, log_file, log_remarks
from bkgflow.campaign.result import RunResult
from bkgflow.clusters.base import Cluster
from bkgflow.clusters.executor import LOST, Executor, ThreadExecutor
from bkgflow.errors import UsageError
from bkgflow.graph.build import build
from bkgflow.io.products.ahead import opened_ahead
from bkgflow.io.products.fits import FitsWriter
from bkgflow.io.products.writer import ProductWriter
from bkgflow.kinds.warm import KINDS, Kind, warm_up
from bkgflow.planning.plan import Plan
from bkgflow.planning.planner import DEFAULT_MEMORY
from bkgflow.verdict import State, Verdict

__all__ = [
    "check_memory",
    "compile_for",
    "run_campaign",
    "run_plan",
    "run_single",
    "task_memory",
]

FILES = FitsWriter()

MIB = 1 << 20


def run_campaign(plan: Plan, cluster: Cluster, listeners: Iterable[Listener] = ()) -> RunResult:
    """Run a plan to its end, with its log and its result beside the products.

    Raises
    ------
    UsageError
        If the cluster cannot be started or reached, or its workers are too small.
    OutputError
        If the log or the result cannot be written.
    """
    with cluster.open() as executor:
        # What is refused here has left no trace in the folder.
        check_memory(plan, executor)
        with log_file(plan.output / "bkgflow.log"):
            if cluster.here:
                compile_for(plan, log.info)
            else:
                executor.compile(_kinds_of(plan))
            result = run_plan(plan, executor, [log_events(plan), *listeners])
            # Kept before a cluster is closed: that may take long, or hang.
            result.save(plan.output / "bkgflow-run.json")
    return result


def compile_for(plan: Plan, say: Callable[[str], object]) -> None:
    """Compile the kernels of a plan's units, so that its tasks on this machine find it done.

    ``say`` gets a sentence before anything that takes long.
    """
    warm_up(_kinds_of(plan), say)


def _kinds_of(plan: Plan) -> list[Kind]:
    wanted = {unit.kind for unit in plan.units if unit.verdict.to_do}
    return [kind for kind in KINDS if kind in wanted]


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
    plan, executor
        What to do, and where.
    listeners : iterable of callables
        Told what happens, in this thread.
    writer : ProductWriter
        How products are written.
    threads : int
        That one task may use; 1 where many run side by side.
    """
    run = uuid4().hex[:8]
    announce = _announcer(listeners)
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


def _announcer(listeners: Iterable[Listener]) -> Listener:
    """Tell every listener what happens; one that fails is told no more, and stops no run."""
    told = list(listeners)

    def announce(event: Event) -> None:
        for listener in tuple(told):
            try:
                listener(event)
            except Exception:
                told.remove(listener)
                log.exception("a listener of the run failed and is told no more: %r", listener)

    return announce


def run_single(plan: Plan, writer: ProductWriter = FILES) -> None:
    """Compute a plan of one unit on threads of this process; say in the log how it went.

    Raises
    ------
    BkgflowError
        What is wrong with the unit.
    """
    # One unit has the machine to itself: each of its tasks may use every core.
    threads = os.cpu_count() or 1
    compile_for(plan, log.info)
    with opened_ahead(writer, plan.facts()[plan.units[0].target]) as ahead:
        result = run_plan(plan, ThreadExecutor(threads), writer=ahead, threads=threads)
    [(unit, verdict)] = result.pairs()
    if verdict.error is not None:
        raise verdict.error
    log_remarks(unit, verdict)
    if verdict.reason:
        log.warning("%s: %s %s", unit.target, verdict.state, verdict.reason)
    for path in verdict.products[1:]:
        log.info("combined background written to %s", path)


def check_memory(plan: Plan, workers: Executor | Cluster) -> None:
    """Refuse a plan of which one task alone is too large for a worker; nothing was computed."""
    limit, task = workers.worker_memory, plan.costs.task
    if limit is not None and task > limit:
        raise UsageError(
            "A task must fit into the memory of a worker",
            value=f"a task of this plan holds up to {task / MIB:.0f} MiB, "
            f"a worker may have {limit / MIB:.0f} MiB",
            cure="Give the workers more memory (--memory), "
            "or plan for less (bkgflow.plan(…, memory=BYTES))",
        )


def task_memory(cluster: Cluster) -> int:
    """Return the bytes that one task of a plan for a cluster may hold at a time.

    At most a quarter of a worker's limit: the rest is for results that wait, for the libraries,
    and for what Python does not give back.
    """
    limit = cluster.worker_memory
    return DEFAULT_MEMORY if limit is None else min(DEFAULT_MEMORY, limit // 4)
