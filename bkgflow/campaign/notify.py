"""Notifications: people are told when the first unit goes wrong, and when a run has ended."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from bkgflow.campaign.events import Event, RunEnded, RunStarted, UnitEnded
from bkgflow.campaign.log import log
from bkgflow.campaign.messengers import Messenger, NotSentError
from bkgflow.campaign.standing import Standing, never_tried
from bkgflow.planning.plan import Plan
from bkgflow.verdict import State, Verdict

__all__ = ["Notifier"]

TIMEOUT = 30.0
"""Seconds that a message may take."""

AT_END = 10.0
"""Seconds that messages have after the run, when all is kept: the command waits for them."""

MOST = 5
"""Errors in a message, each of another reason."""

LETTERS = 500
"""Of a reason in a message."""


class Notifier:
    """A listener that sends a message at the first unit that is not good, and one at the end.

    A message is JSON: ``event`` ("first_failure" or "end"), ``state`` ("running", "complete",
    "incomplete" or "stopped"), ``run``, ``version``, ``output``, ``started`` (UTC), ``seconds``,
    ``units``, ``done``, ``counts`` by state, ``bytes``, ``stopped``, ``labels``, ``errors`` (the
    first ones: unit, state, reason, and the parts of the error with its cure), and ``text``, all of
    it in a line.

    Parameters
    ----------
    messenger : Messenger
        Who brings it.
    labels : mapping
        Words by which people find the campaign.
    timeout : float
        Seconds that a message may take. One that fails is a line in the log, and nothing else.

    Attributes
    ----------
    patience : float
        Seconds that it has after the run.
    """

    def __init__(
        self,
        messenger: Messenger,
        plan: Plan,
        labels: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT,
        patience: float = AT_END,
    ) -> None:
        self._messenger, self._plan = messenger, plan
        self._labels, self._timeout = dict(labels or {}), timeout
        self.patience = patience
        self._standing = Standing(plan)
        self._errors: dict[str, dict[str, object]] = {}
        self._started: float | None = None

    def __repr__(self) -> str:
        """Who brings the messages, without any secret."""
        return f"notifications by {self._messenger.name}"

    def __call__(self, event: Event) -> None:
        """Take down what has happened, and send a message where it is worth one."""
        self._standing.take(event)
        match event:
            case RunStarted():
                self._started = event.at
            case UnitEnded(unit=unit, verdict=verdict) if not verdict.state.good:
                first = not self._errors and not never_tried(verdict)
                self._keep(unit, verdict)
                if first:
                    self._send("first_failure", event)
            case RunEnded():
                self._send("end", event)

    def close(self) -> None:
        """Give up what is under way."""
        self._messenger.stop()

    def _keep(self, unit: str, verdict: Verdict) -> None:
        if len(self._errors) < MOST and verdict.reason not in self._errors:
            error = None if verdict.error is None else verdict.error.to_dict()
            self._errors[verdict.reason] = {
                "unit": self._standing.names[unit],
                "state": verdict.state.value,
                "reason": verdict.reason[:LETTERS],
                "error": error and {key: (text or "")[:LETTERS] for key, text in error.items()},
            }

    def _send(self, what: str, event: UnitEnded | RunEnded) -> None:
        message = self._message(what, event)
        data = json.dumps(message, indent=1).encode()
        try:
            self._messenger.send(data, str(message["text"]), self._timeout)
        except NotSentError as problem:
            words = "a notification was not sent by %s: %s"
            log.warning(words, self._messenger.name, problem)

    def _message(self, what: str, event: UnitEnded | RunEnded) -> dict[str, object]:
        standing, began = self._standing, self._started or event.at
        stopped = event.stopped if isinstance(event, RunEnded) else ""
        return {
            "event": what,
            "state": self._state(event),
            "run": event.run,
            "version": self._plan.version,
            "output": str(self._plan.output),
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
            "seconds": round(max(event.at - began, 0.0), 3),
            "units": standing.total,
            "done": standing.done,
            "counts": dict(standing.counts),
            "bytes": standing.written,
            "stopped": stopped,
            "labels": self._labels,
            "errors": list(self._errors.values()),
            "text": self._text(event),
        }

    def _state(self, event: UnitEnded | RunEnded) -> str:
        if not isinstance(event, RunEnded):
            return "running"
        if event.stopped:
            return "stopped"
        good = {State.COMPLETE.value, State.SKIPPED.value}
        return "complete" if self._standing.counts.keys() <= good else "incomplete"

    def _text(self, event: UnitEnded | RunEnded) -> str:
        standing, labels = self._standing, [f"{key}={text}" for key, text in self._labels.items()]
        run = " ".join(["bkgflow run", event.run, *labels])
        if isinstance(event, UnitEnded):
            name, verdict = standing.names[event.unit], event.verdict
            return f"{run}: {name} {verdict.state}: {verdict.reason[:LETTERS]}"
        early = f" early ({event.stopped})" if event.stopped else ""
        where = f"{event.seconds:.0f} s, products in {self._plan.output}"
        return f"{run} has ended{early}: {standing.of_all()}; {where}"
