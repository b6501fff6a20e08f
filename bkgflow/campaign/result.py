"""How a run went: every unit, its verdict, and why."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic_core import to_json

from bkgflow.errors import OutputError
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.publish import elsewhere, write_text
from bkgflow.io.storage.space import Reserve
from bkgflow.planning.frames import Row, frame_of, html_of
from bkgflow.planning.grouped import first_lines, grouped
from bkgflow.planning.plan import Plan
from bkgflow.planning.unit import Unit
from bkgflow.programs.passed_over import summed_up
from bkgflow.record import plain
from bkgflow.report.unit_tables import remarks, summary
from bkgflow.verdict import State, Verdict

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RESULT_FILE", "RunResult", "all_blocked"]

RESULT_FILE = "bkgflow-run.json"
"""Name of the file that says how a run went, beside its products."""

LAYOUT = 2
"""Of that file. 1 had no layout number, and none of: started, stopped, notes."""

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
    started : str
        When, in UTC (ISO 8601).
    stopped : str
        Why the run ended before its end: a signal, the disk, the cluster; empty if it did not.
    notes : tuple of str
        What happened to the run as a whole: files of dead runs that were cleared away, a log that
        ends early.
    file : str
        Where the result was kept; empty if it was not.
    kept : frozenset of str
        Units that had ended in an earlier run and stay as they are, by the digests of their keys.
    unkept : str
        What the ledger does not have of it, and why; empty where it has all.
    """

    plan: Plan
    verdicts: tuple[Verdict, ...]
    seconds: float
    run: str = ""
    started: str = ""
    stopped: str = ""
    notes: tuple[str, ...] = ()
    file: str = ""
    kept: frozenset[str] = frozenset()
    unkept: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """Units by state."""
        return dict(Counter(verdict.state.value for verdict in self.verdicts))

    @property
    def ok(self) -> bool:
        """Whether every unit is COMPLETE or SKIPPED."""
        return all(verdict.state.good for verdict in self.verdicts)

    @property
    def products(self) -> list[Path | Location]:
        """The files that were written: paths, or the locations of URLs."""
        return [
            Location.of(path).as_path() for verdict in self.verdicts for path in verdict.products
        ]

    @property
    def in_place(self) -> bool:
        """Whether the result was kept beside the products."""
        return self.file == str(self.plan.output / RESULT_FILE)

    @property
    def summary(self) -> str:
        """How a run ended that was stopped, in one line."""
        blocked = self.counts.get(State.BLOCKED.value, 0)
        where = f"the result is in {self.file}" if self.file else "the result could not be kept"
        return (
            f"{self.stopped or 'ended'}: {len(self.verdicts) - blocked} of {len(self.verdicts)} "
            f"units ended, {blocked} BLOCKED; {where}"
        )

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
        lines = [
            *summary(self.plan, self.verdicts, self.seconds, len(self.kept)),
            *([f"ended early: {self.stopped}"] if self.stopped else []),
            *self.notes,
            *first_lines(grouped(self.failed)),
            *summed_up(self.plan.passed_over),
        ]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """What a notebook shows: the same, and a table of units; those that went wrong first."""
        wrong_first = sorted(self._rows(), key=lambda row: State(str(row["state"])).good)
        return html_of(str(self), wrong_first, COLUMNS[:4])

    def to_dict(self) -> dict[str, object]:
        """Return all of it as plain values, for JSON."""
        return {
            "layout": LAYOUT,
            "run": self.run,
            "version": self.plan.version,
            "output": str(self.plan.output),
            "started": self.started,
            "seconds": round(self.seconds, 3),
            "stopped": self.stopped,
            "notes": list(self.notes),
            "counts": self.counts,
            "passed_over": [each.to_dict() for each in self.plan.passed_over],
            "units": [
                _plain(unit, verdict) | {"kept": unit.digest in self.kept}
                for unit, verdict in self.pairs()
            ],
        }

    def save(self, path: PathLike) -> None:
        """Write `to_dict` as JSON; the file appears whole or not at all.

        Raises
        ------
        OutputError
            If it cannot be written there.
        """
        write_text(path, self._text())

    def store(self, reserve: Reserve) -> RunResult:
        """Write it into room that was reserved beside the products; return it with where it is.

        Where that cannot be written, it goes among the machine's temporary files, with a note:
        a run that is done is not lost for that.
        """
        try:
            try:
                at = reserve.publish(self._text())
            except OutputError:
                at = reserve.publish(self._text(indent=None))  # it may fit without its spaces
            return replace(self, file=str(at))
        except OutputError as problem:
            error = problem
        finally:
            reserve.discard()
        other = elsewhere(f"bkgflow-run-{self.run}.json")
        note = f"the result cannot be kept beside the products: {error} It is in {other}"
        told = replace(self, notes=(*self.notes, note))
        try:
            write_text(other, told._text())
        except OutputError:
            note = f"the result cannot be kept anywhere: {error}"
            return replace(self, notes=(*self.notes, note))
        return replace(told, file=str(other))

    def noted(self, note: str) -> RunResult:
        """Return it with one note more, and keep it so where it was kept."""
        told = replace(self, notes=(*self.notes, note))
        if told.file:
            with suppress(OutputError):  # what was kept before stays
                write_text(told.file, told._text())
        return told

    def _text(self, indent: int | None = 1) -> str:
        return to_json(self.to_dict(), indent=indent, inf_nan_mode="null").decode()


def all_blocked(plan: Plan, run: str, reason: str, notes: tuple[str, ...] = ()) -> RunResult:
    """Return the result of a run that was stopped before it began."""
    blocked = Verdict.blocked(f"the run ended before its turn: {reason}")
    verdicts = tuple(
        unit.verdict if unit.verdict.state == State.QUARANTINED else blocked for unit in plan.units
    )
    return RunResult(plan, verdicts, 0.0, run, stopped=reason, notes=notes)


def _plain(unit: Unit, verdict: Verdict) -> dict[str, object]:
    """Return a unit and its end without the record's part that all of a run have in common."""
    record = verdict.record
    found = record.found if record else None
    imprints = (record.imprint, record.background_imprints) if record else (None, None)
    return {
        "target": str(unit.target),
        "association": unit.association,
        "product_name": unit.product,
        "notes": list(unit.notes),
        "mismatches": list(unit.mismatches),
        "key": unit.digest,
        "state": verdict.state.value,
        "reason": verdict.reason,
        "products": list(verdict.products),
        "error": verdict.error.to_dict() if verdict.error else None,
        "found": plain(asdict(found)) if found else None,
        "imprint": imprints[0],
        "background_imprints": plain(imprints[1]),
    }
