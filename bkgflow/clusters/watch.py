"""Workers that are watched while a run goes on: who is new, silent, paused, or gone."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from distributed import Client

from bkgflow.clusters.crew import Crew, Limits, Workers, limit_of, send_away, start_again
from bkgflow.clusters.preflight import ask
from bkgflow.clusters.refusals import nobody, too_many_deaths
from bkgflow.clusters.trial import Trial
from bkgflow.errors import BkgflowError, RunError
from bkgflow.texts import many

__all__ = ["Notice", "Stuck", "Watch"]

log = logging.getLogger("bkgflow.clusters")


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence that a user should read while the run goes on."""

    text: str


@dataclass(frozen=True, slots=True)
class Stuck:
    """The run cannot go on, and why."""

    error: RunError


class Watch:
    """Looks at a cluster's workers again and again, and does what must be done.

    Parameters
    ----------
    client : Client
        Of the cluster; everything runs in its event loop.
    tell : callable
        Given every `Notice`, and at most one `Stuck`.
    trial : Trial or None
        What new workers are asked; None where they cannot differ.
    known : iterable of str
        Workers that have been asked already.
    """

    def __init__(
        self,
        client: Client,
        tell: Callable[[Notice | Stuck], object],
        trial: Trial | None = None,
        known: Iterable[str] = (),
        limits: Limits | None = None,
    ) -> None:
        self.client, self.tell, self.trial = client, tell, trial
        self.limits = limits or Limits()
        self.crew = Crew()
        self.asked = set(known)
        self.good = set(known)
        self.removed: set[str] = set()
        self.restarts: dict[str, int] = {}
        self.idle = self.unanswered = 0.0
        self.deaths = 0
        self.said_idle = ""
        self.stuck = False
        self.nannies: dict[str, str] = {}
        self._workers: Workers = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._main: Any = None

    def start(self) -> None:
        """Begin; returns at once."""
        loop = self.client.loop.asyncio_loop
        workers = self.client.scheduler_info(n_workers=-1)["workers"]
        loop.call_soon_threadsafe(self._look, workers, 0.0)
        self._main = asyncio.run_coroutine_threadsafe(self._run(), loop)

    def stop(self) -> None:
        """End; returns at once."""
        if self._main is None:
            return
        self._main.cancel()
        loop = self.client.loop.asyncio_loop
        for each in tuple(self._tasks):
            loop.call_soon_threadsafe(each.cancel)

    def good_end(self) -> None:
        """A unit ended well: whoever died before did not die of everything."""
        self.deaths = 0

    def leave(self, worker: str) -> None:
        """A worker leaves because it was told to: that is no death. In the client's loop."""
        if worker in self.crew.members:
            self.removed.add(worker)

    def stranger(self, worker: str) -> None:
        """A worker without admission has got a task: ask it. Called from any thread."""
        self.client.loop.add_callback(self._meet, {worker: {}})

    async def _run(self) -> None:
        looked = time.monotonic()
        while not self.stuck:
            await asyncio.sleep(self.limits.interval * max(1, len(self.crew.members) / 100))
            now = time.monotonic()
            # A pause of this process must not be taken for one of the workers.
            elapsed, looked = min(now - looked, 2 * self.limits.interval + 1), now
            try:
                said = await asyncio.wait_for(self.client.scheduler.identity(), 10)
            except (OSError, TimeoutError):
                self._no_answer(time.monotonic() - now + elapsed)
                looked = time.monotonic()
                continue
            except Exception:  # the client was closed under us: whoever waits for it ends the run
                log.debug("the workers cannot be looked at", exc_info=True)
                continue
            self.unanswered = 0.0
            self._look(said["workers"], elapsed)

    @property
    def threads(self) -> int:
        """How many threads the workers had at the last look; 0 before the first."""
        return sum(int(said["nthreads"]) for said in tuple(self._workers.values()))

    def restart(self, worker: str, why: str) -> None:
        """Have a worker started again, or sent away where it has no nanny. From any thread."""

        def act() -> None:
            if worker in self._workers and worker not in self.removed:
                self._restart(worker, self._workers, why)

        self.client.loop.add_callback(act)

    def _look(self, workers: Workers, elapsed: float) -> None:
        """Act on what is seen."""
        self._workers = workers
        self.nannies.update({each: str(said.get("nanny") or "") for each, said in workers.items()})
        gone = self.crew.look(workers, elapsed)
        self._miss(gone)
        if self.trial is not None:
            self._meet({each: workers[each] for each in workers.keys() - self.asked})
        works = [each for each, said in workers.items() if said["status"] == "running"]
        for address, member in self.crew.members.items():
            if address in self.removed:
                continue
            if member.silent >= self.limits.silent:
                self._restart(address, workers, f"has been silent for {member.silent:.0f} s")
            elif member.paused >= self.limits.paused:
                self._unpause(address, workers, bool(works))
        self._nobody(workers, works, elapsed)

    # Workers that came late.

    def _meet(self, strangers: Workers) -> None:
        new = strangers.keys() - self.removed - self.asked
        if self.trial is not None and new:
            self.asked |= new
            self._spawn(self._ask({each: strangers[each] for each in new}, self.trial))

    async def _ask(self, workers: Workers, trial: Trial) -> None:
        try:
            answers = await ask(self.client, trial, workers, self._say, self.limits)
        except BkgflowError as problem:  # the driver itself cannot write there, for one
            log.warning("%s", problem)
            answers = dict.fromkeys(workers, RunError("Workers must be asked", cure="Wait"))
            await asyncio.sleep(5)
        for worker, wrong in answers.items():
            if isinstance(wrong, RunError):
                self.asked.discard(worker)  # if it is still there, it is asked again
            elif wrong is not None:
                self.removed.add(worker)
                self._say(f"worker {worker} came late and is sent away: {wrong.message}")
                await send_away(self.client, worker)
            else:
                self.good.add(worker)
                log.info("worker %s came late and was asked: it may compute", worker)

    # Workers that do not work.

    def _unpause(self, address: str, workers: Workers, others: bool) -> None:
        """Start a paused worker again; without a nanny it can only leave, if there are others."""
        said = workers[address]
        # A worker that is started again has another address, and its name may be its address.
        nanny = str(said.get("nanny"))
        why = f"is paused: its memory is near its limit{limit_of(said)}"
        if said.get("nanny") and self.restarts.get(nanny, 0) < 2:
            self.restarts[nanny] = self.restarts.get(nanny, 0) + 1
            self._restart(address, workers, why)
        elif others:
            self._restart(address, workers, why)

    def _restart(self, address: str, workers: Workers, why: str) -> None:
        self.removed.add(address)
        again = "it is started again" if workers[address].get("nanny") else "it is sent away"
        self._say(f"worker {address} {why}; {again}, and its tasks go to others")
        self._spawn(self._start_again(address))

    async def _start_again(self, address: str) -> None:
        try:
            await start_again(self.client, address)
        finally:  # another process may be at its address now
            self.asked.discard(address)
            self.crew.members.pop(address, None)
            self.removed.discard(address)

    def _miss(self, gone: set[str]) -> None:
        """Take notice of workers that died."""
        died = len(gone - self.removed)
        self.deaths += died
        if died and self.trial is None:  # of other clusters, workers may have left in order
            again = "it is" if died == 1 else "they are"
            self._say(
                f"{many(died, 'worker process', 'worker processes')} died: {again} started again,"
                " and what was lost is done again"
            )
        if self.trial is not None and (unknown := gone - self.good - self.removed):
            self._say(f"worker {min(unknown)} went away before it could be asked: see its log")
        self.removed -= gone
        self.asked -= gone
        self.good -= gone
        if self.deaths >= self.limits.deaths:
            self._end(too_many_deaths(self.deaths))

    # Nobody works.

    def _nobody(self, workers: Workers, works: list[str], elapsed: float) -> None:
        """Count the time in which nobody works; say it, and end the run after a while."""
        self.idle = 0.0 if works else self.idle + elapsed
        if works:
            self.said_idle = ""
            return
        paused = sum(said["status"] == "paused" for said in workers.values())
        limit = self.limits.all_paused if paused else self.limits.nobody
        error = nobody(workers, paused)
        kind = "paused" if paused else "none"
        if self.idle >= self.limits.word and self.said_idle != kind:
            self.said_idle = kind
            self._say(f"nobody works: {error.value}; waiting, up to {limit:.0f} s")
        if self.idle >= limit:
            self._end(error)

    def _no_answer(self, seconds: float) -> None:
        address = self.client.scheduler.address
        before, self.unanswered = self.unanswered, self.unanswered + seconds
        if before < self.limits.word <= self.unanswered:
            self._say(f"the scheduler {address} does not answer: waiting")
        if self.unanswered >= self.limits.nobody:
            self._end(
                RunError(
                    "The scheduler must answer",
                    value=f"{address} has said nothing for {self.unanswered:.0f} s",
                    cure="See whether it still runs, then run again",
                )
            )

    def _end(self, error: RunError) -> None:
        if not self.stuck:
            self.stuck = True
            self.tell(Stuck(error))

    def _say(self, text: str) -> None:
        self.tell(Notice(text))

    def _spawn(self, work: Any) -> None:
        """Do something beside the watch; what goes wrong with it is seen at the next look."""
        task = asyncio.ensure_future(_quiet(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _quiet(work: Any) -> None:
    try:
        await work
    except (OSError, TimeoutError, BkgflowError) as problem:
        log.warning("a worker could not be asked, or started again: %s", problem)
    except Exception:
        log.exception("a worker could not be asked, or started again")
