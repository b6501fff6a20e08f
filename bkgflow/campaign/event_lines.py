"""The events of a run as lines of JSON, beside its log: for programs that watch or sum up."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from bkgflow.campaign.events import (
    Attempted,
    Event,
    Listener,
    Notice,
    RunEnded,
    RunStarted,
    UnitEnded,
    UnitStarted,
    UnitTried,
)
from bkgflow.campaign.standing import written
from bkgflow.io.storage.lines import Lines
from bkgflow.planning.plan import Plan
from bkgflow.verdict import Verdict

__all__ = ["EVENTS_FILE", "event_lines"]

EVENTS_FILE = "bkgflow-events.jsonl"
"""Name of the file, beside the products; runs are appended to it."""

NAMES: dict[type[Event], str] = {
    RunStarted: "run_started",
    UnitStarted: "unit_started",
    UnitTried: "unit_tried",
    UnitEnded: "unit_ended",
    Notice: "notice",
    RunEnded: "run_ended",
}
"""What the lines call the events."""


def event_lines(plan: Plan, lines: Lines) -> Listener:
    """Return what writes every event of a run as a line of JSON.

    Every line has ``time`` (UTC, ISO 8601, milliseconds), ``run`` and ``event``. Those of units
    have ``unit`` (file name of the target), ``key`` (the digest of its key) and ``attempt`` (from
    1; 0 where it was not computed); the end of an attempt has ``state``, ``reason``, ``worker`` and
    ``seconds``; the end of a unit has ``state``, ``reason``, ``error`` (its
    parts, or null), ``worker``, ``seconds`` since its last start (or null) and ``bytes`` written.
    """
    names = {unit.digest: unit.name for unit in plan.units}
    starts: dict[str, float] = {}
    attempts: dict[str, int] = {}

    def of_unit(event: UnitStarted | UnitTried | UnitEnded) -> dict[str, object]:
        attempt = attempts.get(event.unit, 0)
        match event:
            case UnitStarted():
                attempt = attempts[event.unit] = attempt + 1
                starts[event.unit] = event.at
            case UnitTried():
                attempt = attempts[event.unit] = event.attempt.number
        return {"unit": names.get(event.unit, ""), "key": event.unit, "attempt": attempt}

    def listen(event: Event) -> None:
        line = {"time": _iso(event.at), "run": event.run, "event": NAMES[type(event)]}
        match event:
            case RunStarted():
                more = {"version": plan.version, "units": event.units, "where": event.where}
            case UnitStarted():
                more = of_unit(event)
            case UnitTried():
                more = of_unit(event) | _attempt(event.attempt)
            case UnitEnded():
                began = starts.pop(event.unit, None)
                seconds = None if began is None else round(max(event.at - began, 0.0), 3)
                more = of_unit(event) | _end(event.verdict) | {"seconds": seconds}
            case Notice():
                more = {"text": event.text, "minor": event.minor}
            case RunEnded():
                more = {"seconds": round(event.seconds, 3), "reason": event.stopped}
        lines.append(json.dumps(line | more))

    return listen


def _end(verdict: Verdict) -> dict[str, object]:
    return {
        "state": verdict.state.value,
        "reason": verdict.reason,
        "error": None if verdict.error is None else verdict.error.to_dict(),
        "worker": verdict.worker,
        "bytes": written(verdict),
    }


def _attempt(attempt: Attempted) -> dict[str, object]:
    return {
        "state": attempt.state,
        "reason": attempt.reason,
        "worker": attempt.process,
        "seconds": round(attempt.seconds, 3),
    }


def _iso(at: float) -> str:
    """Return a time as UTC with milliseconds: 2026-11-29T13:50:05.123Z."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
