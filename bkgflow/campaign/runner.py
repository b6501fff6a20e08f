"""A plan run to its end, with everything that a run leaves behind; and one unit, here and now."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace

from bkgflow.campaign.compute import FILES, Computed, Work, compute, new_run, run_plan
from bkgflow.campaign.events import Event, Listener, Notice
from bkgflow.campaign.folder import check_space, cleared, result_size
from bkgflow.campaign.log import log, log_events, log_file, log_remarks
from bkgflow.campaign.result import RESULT_FILE, RunResult, all_blocked
from bkgflow.campaign.signals import Stopped, deferred, stoppable
from bkgflow.campaign.tally import announcer
from bkgflow.clusters.base import Cluster
from bkgflow.clusters.executor import POLICY, Executor
from bkgflow.clusters.policy import RetryPolicy
from bkgflow.clusters.threads import ThreadExecutor
from bkgflow.errors import BkgflowError, RunError, UsageError
from bkgflow.io.products.ahead import opened_ahead
from bkgflow.io.products.fits import FitsWriter
from bkgflow.io.products.writer import ProductWriter
from bkgflow.io.storage.leftovers import clear_run
from bkgflow.io.storage.lock import hold
from bkgflow.io.storage.publish import LocalPublish
from bkgflow.io.storage.space import Reserve
from bkgflow.kinds.warm import KINDS, Kind, warm_up
from bkgflow.planning.plan import Plan
from bkgflow.planning.planner import DEFAULT_MEMORY

__all__ = [
    "check_memory",
    "compile_for",
    "run_campaign",
    "run_single",
    "task_memory",
]

MIB = 1 << 20


def run_campaign(
    plan: Plan,
    cluster: Cluster,
    listeners: Iterable[Listener] = (),
    *,
    room: bool = True,
    policy: RetryPolicy = POLICY,
) -> RunResult:
    """Run a plan to its end, with its log and its result beside the products.

    Parameters
    ----------
    room : bool
        Whether the disk must have room for all products before the first one is made.
    policy : RetryPolicy
        What is done about units that fail.

    Raises
    ------
    UsageError
        If the cluster cannot be started or reached, or its workers are too small, or not like
        this process.
    RunError
        If there is no worker, or the cluster goes away before the run begins.
    OutputError
        If another run holds the folder, the products do not fit on its disk, or the log cannot
        be written.
    KeyboardInterrupt
        If that stopped it, after the result was kept.
    SystemExit
        If SIGTERM or SIGHUP stopped it, and nobody but bkgflow handles them; likewise.
    """
    run = new_run()
    with stoppable(), hold(plan.output, run) as before:
        try:
            notes = cleared(plan.output, before)
            if room:
                notes += check_space(plan)
            by = LocalPublish(run=run)
            kept = Reserve.of(plan.output / RESULT_FILE, result_size(plan), by)
            told, writer = tuple(listeners), FitsWriter(by)
            work = Work(run, plan, told, writer, notes=tuple(notes), policy=policy)
            computed = _run(work, cluster, kept)
        finally:
            clear_run(plan.output, run)
        if computed.stop is None:
            return computed.result
        if isinstance(computed.stop, Stopped):
            computed.stop.result = computed.result
        computed.stop.add_note(f"bkgflow: {computed.result.summary}")
        raise computed.stop


def _run(work: Work, cluster: Cluster, kept: Reserve) -> Computed:
    """Compute on a cluster and keep the result, before the cluster is closed and whatever it does.

    Closing may take long, hang, or fail.
    """
    computed, early = None, list[Event]()
    announce = announcer((early.append, *work.listeners))

    def say(text: str) -> None:
        announce(Notice(work.run, text))

    # Threads cannot be ended: a time limit needs processes.
    cluster, why = (cluster, "") if work.policy.timeout else cluster.suited(work.plan)
    if why:
        announce(Notice(work.run, why, minor=True))
    try:
        with _opened(cluster) as executor:
            # What is refused here has left no trace in the folder.
            executor.ready(say)
            check_memory(work.plan, executor)
            executor.check(work.plan, say)
            computed = _logged(work, cluster, executor, kept, early)
    except KeyboardInterrupt as stop:
        with deferred():
            if computed is None:  # it came while the cluster was started
                return Computed(_never_begun(work, kept, str(stop) or "stopped by Ctrl-C"), stop)
            if computed.stop is None:
                return replace(computed, stop=stop)
    except BkgflowError:
        if computed is None:
            raise
    except Exception as problem:
        what = f"{type(problem).__name__}: {problem}"[:300]
        if computed is None:  # it went away before it was asked for anything
            return Computed(_never_begun(work, kept, f"the cluster failed ({what})"))
        log.warning("the cluster was not closed in order: %s", what)
    assert computed is not None
    return computed


def _never_begun(work: Work, kept: Reserve, reason: str) -> RunResult:
    """Keep the result of a run that ended before any of its units."""
    with log_file(work.plan.output / "bkgflow.log"):
        log.error("run %s ends before it began: %s", work.run, reason)
    return all_blocked(work.plan, work.run, reason, work.notes).kept(kept)


@contextmanager
def _opened(cluster: Cluster) -> Iterator[Executor]:
    """Open a cluster; whatever keeps it from opening is said as an error of bkgflow."""
    with ExitStack() as stack:
        try:
            # Workers that are half started could not be ended in order.
            with deferred() if cluster.here else nullcontext():
                executor = stack.enter_context(cluster.open())
        except BkgflowError:
            raise
        except Exception as problem:
            raise RunError(
                "A cluster must be able to start",
                value=f"{type(problem).__name__}: {problem}"[:300],
                cure="Mend what the message says, or compute elsewhere (--cluster)",
            ) from problem
        yield executor


def _logged(
    work: Work, cluster: Cluster, executor: Executor, kept: Reserve, early: Iterable[Event]
) -> Computed:
    """Compute, with the log beside the products, and keep the result there."""
    plan = work.plan

    def prepare() -> None:
        if cluster.here:
            compile_for(plan, log.info)
        else:
            executor.compile(_kinds_of(plan))

    with log_file(plan.output / "bkgflow.log") as file:
        for note in work.notes:
            log.warning("%s", note)
        logged = log_events(plan)
        for event in early:  # what was said before there was a log
            logged(event)
        told = (logged, *work.listeners)
        computed = compute(replace(work, listeners=told), executor, prepare)
        result = computed.result
        if file.trouble:
            result = replace(result, notes=(*result.notes, file.trouble))
        with deferred():
            return replace(computed, result=result.kept(kept))


def compile_for(plan: Plan, say: Callable[[str], object]) -> None:
    """Compile the kernels of a plan's units, so that its tasks on this machine find it done.

    ``say`` gets a sentence before anything that takes long.
    """
    warm_up(_kinds_of(plan), say)


def _kinds_of(plan: Plan) -> list[Kind]:
    wanted = {unit.kind for unit in plan.units if unit.verdict.to_do}
    return [kind for kind in KINDS if kind in wanted]


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
        # Files are this process's own, or there are none: nobody need look for them.
        here = ThreadExecutor(threads)
        result = run_plan(plan, here, writer=ahead, threads=threads, files=False)
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
