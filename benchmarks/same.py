"""``same``: whether two trees of bkgflow simulate the same files and make the same products.

Each call of ``bkgflow`` is a process of its own that finds its tree first on PYTHONPATH. Both
trees read and write at the same paths, one after the other, so that a path that comes into a
product is the same as well; what the old tree made is set aside under another name.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits
from rich.table import Table

from benchmarks.products import Comparison, compare_folders
from benchmarks.records import Fields
from benchmarks.run_results import Same, compare_results
from benchmarks.same_programs import Program
from bkgflow.report.tables import make_table

__all__ = ["as_table", "compare_programs", "summary"]

ENTRY = """
import sys, bkgflow
from bkgflow.cli import main
if not bkgflow.__file__.startswith(sys.argv.pop(1) + '/'):
    sys.exit(f'bkgflow comes from {bkgflow.__file__}')
sys.exit(main())
"""

SKIP = ("*.log", "bkgflow-*")
"""Files that are not products."""

COLUMNS = (
    "program", "runs", "simulated", "differ", "products", "differ", "units", "states", "differ",
)  # fmt: skip

Say = Callable[[str], None]


class _TreeError(RuntimeError):
    """A tree cannot do what both are to do; the message holds its last words."""


def compare_programs(
    trees: Sequence[Path], programs: Sequence[Program], size: int, say: Say
) -> list[Same]:
    """Have two trees simulate and run programs, compare all that they wrote.

    Where a tree cannot do what is asked, that is a difference, and the next program's turn.
    """
    found = []
    for program in programs:
        say(program.name)
        with tempfile.TemporaryDirectory(prefix="bkgflow-same-") as folder:
            sides = _Sides(trees, program, size, Path(folder))
            try:
                sides.compare()
            except _TreeError as problem:
                sides.same.results.note(str(problem))
            found.append(sides.same)
    return found


def as_table(found: Sequence[Same]) -> Table:
    """Return one line for each program."""
    rows = [
        [
            same.name,
            str(same.runs),
            str(same.simulated.files),
            str(len(same.simulated.different)),
            str(same.products.files),
            str(len(same.products.different)),
            str(same.units),
            ", ".join(sorted(same.states)),
            str(len(same.results.different)),
        ]
        for same in found
    ]
    return make_table("Old and new", COLUMNS, rows, "")


def summary(found: Sequence[Same]) -> list[str]:
    """Return what differs and may, over all programs, one line for each field."""
    fields = Fields()
    for part in (part for same in found for part in same.parts):
        fields.add(part.fields)
    lines = fields.summary() or ["nothing"]
    return [f"may differ and does, in {fields.records} records:", *(f"  {line}" for line in lines)]


class _Sides:
    """Two trees at work on one program, at the same paths."""

    def __init__(self, trees: Sequence[Path], program: Program, size: int, folder: Path) -> None:
        self.trees = trees
        self.program = program
        self.folder = folder
        self.mask, self.nothing = folder / "mask.fits", folder / "nothing.fits"
        self.words = {
            "size": str(size),
            "mask": str(self.mask),
            "nothing": str(self.nothing),
        }
        self.same = Same(program.name)

    def compare(self) -> None:
        """Simulate, then run in every way."""
        program, there = self.program, self.folder / "program"
        simulate = (*program.simulate, str(there), *program.options)
        self._both(simulate, there, self.same.simulated, "simulate")
        if program.spoil is not None:
            program.spoil(there)
        folders = sorted(there.glob(program.folders)) if program.folders else [there]
        references = ("--references", str(there / program.references))
        for name, options in program.runs.items():
            out = self.folder / "out"
            run = (
                "run", *map(str, folders), "--output", str(out),
                "--cluster", "threads", "--workers", "1", "--quiet",
                *(references if program.references else ()), *options,
            )  # fmt: skip
            self.same.runs += 1
            self._both(run, out, self.same.products, name)

    def _both(self, arguments: Sequence[str], out: Path, found: Comparison, name: str) -> None:
        """Call both trees and compare what they wrote; keep what the old one simulated."""
        aside = out.with_name(f"{out.name}-old")
        before = self._call(self.trees[0], arguments, out)
        out.rename(aside)
        after = self._call(self.trees[1], arguments, out)
        with found.at(name), self.same.results.at(name):
            if before != after:
                self.same.results.note(f"exit code {after}, was {before}")
            compare_folders(aside, out, found, SKIP)
            if arguments[0] == "run":
                compare_results(aside, out, self.same)
                self._keep_masks(aside)
        shutil.rmtree(out)
        if arguments[0] == "run":
            shutil.rmtree(aside)
        else:
            aside.rename(out)

    def _keep_masks(self, products: Path) -> None:
        """Keep the first slitless product as a mask for later runs, and one of nothing."""
        product = next(iter(sorted(products.glob("*_bsub.fits"))), None)
        if product is None or self.mask.exists():
            return
        shutil.copyfile(product, self.mask)
        nothing = np.zeros(fits.getdata(product, "SCI").shape, np.int32)
        hdus = [fits.PrimaryHDU(), fits.ImageHDU(nothing, name="MASK")]
        fits.HDUList(hdus).writeto(self.nothing)

    def _call(self, tree: Path, arguments: Sequence[str], out: Path) -> int:
        """Call a tree's bkgflow; return its exit code. 1 is that of a unit that was not done."""
        given = [argument.format(**self.words) for argument in arguments]
        done = subprocess.run(
            [sys.executable, "-P", "-c", ENTRY, str(tree), *given],
            env={**os.environ, "PYTHONPATH": str(tree)},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in (0, 1) or not out.exists():
            words = (done.stderr or done.stdout).strip().splitlines()[-20:]
            text = "\n".join(words)
            raise _TreeError(
                f"{tree}: bkgflow {' '.join(given)} ended with {done.returncode}\n{text}"
            )
        return done.returncode
