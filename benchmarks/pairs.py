"""Contenders run in turns, and what their samples say.

Turns alternate, so that whatever else the machine does falls on all sides alike, and ratios are
taken between the runs of one turn.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks.contender import Checkout, Contender, Sample
from benchmarks.processes import child

__all__ = ["Spread", "ratios", "run_in_turns"]

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and most of several runs."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise."""
        return cls(statistics.median(values), min(values), max(values))

    def to_dict(self, digits: int = 4) -> dict[str, float]:
        """Return plain numbers, for JSON."""
        return {
            "median": round(self.median, digits),
            "min": round(self.least, digits),
            "max": round(self.most, digits),
        }


def ratios(above: Sequence[Sample], below: Sequence[Sample]) -> Spread:
    """Return the ratio of the times of two contenders, taken turn by turn."""
    return Spread.of([a.seconds / b.seconds for a, b in zip(above, below, strict=True)])


def run_in_turns(
    contenders: Mapping[str, Contender | Checkout], runs: int, note: Note
) -> dict[str, list[Sample]]:
    """Start all contenders, then let each run once in every turn.

    Raises
    ------
    ContenderError
        If one fails, or hangs.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in contenders}
    with ExitStack() as stack:
        children = {}
        for name, contender in contenders.items():
            note(f"starting {name}")
            children[name] = stack.enter_context(child(name, contender))
        for turn in range(1, runs + 1):
            for name, each in children.items():
                samples[name].append(each.run())
            last = ", ".join(f"{name} {taken[-1].seconds:.3f} s" for name, taken in samples.items())
            note(f"run {turn} of {runs}: {last}")
    return samples
