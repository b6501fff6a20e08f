"""Listeners in threads of their own: none of them can slow, stop or hang the run.

Each has a queue, in which it finds the events in the order in which they happened. The thread that
computes puts an event there and goes on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from contextvars import copy_context
from queue import Empty, SimpleQueue

from bkgflow.campaign.events import Event, Listener, Notice, UnitStarted, UnitTried
from bkgflow.campaign.log import log
from bkgflow.campaign.signals import deferred

__all__ = ["MOST", "PATIENCE", "Audience"]

MOST = 10_000
"""Events that may wait for a listener. Of more, minor ones are dropped: that a unit begins. Ends
are not: they refer to verdicts that the run keeps anyway, and there is one for each unit."""

PATIENCE = 5.0
"""Seconds that a listener has, after the run, to hear the rest."""


class _Hearing:
    """One listener, its thread, and what it has not heard yet."""

    def __init__(self, listener: Listener, most: int) -> None:
        self.listener, self.most = listener, most
        self.queue: SimpleQueue[Event | None] = SimpleQueue()
        self.deaf = False
        self.dropped = 0
        # What belongs to this thread, such as a notebook's present cell, belongs to that one.
        work = copy_context().run
        self.thread = threading.Thread(
            target=work, args=(self._hear,), name="bkgflow-listener", daemon=True
        )
        try:
            self.thread.start()
        except RuntimeError as problem:  # the system gives no more threads
            self.deaf = True
            log.warning("a listener of the run is told nothing (%s): %r", problem, listener)

    def put(self, event: Event) -> None:
        if self.deaf:
            return
        if self.queue.qsize() >= self.most and _is_minor(event):
            self.dropped += 1
        else:
            self.queue.put(event)

    def _hear(self) -> None:
        said = False
        while (event := self.queue.get()) is not None and not self.deaf:
            try:
                self.listener(event)
            except BaseException:  # a listener that exits ends its own thread, not the run
                self.deaf = True
                log.exception("a listener of the run failed and is told no more: %r", self.listener)
                break
            if self.dropped and not said:
                said = True
                log.warning(
                    "a listener of the run cannot keep up and is not told of every start: %r",
                    self.listener,
                )
        with suppress(Empty):  # nobody will hear the rest: it need not be kept
            while True:
                self.queue.get_nowait()

    def finish(self, until: float) -> None:
        """Wait until all is heard, but no longer than until then."""
        self.queue.put(None)
        self.thread.join(max(until - time.monotonic(), 0))
        if self.thread.is_alive():
            self.deaf = True
            log.warning(
                "a listener of the run did not keep up and is given up; %d events are left: %r",
                self.queue.qsize(),
                self.listener,
            )


class Audience:
    """Tells listeners what happens, each in a thread of its own.

    A listener that fails is told no more. One that is slow hears later; with many events before
    it, it is not told of every start, and that is said once in the log. After the run it has
    ``patience`` seconds (an attribute of its own, or what is given here) to hear the rest, and is
    given up then, with a warning. A signal waits meanwhile; a second one ends the process.

    Parameters
    ----------
    listeners : iterable of callables
        Each is called in one thread, which is not the one that made it.
    patience : float
        Seconds.
    most : int
        Events that may wait for one listener.
    """

    def __init__(
        self, listeners: Iterable[Listener], patience: float = PATIENCE, most: int = MOST
    ) -> None:
        self._patience = patience
        self._hearings = [_Hearing(each, most) for each in listeners]

    def __call__(self, event: Event) -> None:
        """Tell everybody; this takes microseconds, whatever they do."""
        for each in self._hearings:
            each.put(event)

    def close(self) -> None:
        """Wait until all is heard, for a while; afterwards nobody is told anything."""
        hearings, self._hearings = self._hearings, []
        now = time.monotonic()
        left = [(self._until(each, now), each) for each in hearings if each.thread.ident]
        if not left:
            return
        with deferred():
            for until, each in sorted(left, key=lambda pair: pair[0]):
                each.finish(until)

    def _until(self, hearing: _Hearing, now: float) -> float:
        return now + float(getattr(hearing.listener, "patience", self._patience))


def _is_minor(event: Event) -> bool:
    """Whether a listener can do without an event: a unit's end says all that its start did."""
    if isinstance(event, Notice):
        return event.minor
    return isinstance(event, UnitStarted | UnitTried)
