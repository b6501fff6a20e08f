"""How a run went: every unit, its verdict, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic_core import to_json

from bkgflow.io.storage.location import PathLike
from bkgflow.io.storage.publish import write_text
from bkgflow.planning.plan import Plan
from bkgflow.planning.unit import Unit
from bkgflow.programs.passed_over import summed_up
from bkgflow.record import plain
from bkgflow.report.tables import counted
from bkgflow.verdict import Verdict

__all__ = ["RunResult"]

MOST_LINES = 5
"""Of units that went wrong, in a result that is printed."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """The end of every unit of a plan, in the plan's order.

    Printing it says in a few lines how the run went; `bkgflow.show` shows it as a table; `save`
    keeps it as JSON.

    Attributes
    ----------
    plan : Plan
        What was to be done.
    verdicts : tuple of Verdict
        How each of ``plan.units`` ended.
    seconds : float
        Wall time.
    run : str
        The run's short id, which its events and its log have.
    """

    plan: Plan
    verdicts: tuple[Verdict, ...]
    seconds: float
    run: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """Units by state."""
        return dict(Counter(verdict.state.value for verdict in self.verdicts))

    @property
    def ok(self) -> bool:
        """Whether every unit is COMPLETE or SKIPPED."""
        return all(verdict.state.good for verdict in self.verdicts)

    @property
    def products(self) -> list[Path]:
        """The files that were written."""
        return [Path(path) for verdict in self.verdicts for path in verdict.products]

    def pairs(self) -> list[tuple[Unit, Verdict]]:
        """Return each unit with its end."""
        return list(zip(self.plan.units, self.verdicts, strict=True))

    def __str__(self) -> str:
        """How it went, in a few lines: counts, time, folder, and what went wrong."""
        bad = [
            f"{unit.name} {verdict.state}: {verdict.reason}"
            for unit, verdict in self.pairs()
            if not verdict.state.good
        ]
        lines = [
            f"{len(self.verdicts)} units: {counted(self.counts)}",
            f"{self.seconds:.1f} s, products in {self.plan.output}",
            *bad[:MOST_LINES],
        ]
        if len(bad) > MOST_LINES:
            lines.append(f"… and {len(bad) - MOST_LINES} more")
        lines += summed_up(self.plan.passed_over)
        return "\n".join(lines)

    __repr__ = __str__

    def to_dict(self) -> dict[str, object]:
        """Return all of it as plain values, for JSON."""
        return {
            "run": self.run,
            "version": self.plan.version,
            "output": str(self.plan.output),
            "seconds": round(self.seconds, 3),
            "counts": self.counts,
            "passed_over": [each.to_dict() for each in self.plan.passed_over],
            "units": [_plain(unit, verdict) for unit, verdict in self.pairs()],
        }

    def save(self, path: PathLike) -> None:
        """Write `to_dict` as JSON; the file appears whole or not at all.

        Raises
        ------
        OutputError
            If it cannot be written there.
        """
        write_text(path, to_json(self.to_dict(), indent=1, inf_nan_mode="null").decode())


def _plain(unit: Unit, verdict: Verdict) -> dict[str, object]:
    """Return a unit and its end without the record's part that all of a run have in common."""
    found = verdict.record.found if verdict.record else None
    return {
        "target": str(unit.target),
        "association": unit.association,
        "product_name": unit.product,
        "notes": list(unit.notes),
        "key": unit.digest,
        "state": verdict.state.value,
        "reason": verdict.reason,
        "products": list(verdict.products),
        "error": verdict.error.to_dict() if verdict.error else None,
        "found": plain(asdict(found)) if found else None,
    }
