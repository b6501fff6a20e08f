"""Runs that are hurt on purpose, with real processes: how each ends, and whether that is right."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from rich.table import Table

from benchmarks.fault_cases import CASES, Answer, Case, Skipped, Trial
from benchmarks.fault_clusters import CLUSTER_CASES
from benchmarks.fault_tools import ended, pixels_of
from bkgflow.simulate import simulate_imaging

__all__ = ["ALL", "Row", "as_table", "run_faults"]

ALL: dict[str, tuple[str, Case]] = {**CASES, **CLUSTER_CASES}
"""Every case by its name."""


@dataclass(frozen=True)
class Row:
    """A case, and what came of it; ``right`` is None where it could not be tried."""

    name: str
    title: str
    what: str
    right: bool | None
    seconds: float


def run_faults(
    names: Iterable[str], units: int, kills: int, say: Callable[[str], object]
) -> list[Row]:
    """Try cases on one program, each with an output folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        say(f"a program of {units} units, and what an undisturbed run makes of it")
        program = folder / "program"
        simulate_imaging(program, targets=units, backgrounds=4, size=128)
        trial = Trial(program, units, {}, folder / "clean", kills)
        code, said = ended(*trial.run(cluster="threads"), out=trial.out)
        if code != 0:
            raise RuntimeError(f"an undisturbed run ends with {code}: {said}")
        right = {path.name: pixels_of(path) for path in trial.out.glob("*_bsub.fits")}
        trial = replace(trial, right=right)
        return [_tried(name, trial, folder / name, say) for name in names]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _tried(name: str, trial: Trial, scratch: Path, say: Callable[[str], object]) -> Row:
    title, case = ALL[name]
    began = time.monotonic()
    scratch.mkdir()
    right: bool | None
    try:
        answer = case(replace(trial, scratch=scratch))
        what, right = answer.what, answer.right
    except Skipped as why:
        what, right = f"SKIPPED: {why}", None
    except Exception as problem:  # the trial's own: the next case is tried all the same
        answer = Answer(f"{type(problem).__name__}: {problem}"[:200], False)
        what, right = answer.what, answer.right
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    row = Row(name, title, what, right, time.monotonic() - began)
    say(f"{title}: {row.what} ({row.seconds:.0f} s)")
    return row


def as_table(rows: Iterable[Row]) -> Table:
    """Draw a row for each case."""
    table = Table(title="Runs that were hurt on purpose", title_justify="left")
    for column in ("Name", "What was done", "What happened", "Right"):
        table.add_column(column, overflow="fold")
    words = {True: "yes", False: "NO", None: "-"}
    for row in rows:
        table.add_row(row.name, row.title, row.what, words[row.right])
    return table
