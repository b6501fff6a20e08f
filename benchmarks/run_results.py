"""What two trees showed on one program, and how their runs say that the units ended."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.products import Comparison

__all__ = ["RESULT", "Same", "compare_results"]

RESULT = "bkgflow-run.json"
STATES = ("state", "outcome")
"""What the word for a unit's end is called."""

FREE = ("run", "started", "seconds", "version", *STATES)
"""Of a run's result, what may differ, or is compared apart."""


@dataclass
class Same:
    """What one program showed.

    Attributes
    ----------
    name : str
        Of the program.
    runs, units : int
        Runs of each tree; units of all of them.
    simulated, products, results : Comparison
        Of the simulators' files, the products, and what the runs said of their units.
    states : set of str
        Words for the units' ends.
    """

    name: str
    runs: int = 0
    units: int = 0
    simulated: Comparison = field(default_factory=Comparison)
    products: Comparison = field(default_factory=Comparison)
    results: Comparison = field(default_factory=Comparison)
    states: set[str] = field(default_factory=set)

    @property
    def parts(self) -> tuple[Comparison, ...]:
        """All comparisons."""
        return self.simulated, self.products, self.results

    @property
    def different(self) -> list[str]:
        """All differences that may not be."""
        return [f"{self.name}/{line}" for part in self.parts for line in part.different]


def compare_results(old: Path, new: Path, same: Same) -> None:
    """Compare how two runs say that their units ended: states and reasons, and all the rest."""
    paths = [next(iter(sorted(folder.rglob(RESULT))), None) for folder in (old, new)]
    if None in paths:
        same.results.note(f"no {RESULT} in the {'old' if paths[0] is None else 'new'} one")
        return
    results = [json.loads(path.read_text(encoding="utf-8")) for path in paths if path]
    units = [{_name(unit): unit for unit in result["units"]} for result in results]
    if list(units[0]) != list(units[1]):
        same.results.note(f"units are {sorted(units[1])}, were {sorted(units[0])}")
    for name in [name for name in units[0] if name in units[1]]:
        same.units += 1
        with same.results.at(name):
            before, after = units[0][name], units[1][name]
            states = _state(before), _state(after)
            same.states.add(states[0])
            if states[0] != states[1]:
                same.results.note(f"ended {states[1]}, was {states[0]}")
            lines = same.results.fields.compare(_rest(before), _rest(after), "run: unit.")
            for line in lines:
                same.results.note(line)
    before, after = ({**_rest(result), "units": len(result["units"])} for result in results)
    for line in same.results.fields.compare(before, after, "run: "):
        same.results.note(line)


def _name(unit: dict[str, Any]) -> str:
    return Path(unit["target"]).name


def _state(unit: dict[str, Any]) -> str:
    return next((str(unit[name]) for name in STATES if name in unit), "unknown")


def _rest(unit: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in unit.items() if name not in FREE}
