"""What must be true after a crash and the same command once more."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from astropy.io import fits

from benchmarks.fault_tools import bkgflow, ended, traceback_in
from bkgflow.campaign.place import open_campaign
from bkgflow.errors import BkgflowError
from bkgflow.io.storage.location import Location

__all__ = ["Known", "Site", "Tried", "fingerprint", "known_by"]

DATES = {"DATE", "CHECKSUM", "DATASUM"}
"""Cards that differ between two products of the same inputs."""

BESIDE = {
    "bkgflow-campaign.json",
    "bkgflow-events.jsonl",
    "bkgflow-facts.jsonl",
    "bkgflow-ledger.sqlite",
    "bkgflow-run.json",
    "bkgflow.log",
}
"""Files that a run leaves beside its products."""


def fingerprint(path: Path) -> str:
    """Return a sum of a product's headers, without dates, and of its arrays; empty if broken."""
    total = hashlib.sha256()
    try:
        with fits.open(path, memmap=False, lazy_load_hdus=False) as hdus:
            for hdu in hdus:
                cards = [str(card) for card in hdu.header.cards if card.keyword not in DATES]
                total.update("\n".join(cards).encode())
                # The tree in the ASDF extension has the date as well.
                if hdu.name != "ASDF" and hdu.data is not None:
                    total.update(hdu.data.tobytes())
    except Exception:  # whatever is wrong with it
        return ""
    return total.hexdigest()


@dataclass(frozen=True)
class Known:
    """What a ledger has: units that are complete, and how often each was begun."""

    complete: frozenset[str] = frozenset()
    begun: Counter[str] = field(default_factory=Counter)
    runs: int = 0


def known_by(out: Path) -> Known:
    """Ask the ledger of an output folder; one that is not there yet knows nothing."""
    with suppress(BkgflowError):
        database, reader = open_campaign(Location.of(out))
        with closing(database):
            complete = frozenset(each.unit for each in reader.units(states=("COMPLETE",)))
            begun = Counter(str(e["unit"]) for e in reader.events() if e["event"] == "begins")
            return Known(complete, begun, len(reader.runs()))
    return Known()


@dataclass
class Tried:
    """What came of one sort of crash.

    Attributes
    ----------
    times : int
        How often it was tried.
    complete : int
        Units that the ledger had as complete when the run was dead, in all.
    again : int
        Units that had been begun and were done again, in all; none of them was complete.
    wrong : list of str
        What should not have been; empty where all is right.
    """

    times: int = 0
    complete: int = 0
    again: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Site:
    """Where crashes are tried.

    Attributes
    ----------
    right : mapping
        By the names of products, their fingerprints in an undisturbed run.
    seconds : float
        That such a run takes.
    times : int
        How often what is left to chance is tried.
    """

    program: Path
    scratch: Path
    units: int
    right: Mapping[str, str]
    seconds: float
    times: int
    chance: random.Random
    say: Callable[[str], object]

    def arguments(self, out: Path, cluster: str, *more: object) -> list[object]:
        """Return a command line."""
        workers = ["--workers", 2] if cluster in {"local", "threads"} else []
        return ["run", self.program, "--output", out, "--cluster", cluster, *workers, *more]

    def moment(self, start: float = 0.25) -> float:
        """Return a random moment of a run: seconds after its start."""
        return self.chance.uniform(start, 1.0) * self.seconds

    def resumed(self, tried: Tried, out: Path, cluster: str, *more: object) -> None:
        """Give the same command once more, and hold what it leaves against what must be true."""
        before, times = known_by(out), _times(out)
        code, said = ended(*self.arguments(out, cluster, *more), out=out)
        tried.times += 1
        tried.complete += len(before.complete)
        for what in self._wrong(before, times, out, code, said):
            tried.wrong.append(f"{out.name}: {what}")
        after = known_by(out)
        redone = {u for u in before.begun if after.begun[u] > before.begun[u]}
        tried.again += len(redone)

    def _wrong(
        self, before: Known, times: Mapping[str, int], out: Path, code: int | None, said: str
    ) -> list[str]:
        wrong, after = [], known_by(out)
        if code != 0:
            wrong.append(f"exit code {code}: {said[-300:]}")
        if shown := traceback_in(said):
            wrong.append(f"a traceback: {shown}")
        with suppress(OSError, ValueError):
            counts = json.loads((out / "bkgflow-run.json").read_text())["counts"]
            if counts != {"COMPLETE": self.units}:
                wrong.append(f"the result says {counts}")
        if len(after.complete) != self.units:
            wrong.append(f"the ledger has {len(after.complete)} complete units")
        again = [u for u in before.complete if after.begun[u] != before.begun[u]]
        again += [u for u in before.complete if _times(out).get(u) != times.get(u)]
        if again:
            wrong.append(f"{len(again)} complete units were done again: {again[0]}")
        names = {path.name for path in out.iterdir()}
        if left := names - set(self.right) - BESIDE:
            wrong.append(f"left behind: {', '.join(sorted(left)[:3])}")
        found = {name: fingerprint(out / name) for name in self.right}
        if other := [name for name, value in found.items() if value != self.right[name]]:
            wrong.append(f"{len(other)} products are not those of an undisturbed run: {other[0]}")
        return wrong

    def killed(self, out: Path, cluster: str, seconds: float) -> None:
        """Kill a driver, so many seconds after it has started; nothing can be said any more."""
        with bkgflow(*self.arguments(out, cluster), out=out) as running:
            running.wait_for(lambda: False, seconds)
            running.kill()


def _times(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in out.glob("*_bsub.fits")}
