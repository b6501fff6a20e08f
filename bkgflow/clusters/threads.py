"""The executor that has nothing but threads of this process."""

from __future__ import annotations

import heapq
import os
import time
from collections import defaultdict
from collections.abc import Callable, Hashable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any

from bkgflow.clusters.attempts import OnAttempt, unheard
from bkgflow.clusters.executor import POLICY, Executor, OnEnd, OnStart, Say, Telling, silent
from bkgflow.clusters.failure import Failure
from bkgflow.clusters.feed import Feed
from bkgflow.clusters.measured import Ended, attempt_of, measured
from bkgflow.clusters.policy import RetryPolicy
from bkgflow.clusters.tries import Tries
from bkgflow.errors import UsageError
from bkgflow.graph.finish import Finished, published
from bkgflow.graph.workload import Parts, Tasks, Workload
from bkgflow.verdict import Verdict

__all__ = ["ThreadExecutor"]


class ThreadExecutor(Executor):
    """Computes units on a pool of threads; they share the memory of this process."""

    ends_tasks = False

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers

    @property
    def where(self) -> str:
        """How many threads."""
        return f"{self.workers or 'all'} threads of this process"

    def execute(
        self,
        work: Workload,
        on_start: OnStart,
        on_end: OnEnd,
        say: Say = silent,
        on_attempt: OnAttempt = unheard,
        policy: RetryPolicy = POLICY,
    ) -> None:
        """Compute; what has begun when the run is stopped comes to its end.

        Raises
        ------
        UsageError
            If units have a time limit: no thread can be ended.
        """
        if policy.timeout is not None:
            raise UsageError(
                "A time limit for units must be kept by worker processes: threads cannot be ended",
                value=f"timeout={policy.timeout:g}",
                cure='Compute with cluster="local" (--cluster local), or leave the limit out',
            )
        threads = self.workers or os.cpu_count() or 1
        telling = Telling(on_start, on_end, on_attempt, say)
        with ThreadPoolExecutor(threads) as pool:
            _Run(Feed(work), Tries(policy), telling, pool, threads).run()


class _Run:
    """One workload: tasks that wait, that can begin, and that are under way."""

    def __init__(
        self, feed: Feed, tries: Tries, telling: Telling, pool: ThreadPoolExecutor, threads: int
    ) -> None:
        self.feed, self.tries, self.telling = feed, tries, telling
        self.pool, self.threads, self.window = pool, threads, 2 * threads
        self.tasks: Tasks = {}
        self.results: dict[Hashable, object] = {}
        self.missing: dict[Hashable, int] = {}
        self.users: dict[Hashable, list[Hashable]] = defaultdict(list)
        self.ready: list[tuple[int, Hashable]] = []
        self.running: dict[Future[object], Hashable | None] = {}
        self.unit_of: dict[Hashable, str] = {}
        self.open: dict[str, Parts] = {}
        self.parked: dict[str, list[str]] = {}
        self.later: list[tuple[float, int, str]] = []
        self.numbers = count()

    def run(self) -> None:
        """Compute until all has ended."""
        try:
            while self.feed.left:
                self._fill()
                self._begin()
                self._wait()
                self._try_again()
        except BaseException:
            wait(self.running)
            for future in list(self.running):  # what had begun has ended by now
                with suppress(Exception):
                    self._late(future)
            raise

    # What can begin.

    def _fill(self) -> None:
        """Take units, where there may be too few for all threads."""
        free = self.window - len(self.unit_of)
        if free < max(1, self.window // 4):
            return
        work = self.feed.workload
        for unit in self.feed.take(free):
            group = work.group(unit)
            if group in self.parked:
                self.parked[group].append(unit)
                continue
            if group and group not in self.open:
                self._open(group)
            key, task = work.last(unit)
            self.unit_of[key] = unit
            self._add(key, (task, *(self.open[group].keys[work.shared(unit)] if group else ())))

    def _open(self, group: str) -> None:
        wanted = self.feed.shared_in(group)
        parts = self.open[group] = self.feed.workload.parts(wanted, self.tries.way(group).divisor)
        for key, task in parts.tasks.items():
            self._add(key, task)

    def _add(self, key: Hashable, task: tuple[Any, ...]) -> None:
        self.tasks[key] = task
        missing = [each for each in task[1:] if each not in self.results]
        self.missing[key] = len(missing)
        for each in missing:
            self.users[each].append(key)
        if not missing:
            heapq.heappush(self.ready, (next(self.numbers), key))

    def _begin(self) -> None:
        while self.ready and len(self.running) < self.threads:
            _, key = heapq.heappop(self.ready)
            if key not in self.tasks:  # what it belongs to has failed meanwhile
                continue
            task, *upstream = self.tasks[key]
            given = [self.results[each] for each in upstream]
            if key in self.unit_of:
                self.tries.begun(self.unit_of[key])
                self.telling.start(self.unit_of[key])
                task = partial(_end, task)
            self.running[self.pool.submit(task, *given)] = key

    # What has ended.

    def _wait(self) -> None:
        pause = max(0.0, self.later[0][0] - time.monotonic()) if self.later else None
        if not self.running:
            time.sleep(pause or 0.0)
            return
        for future in wait(self.running, pause, FIRST_COMPLETED).done:
            key = self.running[future]
            if key in self.unit_of:
                self._unit_ended(future, key)
            elif key in self.tasks:
                self._part_ended(key, future.result())
            del self.running[future]  # not before: the run may be stopped here

    def _part_ended(self, key: Hashable, result: object) -> None:
        self.results[key] = result
        for each in self.users.pop(key, ()):
            self.missing[each] = self.missing.get(each, 0) - 1
            if not self.missing[each] and each in self.tasks:
                heapq.heappush(self.ready, (next(self.numbers), each))

    def _unit_ended(self, future: Future[Any], key: Hashable) -> None:
        ended: Ended = future.result()
        unit, verdict = self.unit_of[key], ended.verdict
        self.telling.attempt(unit, attempt_of(self.tries.number(unit), ended))
        if not verdict.passing:
            self._end(unit, verdict)
            self._drop(key)
            return
        self._drop(key)
        group = self.feed.workload.group(unit)
        name = group if ended.handed_on and group else unit
        answer = self.tries.fail(name, Failure.ended(verdict))
        if name == group:
            self.parked[name] = [unit, *self._close(name)]
        if isinstance(answer, Verdict):
            self.parked.pop(name, None)
            for each in self.feed.units_of(name) if name == group else [unit]:
                self._end(each, answer)
        else:
            heapq.heappush(self.later, (time.monotonic() + answer, next(self.numbers), name))

    def _late(self, future: Future[Any]) -> None:
        """Take what ended after the run was stopped."""
        key = self.running.pop(future)
        if key in self.unit_of:
            ended: Ended = future.result()
            self.telling.end(self.unit_of[key], ended.verdict)

    def _end(self, unit: str, verdict: Verdict) -> None:
        """Pass on how a unit ended; results that nobody waits for any more are given up."""
        self.telling.end(unit, verdict)
        group = self.feed.workload.group(unit)
        shared = self.feed.end(unit)
        self.tries.end(unit)
        if shared and group in self.open:
            for key in self.open[group].keys[shared]:
                self._drop(key)
            if not self.feed.shared_in(group):
                self._close(group)
                self.tries.end(group)

    def _close(self, group: str) -> list[str]:
        """Give up the results of a group; return the units that wait for them."""
        for key in self.open.pop(group).tasks:
            self._drop(key)
        keys = [k for k, unit in self.unit_of.items() if self.feed.workload.group(unit) == group]
        waiting = [self.unit_of[key] for key in keys]
        for key in keys:
            self._drop(key)
        return waiting

    def _drop(self, key: Hashable) -> None:
        """Forget a task; if it is under way, nobody wants what comes of it."""
        for held in (self.tasks, self.results, self.missing, self.users, self.unit_of):
            held.pop(key, None)
        for future, its in self.running.items():
            if its == key:
                self.running[future] = None

    def _try_again(self) -> None:
        while self.later and self.later[0][0] <= time.monotonic():
            _, _, name = heapq.heappop(self.later)
            for unit in self.parked.pop(name, [name]):
                self.feed.again(unit)


def _end(task: Callable[..., Finished], *parts: object) -> Ended:
    """End a unit in this thread."""
    verdict, took = measured(partial(published, task, *parts))
    return Ended(verdict, "", any(each is verdict for each in parts), took)
