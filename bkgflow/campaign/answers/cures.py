"""What mends a product that is not as its ledger says: a run, or one that does the unit anew."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass

from bkgflow.campaign.asked import Asked
from bkgflow.campaign.ledger.reader import Reader
from bkgflow.campaign.ledger.rows import Kept, KeptFile
from bkgflow.io.storage.handed import working_folder
from bkgflow.io.storage.identity import Stamp
from bkgflow.io.storage.location import Location
from bkgflow.verdict import State

__all__ = ["Cures"]

AGAIN = "Do it again: bkgflow run, with the program and the output folder of before"

ANEW = "A run takes it for good: do it anew"

GONE = "The program has no such unit any more: remove it"


@dataclass(frozen=True, slots=True)
class Cures:
    """What a campaign is told to do about its products.

    Attributes
    ----------
    asked : mapping
        What was asked for, by run.
    wanted : set of str
        Names of the units that the program still has.
    """

    asked: Mapping[str, Asked]
    wanted: Set[str]

    @classmethod
    def of(cls, reader: Reader, output: Location, wanted: Set[str]) -> Cures:
        """Return those of a campaign whose ledger is open, in the folder where it lies now."""
        runs = reader.runs()
        return cls({each.run: Asked.from_dict(each.asked).into(output) for each in runs}, wanted)

    def cure(self, unit: Kept, file: KeptFile | None, now: Stamp | None) -> str:
        """Return what mends a file of a unit that is wrong.

        Parameters
        ----------
        file : KeptFile or None
            As the ledger has it; None where it has none.
        now : Stamp or None
            As it is; None where it is missing.
        """
        if unit.unit not in self.wanted:
            return GONE
        if file is None or _noticed(unit, file, now):
            return AGAIN
        return self._anew(unit)

    def _anew(self, unit: Kept) -> str:
        """Return the command that does a unit anew: that of its last run, or of the last of all."""
        known = [each for each in self.asked.values() if each.command]
        asked = self.asked.get(unit.run)
        if asked is None or (not asked.command and not asked.plan and known):
            asked = known[-1] if known else Asked()
        only = re.sub(r"([*?[])", r"[\1]", unit.unit)  # a name, no pattern
        if command := asked.anew(only, str(working_folder())):
            return f"{ANEW}: {command}"
        return f"{ANEW}: bkgflow.run(plan, fresh=True, only=[{only!r}])"


def _noticed(unit: Kept, file: KeptFile, now: Stamp | None) -> bool:
    """Whether a run notices by itself that a file is another; it reads none of the same time."""
    if unit.state == State.QUARANTINED or file.digest != unit.digest:
        return False  # it stays until the unit succeeds
    return now is None or now != (file.size, file.mtime_ns)
