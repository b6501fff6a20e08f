"""The executor of everything that is reached through a client of dask.distributed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from distributed import Client, Future
from distributed.client import ClosedClientError

from bkgflow.clusters.attempts import OnAttempt, unheard
from bkgflow.clusters.computation import Computation
from bkgflow.clusters.crew import Crew, Limits
from bkgflow.clusters.executor import (
    LOST,
    POLICY,
    Executor,
    OnEnd,
    OnStart,
    Say,
    Telling,
    silent,
)
from bkgflow.clusters.feed import Feed
from bkgflow.clusters.policy import RetryPolicy
from bkgflow.clusters.preflight import examine
from bkgflow.clusters.retries import Larger
from bkgflow.clusters.trial import Trial
from bkgflow.clusters.tries import Tries
from bkgflow.errors import BkgflowError, RunError
from bkgflow.graph.workload import Workload
from bkgflow.kinds.warm import Kind, warm_up
from bkgflow.planning.plan import Plan
from bkgflow.verdict import Verdict

__all__ = ["ClientExecutor"]

COMPILING = 120
"""Seconds that workers may take to compile before the run begins all the same."""

MOST_IDLE = 3
"""Times that a scheduler may go away and come back before any unit has ended."""

BREATH = 0.5
"""Seconds, more with each time, after which a scheduler is called again that took no call."""

GONE = (OSError, TimeoutError, ClosedClientError)
"""What a call raises whose scheduler has gone away."""

_compiled: set[tuple[str, tuple[Kind, ...]]] = set()
"""Workers that were asked to compile, by their address, and for which kinds."""


class ClientExecutor(Executor):
    """Computes units on a distributed cluster, through its client.

    Parameters
    ----------
    own : bool
        Whether the workers are processes that this one started: they cannot differ from it.
    expected : int
        How many workers there will be, as far as that is known; else 0.
    connect : callable or None
        Connects anew within a number of seconds, or raises; None where a scheduler that is gone
        does not come back.
    larger : Larger or None
        Starts a worker with more memory than the others have.
    allow_skew : bool
        Whether workers may have other versions of what results depend on.
    remarks : sequence of str
        What a user should read before the run begins.
    """

    def __init__(
        self,
        client: Client,
        *,
        own: bool = False,
        expected: int = 0,
        connect: Callable[[float], Client] | None = None,
        limits: Limits | None = None,
        larger: Larger | None = None,
        allow_skew: bool = False,
        remarks: Sequence[str] = (),
    ) -> None:
        self.larger, self.allow_skew = larger, allow_skew
        self.remarks = list(remarks)
        self.client, self.own, self.expected, self.connect = client, own, expected, connect
        self.limits = limits or Limits()
        self.address = str(client.scheduler.address)
        self.plan: Plan | None = None
        self.trial: Trial | None = None
        self.asked: set[str] = set()
        self.made: list[Client] = []

    @property
    def where(self) -> str:
        """How many workers, and of which scheduler."""
        with suppress(*GONE):
            return f"{len(self._workers())} workers of {self.address}"
        return f"workers of {self.address}"

    @property
    def worker_memory(self) -> int | None:
        """The least of the workers' memory limits in bytes; None if none has a limit."""
        with suppress(*GONE):
            limits = [int(each.get("memory_limit") or 0) for each in self._workers().values()]
            return min(filter(None, limits), default=None)
        return None

    def _workers(self) -> dict[str, dict[str, Any]]:
        """Return what the scheduler says of each worker, by its address."""
        found: dict[str, dict[str, Any]] = self.client.scheduler_info(n_workers=-1)["workers"]
        return found

    def close(self) -> None:
        """Close the clients that were made when a scheduler had gone away."""
        for each in self.made:
            with suppress(*GONE):
                each.close(timeout=2)

    # Before a run.

    def ready(self, say: Say = silent) -> None:
        """Wait until there is a worker, as long as the limits say.

        Raises
        ------
        RunError
            If none comes, or the scheduler goes away.
        """
        while self.remarks:
            say(self.remarks.pop(0))
        with self._answering():
            _wait_for(self._workers, self.expected, self.limits.nobody, say)

    def check(self, plan: Plan, say: Say = silent) -> None:
        """Ask every worker that is there; those that come later are asked before they compute."""
        self.plan = plan
        if not self.own:
            with self._answering():
                self.trial, self.asked = examine(
                    self.client,
                    Trial.of(plan, allow_skew=self.allow_skew),
                    lambda: self.ready(say),
                    say,
                    self.limits,
                )

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Say of a scheduler that goes away meanwhile that it did."""
        try:
            yield
        except GONE as problem:
            raise self._gone(f": {problem!r}"[:300]) from None

    def _gone(self, why: str) -> RunError:
        return RunError(
            "The scheduler must stay while a run lasts",
            value=f"{self.address} went away{why}",
            cure="Start it and its workers again, then run again",
        )

    def compile(self, kinds: Sequence[Kind]) -> None:
        """Compile on every worker that is there: one process of a machine, others wait for it.

        None starts a second process for it: the workers of a machine are several already, or it
        was given to them core by core.
        """
        with suppress(*GONE):  # a scheduler that is gone by now is met when the graph is computed
            there = [each for each, said in self._workers().items() if said["status"] == "running"]
            asked = [(each, tuple(kinds)) for each in there if self.own or each in self.asked]
            new = [each for each in asked if each not in _compiled]
            self._compile(
                {
                    worker: self.client.submit(
                        warm_up, kinds, helped=False, workers=[worker], pure=False
                    )
                    for worker, _ in new
                }
            )
            _compiled.update(new)

    def _compile(self, futures: dict[str, Future]) -> None:
        """Wait for those that compile; not for workers that are gone, silent or paused by now."""
        crew, began, looked = Crew(), time.monotonic(), time.monotonic()
        while not all(each.done() for each in futures.values()):
            time.sleep(0.02)
            now = time.monotonic()
            if now - began > COMPILING:
                return
            if now - looked >= self.limits.interval:
                workers, looked = self._workers(), now
                crew.look(workers, self.limits.interval)
                of_use = {each for each, said in workers.items() if said["status"] == "running"}
                of_use -= crew.silent(self.limits.silent)
                futures = {each: future for each, future in futures.items() if each in of_use}

    # A run.

    def execute(
        self,
        work: Workload,
        on_start: OnStart,
        on_end: OnEnd,
        say: Say = silent,
        on_attempt: OnAttempt = unheard,
        policy: RetryPolicy = POLICY,
    ) -> None:
        """Compute on the workers; where the scheduler comes back, what is left goes on there."""
        feed, tries = Feed(work), Tries(policy)
        telling = Telling(on_start, on_end, on_attempt, say)
        idle = 0
        while feed.left:
            before = len(feed.left)
            computation = Computation(
                self.client, feed, tries, telling, self.trial, self.asked, self.limits, self.larger
            )
            stuck = computation.run()
            if not feed.left:
                return
            idle = 0 if len(feed.left) < before else idle + 1
            verdict = Verdict.blocked(stuck) if stuck else self._lost(say)
            if verdict is None and idle > MOST_IDLE:
                verdict = self._useless(computation.problem)
            if verdict is None:
                time.sleep(idle * BREATH)
                continue
            for unit in [each for each in work.units if each in feed.left]:
                on_end(unit, verdict)
                feed.end(unit)

    def _useless(self, problem: Exception | None) -> Verdict:
        """Return how units end whose scheduler is there, but takes no calls."""
        if problem is None:
            return LOST
        error = RunError(
            "The scheduler must take what it is given",
            value=f"{self.address}: {type(problem).__name__}: {problem}"[:300],
            cure="See its log and those of the workers, then run again",
        )
        return Verdict.blocked(error)

    def _lost(self, say: Say) -> Verdict | None:
        """Return how the units end that are left; None where the scheduler is there, or again."""
        if self.client.status == "running":
            return None
        closed = self.client.status in {"closing", "closed"}
        if self.connect is None or (closed and not self.own):
            return LOST  # somebody has closed the client
        limit = self.limits.nobody
        what = "it is started again" if self.own else "waiting for it"
        say(f"the scheduler {self.address} went away: {what}, up to {limit:.0f} s")
        deadline = time.monotonic() + limit
        while (left := deadline - time.monotonic()) > 0:
            try:
                self.client = self.connect(min(left, 5))
            except Exception:  # whatever listens there now may answer with anything
                time.sleep(min(left, 0.5))
                continue
            if not self.own:
                self.made.append(self.client)
            self.address = str(self.client.scheduler.address)
            try:
                if self.plan is not None:
                    self.check(self.plan, say)
            except BkgflowError as problem:
                return Verdict.blocked(problem)
            say(f"the scheduler {self.address} is there again: the run goes on")
            return None
        return Verdict.blocked(self._gone(f", and did not come back within {limit:.0f} s"))


def _wait_for(workers: Callable[[], dict[str, Any]], expected: int, limit: float, say: Say) -> None:
    """Return when there is a worker; `RunError` if none comes within ``limit`` seconds."""
    began, said = time.monotonic(), False
    while not (there := workers()):
        passed = time.monotonic() - began
        if passed >= limit:
            raise RunError(
                "A cluster must have a worker",
                value=f"none came within {limit:.0f} s",
                cure="Start workers, or wait longer for them (--wait SECONDS)",
            )
        if not said and passed >= 1:
            of = f"0 of {expected}" if expected else "there is none"
            say(f"waiting for workers ({of}), up to {limit:.0f} s")
            said = True
        time.sleep(0.2)
    if said:
        say(f"workers came: {len(there)}")
