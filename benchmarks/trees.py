"""``trees``: bkgflow's side of the cases on two checkouts, in turns and over the same files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from benchmarks.case import Case
from benchmarks.contender import Checkout, Sample
from benchmarks.pairs import Spread, ratios, run_in_turns
from bkgflow.report.tables import human_bytes, make_table

__all__ = ["LIMIT", "Pair", "as_table", "measure"]

LIMIT = 1.05
"""What the new tree may take, as a multiple of the old one's time; below that it is noise."""

SIDES = ("old", "new")
SCRIPT = Path(__file__).with_name("side.py")

COLUMNS = ("case", "old s", "new s", "new ÷ old", "peak old", "peak new", "slower")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Pair:
    """A case on both trees.

    Attributes
    ----------
    name : str
        Of the case.
    samples : mapping
        What ``old`` and ``new`` took.
    """

    name: str
    samples: Mapping[str, list[Sample]]

    @property
    def ratio(self) -> Spread:
        """New time over old, turn by turn."""
        return ratios(self.samples["new"], self.samples["old"])

    @property
    def slower(self) -> bool:
        """Whether the new tree is, beyond the noise."""
        return self.ratio.median > LIMIT


def measure(
    case: Case, trees: Sequence[Path], data: Path, size: int | None, runs: int | None, say: Say
) -> Pair:
    """Run a case on both trees, each in a process of its own that imports that tree alone.

    Parameters
    ----------
    case : Case
        Which; a tree whose benchmarks lack it is measured by this tree's.
    trees : (old, new)
        Folders of the checkouts.
    data : Path
        Of the simulated files; whichever tree comes first simulates what is not there.
    size : int, optional
        Side of the images, for a quick look.
    runs : int, optional
        Turns; by default the case's own.
    say : callable
        Told how it goes.

    Raises
    ------
    ContenderError
        If a tree's process fails.
    """
    say(f"{case.name}: {case.title}")
    data.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=data))
    try:
        contenders = {
            side: Checkout(
                tree,
                SCRIPT,
                {
                    "case": case.name,
                    "data": str(data),
                    "scratch": str(scratch / side),
                    "size": size,
                },
            )
            for side, tree in zip(SIDES, trees, strict=True)
        }
        samples = run_in_turns(contenders, runs or case.runs, lambda line: say(f"  {line}"))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Pair(case.name, samples)


def as_table(pairs: Sequence[Pair]) -> Table:
    """Return one line for each case."""
    return make_table("Two trees", COLUMNS, [_row(pair) for pair in pairs], "")


def _row(pair: Pair) -> list[str]:
    seconds = [Spread.of([each.seconds for each in pair.samples[side]]).median for side in SIDES]
    ratio = pair.ratio
    return [
        pair.name,
        *(f"{value:.3f}" for value in seconds),
        f"{ratio.median:.3f} ({ratio.least:.3f}–{ratio.most:.3f})",
        *(human_bytes(max(each.peak for each in pair.samples[side])) for side in SIDES),
        "yes" if pair.slower else "",
    ]
