"""A plan computed by an executor: every unit ends, whatever happens to its neighbours."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import uuid4

from bkgflow.campaign.events import Listener, Notice, RunEnded, RunStarted
from bkgflow.campaign.folder import Products, gone
from bkgflow.campaign.keeper import Keeper
from bkgflow.campaign.log import log
from bkgflow.campaign.result import RunResult
from bkgflow.campaign.signals import Stopped, deferred
from bkgflow.campaign.tally import FailFastError, OutputLostError, Tally, announcer
from bkgflow.clusters.executor import LOST, POLICY, Executor
from bkgflow.clusters.policy import RetryPolicy
from bkgflow.errors import BkgflowError, UsageError
from bkgflow.graph.build import PlannedWork
from bkgflow.io.products.fits import FitsWriter
from bkgflow.io.products.writer import ProductWriter
from bkgflow.planning.plan import Plan
from bkgflow.verdict import Verdict

__all__ = ["FILES", "Computed", "Work", "compute", "new_run", "run_plan"]

FILES = FitsWriter()
"""Writes products that belong to no run."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a run is given.

    Attributes
    ----------
    run : str
        Its short id.
    listeners : tuple of callables
        Told what happens, in the thread that computes.
    writer : ProductWriter
        How products are written.
    threads : int
        That one task may use; 1 where many run side by side.
    notes : tuple of str
        What is to be said of the run already.
    files : bool
        Whether products are files, which are looked for; no model in memory is one.
    policy : RetryPolicy
        What is done about units that fail.
    caught_up : callable
        Waits until the listeners have heard what happened, for a while.
    keeper : Keeper
        Takes down how units begin and end.
    whole : Plan or None
        Where the plan is a part of what was asked for: all of it.
    earlier : mapping
        How the other units of that ended before, by the digests of their keys.
    first : str
        What is to be said before anything else: what is done of a campaign, and why.
    """

    run: str
    plan: Plan
    listeners: tuple[Listener, ...] = ()
    writer: ProductWriter = FILES
    threads: int = 1
    notes: tuple[str, ...] = ()
    files: bool = True
    policy: RetryPolicy = POLICY
    caught_up: Callable[[], object] = lambda: None
    keeper: Keeper = field(default_factory=Keeper)
    whole: Plan | None = None
    earlier: Mapping[str, Verdict] = field(default_factory=dict)
    first: str = ""

    def result(self, verdicts: Iterable[Verdict], seconds: float, **said: Any) -> RunResult:
        """Return how all that was asked for ended, with what had ended before."""
        now = {u.digest: v for u, v in zip(self.plan.units, verdicts, strict=True)}
        plan = self.whole or self.plan
        together = tuple(
            now[unit.digest] if unit.digest in now else self.earlier[unit.digest]
            for unit in plan.units
        )
        kept = frozenset(self.earlier)
        return RunResult(plan, together, seconds, self.run, notes=self.notes, kept=kept, **said)


@dataclass(frozen=True, slots=True)
class Computed:
    """How a run went, and what stopped it: to be raised when the result has been kept."""

    result: RunResult
    stop: KeyboardInterrupt | None = None


class _ClusterLostError(Exception):
    """The executor failed as a whole."""


def new_run() -> str:
    """Return a short id for a run."""
    return uuid4().hex[:8]


def run_plan(
    plan: Plan,
    executor: Executor,
    listeners: Iterable[Listener] = (),
    writer: ProductWriter = FILES,
    threads: int = 1,
    *,
    files: bool = True,
) -> RunResult:
    """Compute a plan and publish its products; nothing else is left behind.

    A unit that cannot be done is QUARANTINED with its error and the others go on.

    Parameters
    ----------
    plan, executor
        What to do, and where.
    listeners, writer, threads, files
        See `Work`.

    Raises
    ------
    KeyboardInterrupt
        If that stopped it.
    """
    work = Work(new_run(), plan, tuple(listeners), writer, threads, files=files)
    computed = compute(work, executor)
    if computed.stop is not None:
        raise computed.stop
    return computed.result


def compute(
    work: Work,
    executor: Executor,
    prepare: Callable[[], object] = lambda: None,
    keep: Callable[[RunResult], RunResult] = lambda result: result,
) -> Computed:
    """Compute a plan until it is done, or until a signal, the disk or the cluster ends it.

    ``prepare`` is called when the run has been announced, before anything is computed; ``keep``
    with the result when all has ended, while no signal can come between.

    Raises
    ------
    UsageError
        If the executor refuses the work before any of it was done.
    """
    plan, began, started = work.plan, time.monotonic(), datetime.now(UTC)
    products = Products(plan.output)
    look = products.looked_at if work.files else _as_it_is
    announce = announcer(work.listeners)
    fail_fast = work.policy.fail_fast
    tally = Tally(work.run, plan, announce, look, work.keeper, fail_fast=fail_fast)
    stop, reason = None, ""
    try:
        _computed(work, executor, tally, prepare)
    except KeyboardInterrupt as interrupt:
        stop = interrupt
        reason = str(interrupt) if isinstance(interrupt, Stopped) else "stopped by Ctrl-C"
    except UsageError as error:
        if not any(verdict.products for verdict in tally.verdicts.values()):
            raise
        reason = error.message
    except (OutputLostError, FailFastError, _ClusterLostError, BkgflowError) as problem:
        reason = str(problem)
    try:
        with deferred():  # a signal that comes now must not take the result with it
            if reason:
                log.error("the run ends early: %s", reason)
            verdicts, reason = _closed(tally, products, reason)
            seconds = time.monotonic() - began
            tally.announce(RunEnded(work.run, seconds, reason))
            at = started.isoformat(timespec="seconds")
            result = keep(work.result(verdicts, seconds, started=at, stopped=reason))
    except KeyboardInterrupt as interrupt:
        stop = stop or interrupt
    return Computed(result, stop)


def _closed(tally: Tally, products: Products, reason: str) -> tuple[tuple[Verdict, ...], str]:
    """Return how every unit ended, now that no other will, and why the run ends early."""
    output = tally.plan.output
    lost = products.lost()
    if lost and not output.is_dir():
        reason = reason or gone(output).message
    tally.close(reason)
    for path in sorted(lost):
        log.error("%s was there and is gone", path)
    tally.amend(partial(products.now, lost=lost))
    verdicts = tally.in_order()
    if not reason and LOST in verdicts:
        reason = LOST.reason
    return verdicts, reason


def _as_it_is(verdict: Verdict) -> Verdict:
    return verdict


def _computed(work: Work, executor: Executor, tally: Tally, prepare: Callable[[], object]) -> None:
    units = PlannedWork(work.plan, writer=work.writer, threads=work.threads)
    try:
        tally.announce(RunStarted(work.run, len(work.plan.units), executor.where))
        tally.refused()
        prepare()
        if units.units:
            say = partial(_notice, work.run, tally)
            executor.execute(units, tally.start, tally.end, say, tally.tried, work.policy)
    except (BkgflowError, OutputLostError, FailFastError):
        raise
    except Exception as problem:  # whatever a cluster's libraries raise when it goes away
        log.exception("the cluster failed")
        what = f"{type(problem).__name__}: {problem}".rstrip(": ")
        raise _ClusterLostError(f"the cluster failed ({what[:300]})") from problem


def _notice(run: str, tally: Tally, text: str) -> None:
    tally.keeper.said(text)
    tally.announce(Notice(run, text))
