"""Units computed by a scheduler, a few at a time: fed, begun, ended, lost, and tried again."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any

from distributed import Client, Future, KilledWorker
from distributed.client import ClosedClientError

from bkgflow.clusters.crew import Limits
from bkgflow.clusters.deaths import Deaths, Gone, Told
from bkgflow.clusters.drain import let_end
from bkgflow.clusters.executor import LOST, Telling
from bkgflow.clusters.failure import Cause, Failure
from bkgflow.clusters.feed import Feed
from bkgflow.clusters.flights import Flight, Flights, Group, began_on
from bkgflow.clusters.measured import Began, Ended, attempt_of, told_of
from bkgflow.clusters.news import all_news
from bkgflow.clusters.on_worker import stop
from bkgflow.clusters.policy import RetryPolicy, window_for
from bkgflow.clusters.results import problem_of, results_of, unseen_input
from bkgflow.clusters.retries import Larger, LargerReady, Retries
from bkgflow.clusters.trial import Trial
from bkgflow.clusters.tries import Tries
from bkgflow.clusters.watch import Notice, Stuck, Watch
from bkgflow.errors import RunError

__all__ = ["Computation"]

log = logging.getLogger("bkgflow.clusters")

LOOK_AGAIN = 0.1
"""Seconds after which a future is asked once more that was lost: its callback comes at once."""

GRACE = 1.0
"""Seconds that a unit gets beyond its time: news of its end may be on the way."""

PLENTY = 2
"""Units of each thread beyond which nobody waits for the driver, if others are still to come."""

PATIENCE = 1.0
"""Seconds after which it is looked whether all is well, where there is no news."""


class Computation:
    """Has a scheduler compute what a feed gives, as long as that scheduler is there.

    Parameters
    ----------
    trial : Trial or None
        What workers must have passed to compute; None where they cannot differ.
    asked : collection of str
        Workers that were asked already.
    larger : Larger or None
        Starts a worker with more memory.
    """

    def __init__(
        self,
        client: Client,
        feed: Feed,
        tries: Tries,
        telling: Telling,
        trial: Trial | None,
        asked: Collection[str],
        limits: Limits,
        larger: Larger | None = None,
    ) -> None:
        self.client, self.feed, self.tries, self.telling = client, feed, tries, telling
        self.trial, self.limits = trial, limits
        self.policy: RetryPolicy = tries.policy
        # Starts and deaths come over topics, ends as futures, and one queue brings all here.
        self.said: SimpleQueue[Any] = SimpleQueue()
        self.watch = Watch(client, self.said.put, trial, asked, limits)
        self.flights = Flights(client, feed, tries, trial.name if trial else "", self.said.put)
        self.deaths = Deaths(client, self.watch, self.said.put)
        self.retries = Retries(client, self.flights, telling, larger, self.said.put)
        self.stuck: RunError | None = None
        self.problem: Exception | None = None
        self._dying: dict[str, list[tuple[Flight | Group, Began | None]]] = {}

    def run(self) -> RunError | None:
        """Compute until all has ended or the scheduler is gone; return why nothing goes on."""
        topic = self.flights.topic
        try:
            self.watch.start()
            self.client.subscribe_topic(topic, lambda event: self.said.put(tuple(event[1])))
            self.deaths.start()
            while self.feed.left and self.stuck is None and self.client.status == "running":
                self._fill()
                self._take(self._news())
                self._give_up_late_ones()
                self.retries.look()
        except (ClosedClientError, OSError) as problem:  # the scheduler went away under a call
            log.warning("a call to the scheduler failed: %r", problem, exc_info=True)
            self.problem = problem
        except BaseException:  # the run is stopped: what has begun comes to its end
            flights = self.flights.units.values()
            left = {each.unit: each.future for each in flights}
            begun = {each.unit for each in flights if each.began}
            ends = partial(self._late, left)
            let_end(self.client, partial(stop, topic), left, begun, self.said, ends)
            raise
        finally:
            self.feed.all_again()
            self.watch.stop()
            if self.client.status == "running":  # else the scheduler forgets us by itself
                self._clear(topic)
        return self.stuck

    def _clear(self, topic: str) -> None:
        self.deaths.stop()
        with suppress(ClosedClientError, OSError):
            self.client.unsubscribe_topic(topic)
            self.flights.cancel_all()

    # To the scheduler.

    def _fill(self) -> None:
        """Give the scheduler units, where a quarter of the window is free."""
        window = self.limits.window or window_for(self.watch.threads)
        free = window - len(self.flights.units)
        if not self.feed.waits or (self.flights.units and free < max(1, window // 4)):
            return
        units = [unit for unit in self.feed.take(free) if not self.retries.parks(unit)]
        groups = dict.fromkeys(map(self.feed.workload.group, units))
        # What is next is computed ahead, while the last units of its forerunner are done.
        if (ahead := self.feed.ahead()) not in self.retries.parked:
            groups[ahead] = None
        self.flights.open(groups)
        if units:
            self.flights.add(units)

    def _news(self) -> list[Any]:
        """Wait for news, but not beyond what is due; return all that there are."""
        due = min(self.retries.due, self.flights.next_due(), time.monotonic() + PATIENCE)
        plenty = self.feed.waits and len(self.flights.units) > PLENTY * self.watch.threads
        return all_news(self.said, due - time.monotonic(), together=plenty)

    # From the scheduler.

    def _take(self, news: list[Any]) -> None:
        finished: list[Future] = []
        for each in news:
            match each:
                case ("begins", *said):
                    self._begin(Began(*said))
                case ("stranger", worker):
                    self.watch.stranger(worker)
                case Notice(text):
                    self.telling.say(text)
                case Stuck(error):
                    self.stuck = error
                case Gone():
                    self._worker_gone(each)
                case Told():
                    self._worker_told(each)
                case LargerReady():
                    self.retries.go(each.name, each.address)
                case Future(status="finished"):
                    finished.append(each)
                case Future(status="lost" | "pending"):
                    # Its worker died with the result: the scheduler computes it once more.
                    self._ask_again(each)
                case _:
                    self._raised(each)
        for flight, ended in self._gathered(finished):
            self._end(flight, ended)

    def _flight_of(self, future: Future) -> Flight | None:
        found = self.flights.of_key(str(future.key))
        return found if isinstance(found, Flight) else None

    def _begin(self, began: Began) -> None:
        """Take notice that a task begins."""
        due = math.inf
        if self.policy.timeout is not None:
            due = time.monotonic() + self.policy.timeout + GRACE
        match self.flights.of_key(began.key):
            case Flight() as flight:
                flight.began, flight.due = began, due
                self.tries.begun(flight.unit)
                self.telling.start(flight.unit)
            case Group() as group:
                if not group.began:
                    self.tries.begun(group.name)
                group.began[began.key], group.due[began.key] = began, due

    def _gathered(self, futures: list[Future]) -> Iterator[tuple[Flight, Ended]]:
        """Fetch results together: one by one they would take milliseconds each."""
        wanted = [each for each in futures if self._flight_of(each) is not None]
        if not wanted:
            return
        for future, result in zip(wanted, results_of(self.client, wanted), strict=True):
            flight = self._flight_of(future)
            if flight is None:  # what was shared failed, as its neighbor said
                continue
            if result is None:
                self._ask_again(future)
            else:
                yield flight, result

    def _end(self, flight: Flight, ended: Ended) -> None:
        """Pass on how a unit ended, then forget it: stopped in between, it is passed on twice."""
        unit, verdict, number = flight.unit, ended.verdict, self.tries.number(flight.unit)
        if unseen := unseen_input(ended, self.trial):
            attempt = attempt_of(number, ended, unseen.message)
            self.retries.unit_failed(unit, Failure.raised(unseen), attempt)
        elif verdict.passing and ended.handed_on and flight.group:
            failure = Failure.ended(verdict)
            self.retries.group_failed(flight.group, failure, attempt_of(number, ended))
        elif verdict.passing:
            self.retries.unit_failed(unit, Failure.ended(verdict), attempt_of(number, ended))
        else:
            if verdict.state.good:
                self.watch.good_end()
            if ended.measured is not None:
                self.telling.attempt(unit, attempt_of(number, ended))
            self.telling.end(unit, verdict)
            self.flights.end(unit)

    def _raised(self, future: Future) -> None:
        """Take notice of a task that raised, was cancelled, or waited on workers that died."""
        flight = self._flight_of(future)
        if flight is None or self.client.status != "running":
            return
        problem = problem_of(future)
        failure = Failure.raised(problem)
        if isinstance(problem, KilledWorker):
            # Its scheduler has lost patience before us. What had begun is told by who is gone.
            at_fault = self.flights.of_key(str(problem.task)) or flight
            if at_fault.way.alone:
                self._fail(at_fault, None, Failure(Cause.KILLED, str(problem)))
            else:
                self._suspect(at_fault, held=False)
        else:
            number = self.tries.number(flight.unit)
            attempt = told_of(number, flight.began, failure)
            self.retries.unit_failed(flight.unit, failure, attempt)

    def _late(self, left: dict[str, Future], future: Future) -> None:
        """Take a result that came after the run was stopped."""
        for flight, ended in self._gathered([future]):
            if ended.verdict != LOST:  # it never began
                self.telling.end(flight.unit, ended.verdict)
                self.flights.end(flight.unit)
                del left[flight.unit]

    def _ask_again(self, future: Future) -> None:
        again = partial(future.add_done_callback, self.said.put)
        loop = self.client.loop
        loop.add_callback(loop.call_later, LOOK_AGAIN, again)

    # Workers that died, and tasks that take too long.

    def _worker_gone(self, gone: Gone) -> None:
        """Take back what a worker had begun that is gone: it may kill the next one as well."""
        if not gone.blamed:
            return  # the scheduler gives its tasks to others
        held = {key: self.flights.of_key(key) for key in gone.keys}
        had = [(key, each) for key, each in held.items() if each is not None]
        fallen: list[tuple[Flight | Group, Began | None]] = [
            (each, began) for key, each in had if (began := began_on(gone.worker, key, each))
        ]
        if not fallen:  # it died so fast that nothing was heard of it
            fallen = [(each, None) for _, each in had if each.way.alone]
            for _, each in had:
                if not each.way.alone:
                    self._suspect(each)
        for each, _ in fallen:
            if isinstance(each, Flight):
                self.flights.take_back(each.unit)
            elif each.name in self.flights.groups:
                units = self.flights.close(each.name)
                self.retries.parked.setdefault(each.name, []).extend(units)
        if fallen:
            self._dying.setdefault(gone.worker, []).extend(fallen)
            process = next((began.process for _, began in fallen if began), "")
            self.deaths.ask(gone.worker, process)

    def _worker_told(self, told: Told) -> None:
        """Decide about what a worker had begun that died."""
        failure = Failure(Cause.KILLED, told.reason)
        for each, began in self._dying.pop(told.worker, ()):
            self._fail(each, began, failure, told.lines)

    def _suspect(self, each: Flight | Group, *, held: bool = True) -> None:
        """Try alone what was with a worker that died, if that was not the first one.

        ``held`` says whether the scheduler still has it, and gives it to another worker itself.
        """
        name = each.unit if isinstance(each, Flight) else each.name
        if self.tries.suspect(name) or not held:
            if isinstance(each, Flight):
                self.flights.take_back(name)
                self.feed.again(name)
            else:
                for unit in self.flights.close(name):
                    self.feed.again(unit)

    def _fail(
        self,
        each: Flight | Group,
        began: Began | None,
        failure: Failure,
        log: tuple[str, ...] = (),
    ) -> None:
        if isinstance(each, Flight):
            attempt = told_of(self.tries.number(each.unit), began, failure, log)
            self.retries.unit_failed(each.unit, failure, attempt)
        else:
            attempt = told_of(self.tries.number(each.name), began, failure, log)
            self.retries.group_failed(each.name, failure, attempt)

    def _give_up_late_ones(self) -> None:
        """Take back what takes too long, and have its worker started again."""
        seconds = self.policy.timeout or 0.0
        for each, began in self.flights.late(time.monotonic()):
            where = began.worker if began else ""
            why = f"was given up on worker {where} after {seconds:g} s"
            self._fail(each, began, Failure(Cause.TIME, why))
            self.watch.restart(where, f"takes longer than {seconds:g} s for a unit")
