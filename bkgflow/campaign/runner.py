"""A plan run to its end, with everything that a run leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import replace

from bkgflow.campaign.audience import Audience
from bkgflow.campaign.cancel import cancelable
from bkgflow.campaign.compute import Computed, Work, compute, new_run
from bkgflow.campaign.event_lines import EVENTS_FILE, event_lines
from bkgflow.campaign.events import Event, Listener, Notice, RunEnded
from bkgflow.campaign.folder import check_space, cleared, result_size
from bkgflow.campaign.log import LogHandler, log, log_events, log_file
from bkgflow.campaign.result import RESULT_FILE, RunResult, all_blocked
from bkgflow.campaign.resume import Resume
from bkgflow.campaign.session import Session, open_session
from bkgflow.campaign.signals import Stopped, deferred, stoppable
from bkgflow.campaign.single import compile_for, kinds_of, writer_for
from bkgflow.campaign.store import answering, listed, prepare_store
from bkgflow.campaign.tally import announcer
from bkgflow.clusters.base import Cluster, Configured
from bkgflow.clusters.executor import POLICY, Executor
from bkgflow.clusters.local import Threads
from bkgflow.clusters.policy import RetryPolicy
from bkgflow.errors import BkgflowError, RunError, UsageError
from bkgflow.graph.guard import MORE_MEMORY
from bkgflow.io.storage.leftovers import clear_run
from bkgflow.io.storage.lines import Lines
from bkgflow.io.storage.lock import hold
from bkgflow.io.storage.publish import PublishAnywhere
from bkgflow.io.storage.space import Reserve
from bkgflow.planning.plan import Plan
from bkgflow.planning.planner import DEFAULT_MEMORY
from bkgflow.verdict import State

__all__ = [
    "check_memory",
    "run_campaign",
    "task_memory",
]

MIB = 1 << 20

LOG_PATIENCE = 60.0
"""Seconds that the log has, after the run, to be complete: a disk may be slow."""

RESUME = Resume()
"""Everything that is left, for whatever reason."""


def run_campaign(
    plan: Plan,
    cluster: Cluster,
    listeners: Iterable[Listener] = (),
    *,
    room: bool = True,
    resume: Resume = RESUME,
    ledger: str = "",
    labels: Mapping[str, str] | None = None,
    asked: Mapping[str, object] | None = None,
    policy: RetryPolicy = POLICY,
) -> RunResult:
    """Run a campaign to its end: what its ledger says is left of a plan.

    Listeners are told in threads of their own, and have a few seconds after the end
    (`bkgflow.campaign.audience`).

    Parameters
    ----------
    room : bool
        Whether the disk must have room for all products before the first one is made.
    resume : Resume
        What is to be done.
    ledger : str
        Where the ledger is, if not in the output folder: a path or a URL.
    labels, asked : mapping
        Words by which people find the campaign; and the command that makes such a run again.
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
        If another run holds the folder, the products do not fit on its disk, their store does
        not answer, or the log cannot be written.
    KeyboardInterrupt
        If that stopped it, after the result was kept.
    SystemExit
        If SIGTERM or SIGHUP stopped it, and nobody but bkgflow handles them; likewise.
    """
    run = new_run()
    with (
        stoppable(),
        answering(plan),
        hold(plan.output, run) as before,
        cancelable(plan.output, run) as heed,
        closing(Audience(listeners)) as audience,
    ):
        try:
            notes = cleared(plan.output, before, plan.outputs.store)
            with open_session(
                plan, run, resume, ledger=ledger, labels=labels, asked=asked
            ) as session:
                computed = _in_session(
                    session, cluster, audience, heed, notes, room=room, policy=policy
                )
        finally:
            for folder in filter(None, (plan.output, plan.outputs.store)):
                clear_run(folder, run)
        if computed.stop is None:
            return computed.result
        if isinstance(computed.stop, Stopped):
            computed.stop.result = computed.result
        computed.stop.add_note(f"bkgflow: {computed.result.summary}")
        raise computed.stop


def _in_session(
    session: Session,
    cluster: Cluster,
    audience: Audience,
    heed: Listener,
    notes: list[str],
    *,
    room: bool,
    policy: RetryPolicy,
) -> Computed:
    """Do what a campaign has left, and have the ledger say how the run ended."""
    to_do, run = session.to_do, session.writer.run
    if room:
        notes = [*notes, *check_space(to_do)]
    by = PublishAnywhere(run, to_do.output if to_do.outputs.store else None)
    kept = Reserve.of(to_do.output / RESULT_FILE, result_size(session.plan), by)
    work = Work(
        run,
        to_do,
        (audience, heed),
        writer_for(to_do, by),
        notes=tuple(notes),
        policy=policy,
        caught_up=audience.close,
        keeper=session,
        whole=session.plan,
        earlier=session.earlier,
        first=session.choices.summary() if session.choices.resumes else "",
    )
    try:
        return _run(work, cluster, kept, session.begin)
    except BkgflowError as problem:
        session.end(problem.message)
        raise


def _run(work: Work, cluster: Cluster, kept: Reserve, begin: Callable[[], object]) -> Computed:
    """Compute on a cluster and keep the result, before the cluster is closed and whatever it does.

    Closing may take long, hang, or fail.
    """
    computed, early, done = None, list[Event](), list[RunResult]()
    announce = announcer((early.append, *work.listeners))

    def say(text: str) -> None:
        announce(Notice(work.run, text))

    why = ""
    if not any(unit.verdict.state != State.QUARANTINED for unit in work.plan.units):
        cluster = Threads()  # there is nothing to compute, and nobody need wait for workers
    elif isinstance(cluster, Configured):
        cluster = cluster.fitted(work.plan)
    if work.policy.timeout is None:  # threads cannot be ended: a time limit needs processes
        cluster, why = cluster.suited(work.plan)
    if why:
        announce(Notice(work.run, why, minor=True))
    try:
        with _opened(cluster) as executor:
            # What is refused here has left no trace in the folder.
            executor.ready(say)
            check_memory(work.plan, executor)
            executor.check(work.plan, say)
            computed = _logged(work, cluster, executor, kept, early, begin, done)
    except KeyboardInterrupt as stop:
        with deferred():
            if done and computed is None:  # it came between the end and here
                return Computed(done[0], stop)
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
    ended = RunEnded(work.run, 0.0, reason)
    with (
        log_file(work.plan.output / "bkgflow.log"),
        closing(Lines(work.plan.output / EVENTS_FILE)) as lines,
    ):
        log.error("run %s ends before it began: %s", work.run, reason)
        event_lines(work.plan, lines)(ended)
    for listener in work.listeners:
        listener(ended)
    blocked = all_blocked(work.plan, work.run, reason, work.notes)
    return work.result(blocked.verdicts, 0.0, stopped=reason).store(kept)


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
    work: Work,
    cluster: Cluster,
    executor: Executor,
    kept: Reserve,
    early: Iterable[Event],
    begin: Callable[[], object],
    done: list[RunResult],
) -> Computed:
    """Compute, with the log beside the products, and keep the result there, and in ``done``."""
    plan = work.plan

    def prepare() -> None:
        prepare_store(plan)
        if cluster.here:
            compile_for(plan, log.info)
        else:
            executor.compile(kinds_of(plan))

    with (
        log_file(plan.output / "bkgflow.log") as file,
        closing(Lines(plan.output / EVENTS_FILE)) as lines,
        closing(Audience((log_events(plan), event_lines(plan, lines)), LOG_PATIENCE)) as logged,
    ):
        for note in work.notes:
            log.warning("%s", note)
        for event in early:  # what was said before there was a log
            logged(event)
        told: tuple[Listener, ...] = (logged, *work.listeners)
        begin()
        announce = announcer(told)
        for words in (work.first, *work.keeper.notes):
            if words:
                announce(Notice(work.run, words, minor=True))

        def keep(result: RunResult) -> RunResult:
            result = listed(result)
            logged.close()
            more = _missing(file, lines)
            result = replace(result, notes=(*result.notes, *more)).store(kept)
            closed = work.keeper.end(result.stopped)
            for words in closed.mended:
                log.warning("%s", words)
                result = result.noted(words)
            if closed.trouble:
                log.error("%s", closed.trouble)
                result = replace(result.noted(closed.trouble), unkept=closed.trouble)
            done.append(result)
            work.caught_up()  # when all is kept: it may take some seconds
            return result

        return compute(replace(work, listeners=told), executor, prepare, keep)


def _missing(file: LogHandler, lines: Lines) -> list[str]:
    """Return what is missing in the log and in the events beside it."""
    more = [file.trouble] if file.trouble else []
    if lines.trouble:
        more.append(f"{EVENTS_FILE} ends early: {lines.trouble}")
        log.warning("%s", more[-1])
    return more


def check_memory(plan: Plan, workers: Executor | Cluster) -> None:
    """Refuse a plan of which one task alone is too large for a worker; nothing was computed."""
    limit, task = workers.worker_memory, plan.costs.task
    if limit is not None and task > limit:
        raise UsageError(
            "A task must fit into the memory of a worker",
            value=f"a task of this plan holds up to {task / MIB:.0f} MiB, "
            f"a worker may have {limit / MIB:.0f} MiB",
            cure=MORE_MEMORY,
        )


def task_memory(cluster: Cluster) -> int:
    """Return the bytes that one task of a plan for a cluster may hold at a time.

    At most a quarter of a worker's limit: the rest is for results that wait, for the libraries,
    and for what Python does not give back.
    """
    limit = cluster.worker_memory
    return DEFAULT_MEMORY if limit is None else min(DEFAULT_MEMORY, limit // 4)
