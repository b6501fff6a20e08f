"""A campaign as a table, a row for each unit: for who works on with it elsewhere."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bkgflow.campaign.answers.asked import asked, is_own, time_of
from bkgflow.campaign.answers.wanted import input_names
from bkgflow.campaign.ledger.rows import Kept
from bkgflow.errors import OutputError
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.tables import format_of, write_table
from bkgflow.planning.frames import Row, frame_of, html_of
from bkgflow.record import Found, ImageFound, Scale, SlitlessFound, SossFound
from bkgflow.report.tables import counted
from bkgflow.report.unit_tables import remarks
from bkgflow.texts import many

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Exported", "export"]

TEXT, NUMBER, WHOLE = "str", "float64", "Int64"

COLUMNS = {
    "unit": TEXT,
    "state": TEXT,
    "reason": TEXT,
    "error": TEXT,
    "error_file": TEXT,
    "error_rule": TEXT,
    "error_value": TEXT,
    "error_cure": TEXT,
    "why": TEXT,
    "kind": TEXT,
    "target": TEXT,
    "target_path": TEXT,
    "association": TEXT,
    "product": TEXT,
    "size": WHOLE,
    "checksum": TEXT,
    "seconds": NUMBER,
    "worker": TEXT,
    "scale": NUMBER,
    "scales": TEXT,
    "template": WHOLE,
    "warnings": TEXT,
    "key": TEXT,
    "run": TEXT,
    "begun": TEXT,
    "ended": TEXT,
    "listed": "bool",
}
"""Columns of the table, and their types; numbers that are not there are missing, words empty."""

UNITS = {"size": "byte", "seconds": "s"}

TABLES = (".csv", ".parquet", ".ecsv")
"""Ends of names that nothing of bkgflow's own has in an output folder."""

SHOWN = ("unit", "state", "reason", "product", "seconds", "scale")


@dataclass(frozen=True, slots=True)
class Exported:
    """A campaign as rows, and the file that they were written to; empty where none was asked for.

    Attributes
    ----------
    rows : tuple of dict
        A row for each unit, in the plan's order: the columns of `to_frame`.
    """

    output: str
    campaign: str
    rows: tuple[Row, ...]
    file: str = ""

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas table, a row for each unit.

        Columns: ``unit`` (its product's file name), ``state``, ``reason``; ``error`` with its
        file, rule, value and cure; ``why`` it was last taken up; ``kind``, ``target`` (file name
        and path), ``association``, ``product`` (path), ``size`` (bytes), ``checksum``,
        ``seconds``, ``worker``; ``scale`` (the first, or the mean over the integrations) and
        ``scales`` (all, as JSON: components, or left and right of the step); ``template``
        (counted from 0), ``warnings``, ``key`` (digest), ``run``, ``begun`` and ``ended`` (UTC,
        ISO 8601); ``listed``: whether the program still has the unit.
        """
        frame = frame_of(self.rows, tuple(COLUMNS))
        frame = frame.astype(COLUMNS)
        frame.attrs = {"units": UNITS, "meta": {"campaign": self.campaign, "output": self.output}}
        return frame

    def __str__(self) -> str:
        """How many units, by state, and where they were written."""
        counts = Counter(str(row["state"]) for row in self.rows)
        where = f" → {self.file}" if self.file else ""
        return f"{many(len(self.rows), 'unit')} ({counted(counts)}) of {self.output}{where}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """What a notebook shows: the same, and the first rows."""
        return html_of(str(self), self.rows, SHOWN)


def export(output: PathLike, to: PathLike | None = None, *, form: str = "") -> Exported:
    """Return a campaign as a table, and write it; see `bkgflow.export`."""
    folder = Location.of(output)
    chosen = "" if to is None else format_of(to, form)  # before anything is read
    with asked(folder) as reader:
        listed = {each.unit for each in reader.units()}
        units = _last(reader.units(all_of_them=True), listed)
        rows = tuple(_row(each, folder, each.unit in listed) for each in units)
        if to is not None:
            _check_free(Location.of(to), folder, units)
    found = Exported(str(folder), reader.campaign, rows, "" if to is None else str(Location.of(to)))
    if to is not None:
        write_table(found.to_frame(), to, chosen)
    return found


def _check_free(to: Location, folder: Location, units: Sequence[Kept]) -> None:
    """See that a table replaces nothing that the campaign needs; `OutputError` if it would."""
    files = [folder / each.file for unit in units for each in unit.files]
    files += [Location.of(place) for u in units for place in (u.target, u.association) if place]
    needed = to.real() in {each.real() for each in files} or (
        to.name in input_names(units) and to.exists()  # of a program that was moved as well
    )
    beside = to.parent.real() == folder.real() and to.suffix not in TABLES
    own = beside and is_own(to.name)
    if own or needed:
        raise OutputError(
            "A table must not replace a file of the campaign",
            file=to,
            value="kept by bkgflow" if own else "a product or an input",
            cure="Give another name",
        )


def _last(units: list[Kept], listed: set[str]) -> list[Kept]:
    """Leave out what became of a target before, where that left no product.

    A unit that the plan refuses is called after its association: its product has no name yet.
    When that is mended, it is called after the product, and the old name stands for nothing.
    """
    there = {each.target for each in units if each.unit in listed}
    return [each for each in units if each.unit in listed or each.files or each.target not in there]


def _row(kept: Kept, folder: Location, listed: bool) -> Row:
    verdict = kept.verdict
    error = verdict.error.to_dict() if verdict is not None and verdict.error is not None else {}
    record = verdict.record if verdict is not None else None
    file = next((each for each in kept.files if each.digest == kept.digest), None)
    scales, template = _scales(record.found if record is not None else None)
    took = None if kept.begun is None or kept.ended is None else kept.ended - kept.begun
    row: Row = {
        "unit": kept.unit,
        "state": kept.state.value,
        "reason": verdict.reason if verdict is not None else "",
        "error": error.get("error") or "",
        **{f"error_{name}": error.get(name) or "" for name in ("file", "rule", "value", "cure")},
        "why": kept.why,
        "kind": kept.kind,
        "target": Location.of(kept.target).name if kept.target else "",
        "target_path": kept.target,
        "association": kept.association,
        "product": str(folder / file.file) if file is not None else "",
        "size": file.size if file is not None else None,
        "checksum": file.checksum if file is not None else "",
        "seconds": took,
        "worker": verdict.worker if verdict is not None else "",
        "scale": scales[0] if scales else None,
        "scales": json.dumps([None if math.isnan(s) else s for s in scales]) if scales else "",
        "template": template,
        "warnings": "; ".join(remarks(verdict)) if verdict is not None else "",
        "key": kept.digest,
        "run": kept.run,
        "begun": time_of(kept.begun),
        "ended": time_of(kept.ended),
        "listed": listed,
    }
    return {name: _text(value) for name, value in row.items()}


def _text(value: object) -> object:
    """Return text that every format holds: names of files may have bytes that are no UTF-8."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def _scales(found: Found | None) -> tuple[list[float], int | None]:
    """Return the scales that a method found, and the template; none where it has none."""
    match found:
        case SlitlessFound(scaling_factors=factors):
            return [float(each) for each in factors], None
        case SossFound(template=template, left_scale=left, right_scale=right):
            sides = [each for each in (left, right) if each is not None]
            return [_mean(each) for each in sides], template
        case ImageFound() | None:
            return [], None


def _mean(scale: Scale) -> float:
    values = scale if isinstance(scale, tuple) else (scale,)
    valid = [each for each in values if not math.isnan(each)]  # an integration without a fit
    return sum(valid) / len(valid) if valid else float("nan")
