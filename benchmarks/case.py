"""What a case is: its contenders, and the bars that it is to clear."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contender import Contender, Sample
from benchmarks.inputs import Inputs
from benchmarks.pairs import ratios

__all__ = ["Bar", "Case", "Samples", "above_floor", "faster"]

Samples = Mapping[str, list[Sample]]
"""What the contenders of a case did, by their names: ours, peer, floor, and others."""

Measure = Callable[[Samples], float]


@dataclass(frozen=True, slots=True)
class Bar:
    """What a case is to show.

    Attributes
    ----------
    what : str
        In words, with the unit.
    limit : float
        The bar.
    measure : callable
        Takes the samples, returns what is held against the bar.
    at_least : bool
        Whether the value may not be below the bar; else it may not be above.
    """

    what: str
    limit: float
    measure: Measure
    at_least: bool = True

    def met_by(self, value: float) -> bool:
        """Whether a value clears the bar."""
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True, slots=True)
class Case:
    """One comparison.

    Attributes
    ----------
    name, title : str
        As it is called on the command line, and what it is.
    contenders : callable
        Takes the inputs and a scratch folder, returns the contenders by name.
    bars : tuple of Bar
        What is to be shown.
    runs : int
        Turns, unless the command line says otherwise.
    compare : bool
        Whether the products of both sides are compared pixel by pixel.
    """

    name: str
    title: str
    contenders: Callable[[Inputs, Path], dict[str, Contender]]
    bars: tuple[Bar, ...]
    runs: int = 5
    compare: bool = False


def faster(limit: float, than: str = "peer") -> Bar:
    """Return the bar of being so many times faster than another contender."""
    name = "jwst" if than == "peer" else than
    return Bar(f"times faster than {name}", limit, lambda s: ratios(s[than], s["ours"]).median)


def above_floor(limit: float) -> Bar:
    """Return the bar of taking at most so many times what moving the data takes."""
    return Bar("times the floor", limit, lambda s: ratios(s["ours"], s["floor"]).median, False)
