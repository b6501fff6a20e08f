"""How a run went: every unit, its end, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic_core import to_json
from rich.table import Table

from bkgflow.graph.finish import UnitResult
from bkgflow.io.storage.publish import write_text
from bkgflow.outcome import Outcome
from bkgflow.planning.plan import Plan, Unit
from bkgflow.report.tables import as_text, make_table

__all__ = ["RunResult"]


@dataclass(frozen=True, slots=True)
class RunResult:
    """The end of every unit of a plan, in the plan's order.

    Attributes
    ----------
    plan : Plan
        What was to be done.
    units : tuple of UnitResult
        How each of ``plan.units`` ended.
    seconds : float
        Wall time.
    """

    plan: Plan
    units: tuple[UnitResult, ...]
    seconds: float

    @property
    def counts(self) -> dict[str, int]:
        """Units by outcome."""
        return dict(Counter(result.outcome.value for result in self.units))

    @property
    def ok(self) -> bool:
        """Whether every unit is COMPLETE or SKIPPED."""
        return all(result.outcome.good for result in self.units)

    @property
    def products(self) -> list[Path]:
        """The files that were written."""
        return [Path(path) for result in self.units for path in result.products]

    def pairs(self) -> list[tuple[Unit, UnitResult]]:
        """Return each unit with its end."""
        return list(zip(self.plan.units, self.units, strict=True))

    def table(self) -> Table:
        """Return one row for each unit."""
        head = ", ".join(f"{number} {what}" for what, number in sorted(self.counts.items()))
        return make_table(
            f"{len(self.units)} units: {head or 'none'}",
            ("Target", "Outcome", "Product", "Word"),
            [
                (Path(unit.target).name, result.outcome, unit.output, _word(result))
                for unit, result in self.pairs()
            ],
            caption=f"{self.seconds:.1f} s, products in {self.plan.output}",
        )

    def __str__(self) -> str:
        """The table in plain text."""
        return as_text(self.table())

    def __rich__(self) -> Table:
        """The table on a terminal."""
        return self.table()

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values, for JSON."""
        return {
            "version": self.plan.version,
            "output": self.plan.output,
            "seconds": round(self.seconds, 3),
            "counts": self.counts,
            "units": [
                {
                    "target": unit.target,
                    "association": unit.association,
                    "product_name": unit.product,
                    "notes": list(unit.notes),
                    **asdict(result),
                }
                for unit, result in self.pairs()
            ],
        }

    def save(self, path: str | Path) -> None:
        """Write `to_dict` as JSON.

        Raises
        ------
        OutputError
            If it cannot be written there.
        """
        write_text(path, to_json(self.to_dict(), indent=1, inf_nan_mode="null").decode())


def _word(result: UnitResult) -> str:
    """What a user should know about a unit, in one cell."""
    if result.outcome != Outcome.COMPLETE:
        return result.reason
    words = []
    if result.n_unsubtracted:
        words.append(f"{result.n_unsubtracted} pixels have no valid background")
    if result.unused:
        names = ", ".join(Path(name).name for name in result.unused)
        words.append(f"no valid pixel in {names}")
    return "; ".join(words)
