"""A small campaign that is run again and again: what was done in each run, and why."""

from __future__ import annotations

import os
from pathlib import Path

import bkgflow
from bkgflow.api.programs import choices
from bkgflow.campaign.place import open_campaign
from bkgflow.io.storage.location import Location
from tests.helpers.exposures import make_model, write_association

PLAN_OPTIONS = ("references", "checksum", "sigma", "maxiters", "save_combined_background", "memory")
RESUME_OPTIONS = ("fresh", "only", "retry_failed", "rerun_on", "ledger", "labels")


def exposure(path: Path, value: float = 3.0, **more: object) -> Path:
    """Write an exposure of one value."""
    with make_model([[value] * 24] * 24, **more) as model:
        model.save(str(path))
    return path


class Campaign:
    """A program of targets, two of which share a background each; and its output folder.

    Attributes
    ----------
    always : dict
        Options of every run.
    """

    def __init__(self, folder: Path, targets: int = 4, **always: object) -> None:
        self.program, self.out, self.always = folder / "program", folder / "out", always
        self.program.mkdir(parents=True)
        for number in range(targets):
            exposure(self.program / f"t{number}_rate.fits")
            if number % 2 == 0:
                exposure(self.program / f"b{number // 2}_rate.fits", 1.0)
            self.ask_for(number)

    def ask_for(self, number: int, *, target: str = "", product: str = "") -> Path:
        """Write the association of one target."""
        name = target or f"t{number}_rate.fits"
        asked = [(product or f"p{number}", name, [f"b{number // 2}_rate.fits"])]
        return write_association(self.program / f"{number}_asn.json", asked)

    def plan(self, **options: object) -> bkgflow.Plan:
        return bkgflow.plan(options.pop("program", self.program), self.out, **options)

    def run(self, cluster: object = "threads", **options: object) -> bkgflow.RunResult:
        """Run the campaign, with options of the plan and of the run."""
        given = self.always | options
        planned = {n: given.pop(n) for n in (*PLAN_OPTIONS, "program") if n in given}
        more = {} if "workers" in given or cluster != "threads" else {"workers": 1}
        return bkgflow.run(self.plan(**planned), cluster, progress=False, **given, **more)

    def done(self, **options: object) -> list[str]:
        """Run the campaign; return the targets that were done, and nothing else."""
        result = self.run(**options)
        begun = set(self.begun(result.run))
        return sorted(unit.name for unit in result.plan.units if unit.output in begun)

    def begun(self, run: str) -> list[str]:
        """Return the products that a run has begun, each as often as it was."""
        return [each["unit"] for each in self.events(run) if each["event"] == "begins"]

    def events(self, run: str | None = None) -> list[dict[str, object]]:
        database, reader = open_campaign(Location.of(self.out))
        try:
            return reader.events(run=run)
        finally:
            database.close()

    def kept(self) -> dict[str, object]:
        """How all units stand, by their names in the ledger."""
        database, reader = open_campaign(Location.of(self.out))
        try:
            return {each.unit: each for each in reader.units(all_of_them=True)}
        finally:
            database.close()

    def why(self, **options: object) -> dict[str, str]:
        """Ask why each unit would be done, or not; nothing is run."""
        given = self.always | options
        asked = {name: given.pop(name) for name in RESUME_OPTIONS if name in given}
        found = choices(self.plan(**given), **asked)
        return {
            each.unit.name: f"{'do' if each.do else 'leave'}: {each.why}" for each in found.units
        }


def touch(path: Path, seconds: float = 5.0) -> None:
    """Have a file look as if it had been written again, without another byte."""
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + int(seconds * 1e9)))


def change_bytes(path: Path) -> None:
    """Change one byte of a file, but neither its size nor its time."""
    stat, data = path.stat(), bytearray(path.read_bytes())
    data[-100] = (data[-100] + 1) % 256
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
