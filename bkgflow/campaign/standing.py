"""How a run stands, out of its events: what all that show it, or tell of it, have in common."""

from __future__ import annotations

from collections import Counter, deque
from datetime import timedelta

from bkgflow.campaign.events import Event, Notice, RunStarted, UnitEnded, UnitStarted, UnitTried
from bkgflow.planning.plan import Plan
from bkgflow.report.tables import counted, human_bytes, per_minute
from bkgflow.texts import many
from bkgflow.verdict import State, Verdict

__all__ = ["Standing", "never_tried", "written"]

RECENT = 200
"""Ends that the present rate is told from: programs may have quick units and slow ones."""


class Standing:
    """How a run stands, as far as it was told.

    Attributes
    ----------
    total : int
        Units of the run.
    counts : Counter
        Units that have ended, by the words for their states.
    running : dict of str to str
        Names of the targets of units that are computed now, by the digests of their keys.
    written : int
        Bytes of products.
    attempts, tried : int
        How often a unit was begun, and how often one was tried again.
    """

    def __init__(self, plan: Plan) -> None:
        self.names = {unit.digest: unit.name for unit in plan.units}
        self.total = len(plan.units)
        self.counts: Counter[str] = Counter()
        self.running: dict[str, str] = {}
        self.written = self.attempts = self.tried = 0
        self._begun: set[str] = set()
        self._ended: dict[str, tuple[str, int]] = {}
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._first = self._now = 0.0
        self._waits = ""

    def take(self, event: Event) -> None:
        """Take down what has happened."""
        self._now = max(self._now, event.at)
        match event:
            case RunStarted():
                self.total = event.units  # of a plan, a part may be done already
            case UnitStarted():
                self._first = self._first or event.at
                self.running[event.unit] = self.names.get(event.unit, "")
                self.attempts += 1
                self.tried += event.unit in self._begun
                self._begun.add(event.unit)
            case UnitTried():
                self.running.pop(event.unit, None)
            case UnitEnded():
                self._end(event)
            case Notice() if not event.minor:
                self._waits = event.text
        if isinstance(event, UnitStarted | UnitEnded):
            self._waits = ""

    def _end(self, event: UnitEnded) -> None:
        """Count a unit by how it ended; of one that ends once more, the last end counts."""
        self.running.pop(event.unit, None)
        if event.unit in self._ended:
            before, size = self._ended[event.unit]
            self.counts[before] -= 1
            self.counts = +self.counts  # without what is none any more
            self.written -= size
        elif event.unit in self._begun:
            self._recent.append(event.at)
        state, size = event.verdict.state.value, written(event.verdict)
        self._ended[event.unit] = state, size
        self.counts[state] += 1
        self.written += size

    @property
    def done(self) -> int:
        """Units that have ended."""
        return self.counts.total()

    @property
    def rate(self) -> float | None:
        """Units in a minute, of late; None where that cannot be said yet."""
        ends = self._recent
        since = ends[0] if len(ends) == RECENT else self._first
        number = len(ends) - (len(ends) == RECENT)
        seconds = self._now - since
        return 60 * number / seconds if number >= 2 and seconds > 0.5 else None

    @property
    def left(self) -> float | None:
        """Seconds until all units have ended, if it goes on so; None where nobody knows."""
        rate, units = self.rate, self.total - self.done
        return None if rate is None or units <= 0 else 60 * units / rate

    @property
    def waits(self) -> str:
        """What it waits for, in a few words; empty where units are computed, or none is left."""
        if self.running or self.done >= self.total:
            return ""
        # Later on there is a moment without a unit now and then, which means nothing.
        return self._waits or ("" if self._begun else "waits for results that units share")

    def facts(self) -> str:
        """Return how fast it goes, how long it will take, the bytes, and what it waits for."""
        rate, left = self.rate, self.left
        words = [
            *([] if rate is None else [per_minute(rate)]),
            *([] if left is None else [f"{timedelta(seconds=round(left))} left"]),
            *([f"{human_bytes(self.written)} written"] if self.written else []),
        ]
        return "; ".join(filter(None, [", ".join(words), self.waits]))

    def words(self) -> str:
        """Return how many ended how, and `facts`, in one line."""
        return "; ".join(filter(None, [counted(self.counts) if self.counts else "", self.facts()]))

    def of_all(self) -> str:
        """Return how many of the units have ended, and how: "2 of 24 units: 2 COMPLETE"."""
        words = f"{self.done:,} of {many(self.total, 'unit')}"
        return f"{words}: {counted(self.counts)}" if self.counts else words


def written(verdict: Verdict) -> int:
    """Return the bytes of a unit's products, as far as they are known."""
    return sum(size for size in verdict.sizes if size > 0)


def never_tried(verdict: Verdict) -> bool:
    """Whether a unit shares its end with all that were left: the end of the run says it once."""
    return verdict.state == State.BLOCKED and verdict.error is None
