"""Runs that die, and the same command once more: a table of what came of it."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from rich.table import Table

from benchmarks.crash_cases import CRASHES
from benchmarks.crash_tools import Site, Tried, fingerprint
from benchmarks.fault_cases import Skipped
from benchmarks.fault_tools import ended
from benchmarks.machine import facts, today
from bkgflow.simulate import simulate_imaging

__all__ = ["CRASHES", "Row", "as_table", "run_crashes", "write_page"]

COLUMNS = (
    "What happens", "Tried", "Complete then", "Begun, done again", "Complete, done again", "Right",
)  # fmt: skip

BEGIN, END = "<!-- table: python -m benchmarks crashes -->", "<!-- end of the table -->"
"""Between these lines of a page the table stands."""


@dataclass(frozen=True)
class Row:
    """A sort of crash, and what came of it; ``skipped`` says why it could not be tried."""

    name: str
    title: str
    tried: Tried
    seconds: float
    skipped: str = ""

    @property
    def right(self) -> bool:
        """Whether nothing was wrong."""
        return not self.tried.wrong

    @property
    def cells(self) -> list[str]:
        """The row of a table."""
        if self.skipped:
            return [self.title, "-", "-", "-", "-", f"not tried: {self.skipped}"]
        again = sum("done again" in each for each in self.tried.wrong)
        numbers = (self.tried.times, self.tried.complete, self.tried.again, again)
        word = "yes" if self.right else f"NO: {self.tried.wrong[0]}"
        return [self.title, *map(str, numbers), word]


def run_crashes(
    names: Iterable[str], units: int, times: int, seed: int, say: Callable[[str], object]
) -> list[Row]:
    """Try crashes on one program, each in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="crashes-"))
    try:
        say(f"a program of {units} units, and what an undisturbed run makes of it")
        program = folder / "program"
        simulate_imaging(program, targets=units, backgrounds=4, size=128)
        clean, chance = folder / "clean", random.Random(seed)
        site = Site(program, folder, units, {}, 0.0, times, chance, say)
        for _ in range(2):  # the first one may compile
            shutil.rmtree(clean, ignore_errors=True)
            began = time.monotonic()
            code, said = ended(*site.arguments(clean, "threads"), out=clean)
            if code != 0:
                raise RuntimeError(f"an undisturbed run ends with {code}: {said}")
        right = {path.name: fingerprint(path) for path in clean.glob("*_bsub.fits")}
        site = replace(site, right=right, seconds=time.monotonic() - began)
        return [_tried(name, site, folder / name, say) for name in names]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _tried(name: str, site: Site, scratch: Path, say: Callable[[str], object]) -> Row:
    title, crash = CRASHES[name]
    began, skipped = time.monotonic(), ""
    scratch.mkdir()
    try:
        tried = crash(replace(site, scratch=scratch))
    except Skipped as why:
        tried, skipped = Tried(), str(why)
    except Exception as problem:  # the trial's own: the next one is tried all the same
        tried = Tried(wrong=[f"{type(problem).__name__}: {problem}"[:300]])
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    row = Row(name, title, tried, time.monotonic() - began, skipped)
    say(f"{' | '.join(row.cells)} ({row.seconds:.0f} s)")
    for each in tried.wrong[1:]:
        say(f"  {each}")
    return row


def as_table(rows: Iterable[Row]) -> Table:
    """Draw a row for each sort of crash."""
    table = Table(title="Runs that died, and the same command once more", title_justify="left")
    for column in COLUMNS:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row.cells)
    return table


def write_page(page: Path, rows: Iterable[Row], units: int, seed: int) -> None:
    """Put rows into the table of a page; those that were left out stay as they are there."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    table, _, after = rest.partition(END)
    machine = facts()
    lines = {line.split(" | ")[0].removeprefix("| "): line for line in table.splitlines()}
    lines |= {row.title: f"| {' | '.join(row.cells)} |" for row in rows}
    text = [
        f"| {' | '.join(COLUMNS)} |",
        f"|{'---|' * len(COLUMNS)}",
        *(lines[title] for title, _ in CRASHES.values() if title in lines),
        "",
        f"Programs of {units} units, seed {seed}, {today()}; {machine['cores']} cores, "
        f"{machine['system']}, Python {machine['python']}.",
    ]
    page.write_text(f"{before}{BEGIN}\n{chr(10).join(text)}\n{END}{after}", encoding="utf-8")
