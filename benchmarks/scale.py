"""How the cost grows: each point of each curve measured in fresh, warm processes."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.curves import Curve
from benchmarks.inputs import Inputs, Note
from benchmarks.machine import facts, today
from benchmarks.pairs import run_in_turns
from benchmarks.table import caption, side_of
from bkgflow.report.tables import human_bytes, make_table

__all__ = ["as_table", "measure", "results_of"]

COLUMNS = (
    "what grows", "number", "bkgflow s", "ms for each", "peak bkgflow", "jwst s", "peak jwst",
)  # fmt: skip

Point = dict[str, Any]


def measure(curve: Curve, inputs: Inputs, runs: int, note: Note) -> dict[str, Any]:
    """Measure all points of a curve."""
    note(f"{curve.name}: {curve.title}")
    points = [_point(curve, number, inputs, runs, note) for number in curve.points]
    return {"title": curve.title, "axis": curve.axis, "date": today(), "points": points}


def results_of(curves: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything, with the machine that it was measured on."""
    return {"machine": facts(), "curves": dict(curves)}


def as_table(results: Mapping[str, Any]) -> Table:
    """Return the table for a terminal."""
    return make_table("How the cost grows", COLUMNS, _rows(results), caption(results))


def _point(curve: Curve, number: int, inputs: Inputs, runs: int, note: Note) -> Point:
    """Measure one point in a scratch folder of its own."""
    started = time.monotonic()
    inputs.folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=inputs.folder))
    try:
        contenders = curve.contenders(inputs, scratch, number)
        samples = run_in_turns(contenders, runs, lambda _: None)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    sides = {name: side_of(taken) for name, taken in samples.items()}
    words = [f"{name} {side['seconds']['median']:.3f} s" for name, side in sides.items()]
    note(f"  {number}: {', '.join(words)} (took {time.monotonic() - started:.0f} s)")
    return {"number": number, **sides}


def _rows(results: Mapping[str, Any]) -> Iterable[list[str]]:
    for name, curve in results["curves"].items():
        for point in curve["points"]:
            own, other = point["ours"], point.get("peer")
            seconds = own["seconds"]["median"]
            yield [
                name,
                str(point["number"]),
                f"{seconds:.3f}",
                "" if name == "workers" else f"{1000 * seconds / point['number']:.2f}",
                human_bytes(own["peak_bytes"]),
                f"{other['seconds']['median']:.3f}" if other else "",
                human_bytes(other["peak_bytes"]) if other else "",
            ]
