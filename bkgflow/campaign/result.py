"""How a run went: every unit, its verdict, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic_core import to_json

from bkgflow.io.storage.location import PathLike
from bkgflow.io.storage.publish import write_text
from bkgflow.planning.frames import Row, frame_of, html_of
from bkgflow.planning.grouped import first_lines, grouped
from bkgflow.planning.plan import Plan
from bkgflow.planning.unit import Unit
from bkgflow.record import plain
from bkgflow.report.unit_tables import remarks, summary
from bkgflow.verdict import State, Verdict

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RunResult"]

COLUMNS = ("target", "state", "reason", "product", "kind", "remarks", "association")


@dataclass(frozen=True, slots=True)
class RunResult:
    """The end of every unit of a plan, in the plan's order.

    Printing it says in a few lines how the run went; `failed` are the units that went wrong;
    `bkgflow.show` shows a table, `to_frame` gives one of pandas, `save` keeps it as JSON.

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

    @property
    def failed(self) -> list[tuple[Unit, Verdict]]:
        """The units that went wrong, each with its end: FAILED, QUARANTINED or BLOCKED."""
        return [(unit, verdict) for unit, verdict in self.pairs() if not verdict.state.good]

    def to_frame(self) -> pd.DataFrame:
        """Return the units as a pandas table, one row each, in the plan's order.

        Columns: target (str), state (str), reason (str), product (str, the path; empty where none
        was written), kind (str), remarks (str), association (str).
        """
        return frame_of(self._rows(), COLUMNS)

    def _rows(self) -> list[Row]:
        return [
            {
                "target": unit.name,
                "state": verdict.state.value,
                "reason": verdict.reason,
                "product": next(iter(verdict.products), ""),
                "kind": unit.kind,
                "remarks": "; ".join(remarks(verdict)),
                "association": unit.association,
            }
            for unit, verdict in self.pairs()
        ]

    def __str__(self) -> str:
        """How it went, in a few lines: counts, time, folder, and what went wrong."""
        lines = summary(self.plan, self.verdicts, self.seconds)
        return "\n".join([*lines, *first_lines(grouped(self.failed))])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """What a notebook shows: the same, and a table of units; those that went wrong first."""
        wrong_first = sorted(self._rows(), key=lambda row: State(str(row["state"])).good)
        return html_of(str(self), wrong_first, COLUMNS[:4])

    def to_dict(self) -> dict[str, object]:
        """Return all of it as plain values, for JSON."""
        return {
            "run": self.run,
            "version": self.plan.version,
            "output": str(self.plan.output),
            "seconds": round(self.seconds, 3),
            "counts": self.counts,
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
