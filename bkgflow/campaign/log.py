"""The log of a run, kept beside its products."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from bkgflow.campaign.events import (
    Event,
    Listener,
    Notice,
    RunEnded,
    RunStarted,
    UnitEnded,
    UnitStarted,
    UnitTried,
)
from bkgflow.errors import OutputError
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.mirror import Mirror
from bkgflow.planning.plan import Plan
from bkgflow.planning.unit import Unit
from bkgflow.report.unit_tables import remarks
from bkgflow.verdict import State, Verdict

__all__ = ["LogHandler", "log", "log_events", "log_file", "log_remarks"]

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

LEVELS = {State.COMPLETE: logging.INFO, State.SKIPPED: logging.WARNING}
"""How loudly the log says that a unit ended; all other ends are errors."""

log = logging.getLogger("bkgflow.run")
"""What happens in a run."""


class LogHandler(logging.FileHandler):
    """Appends to a file; where the disk takes no more, it says so once and is quiet.

    Attributes
    ----------
    trouble : str
        Why lines are missing; empty where none are.
    """

    def __init__(self, location: Location) -> None:
        self.trouble = ""
        super().__init__(location.path, encoding="utf-8")

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, unless the one before could not be written."""
        if not self.trouble:
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging calls it so
        """Keep why a line could not be written: logging itself would print a traceback of each."""
        problem = sys.exception()
        if not isinstance(problem, OSError):
            super().handleError(record)
            return
        self.trouble = f"the log ends early: {problem.strerror or problem}"

    def close(self) -> None:
        """Close the file; what the disk does not take is lost."""
        try:
            super().close()
        except OSError as problem:
            self.trouble = self.trouble or f"the log ends early: {problem.strerror or problem}"


@contextmanager
def log_file(location: Location) -> Iterator[LogHandler]:
    """Append everything that bkgflow logs to a file; its folder is made if it is not there.

    Raises
    ------
    OutputError
        If it cannot be written there.
    """
    try:
        mirror = Mirror.begin(location)
        handler = LogHandler(mirror.file)
    except OSError as problem:
        raise OutputError(
            "A run must be able to keep its log beside its products",
            file=location,
            value=problem.strerror,
            cure="Give another output folder, or mend its permissions or its free space",
        ) from None
    handler.setFormatter(logging.Formatter(FORMAT))
    root = logging.getLogger("bkgflow")
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield handler
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
        handler.close()
        if trouble := mirror.end():
            log.warning("the log is in %s alone: %s", mirror.file, trouble)


def log_remarks(unit: Unit, verdict: Verdict, say: Callable[..., object] = log.warning) -> None:
    """Log what a user should know about a unit and its product."""
    for word in (*unit.notes, *remarks(verdict)):
        say("%s: %s", unit.target, word)


def log_events(plan: Plan) -> Listener:
    """Return what writes every event of a run to the log, with the plan's names of its units."""
    units = {unit.digest: unit for unit in plan.units}

    def listen(event: Event) -> None:
        say = partial(_say, event.at)
        match event:
            case RunStarted(run=run, units=number, where=where):
                words = "bkgflow %s, run %s: %d units on %s, settings %s"
                settings = plan.settings.model_dump()
                say(logging.INFO, words, plan.version, run, number, where, settings)
                for note in plan.notes:
                    say(logging.INFO, "%s", note)
                for each in plan.passed_over:
                    say(logging.INFO, "passed over %s (%s)", each, each.location)
            case UnitStarted():
                say(logging.INFO, "%s: begins", units[event.unit].target)
            case UnitTried(attempt=attempt) if attempt.state not in State.__members__:
                words = "%s: attempt %d ended %s: %s"
                target = units[event.unit].target
                say(logging.WARNING, words, target, attempt.number, attempt.state, attempt.reason)
            case UnitEnded(unit=digest, verdict=verdict):
                unit, level = units[digest], LEVELS.get(verdict.state, logging.ERROR)
                log_remarks(unit, verdict, partial(say, logging.WARNING))
                word = verdict.reason or ", ".join(verdict.products)
                say(level, "%s: %s %s", unit.target, verdict.state, word)
            case Notice():
                say(logging.INFO if event.minor else logging.WARNING, "%s", event.text)
            case RunEnded():
                say(logging.INFO, "the run ended after %.1f s", event.seconds)

    return listen


def _say(at: float, level: int, words: str, *values: object) -> None:
    """Log something with the time at which it happened: it may be written later."""
    if log.isEnabledFor(level):
        record = log.makeRecord(log.name, level, __file__, 0, words, values, None)
        record.created, record.msecs = at, at % 1 * 1000
        log.handle(record)
