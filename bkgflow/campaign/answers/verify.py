"""Whether every product of a campaign is there, whole, and as its ledger says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bkgflow.campaign.answers.asked import Tell, asked, is_own, running, side_by_side
from bkgflow.campaign.answers.cures import Cures
from bkgflow.campaign.answers.wanted import still_wanted
from bkgflow.campaign.ledger.rows import Kept, KeptFile
from bkgflow.errors import FileError, InputError
from bkgflow.io.fits.checksums import check_checksums
from bkgflow.io.storage.identity import Stamp
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.space import stamps_of
from bkgflow.io.zarr.reading import holds_group
from bkgflow.io.zarr.stream import check_whole, walk_product
from bkgflow.planning.frames import Row, frame_of, html_of
from bkgflow.texts import many
from bkgflow.verdict import State

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Checked", "Verified", "verify"]

WRITTEN = {State.COMPLETE, State.SKIPPED, State.FAILED}
"""States of units that have a product."""

COLUMNS = ("file", "unit", "good", "why", "cure", "size", "checksum")


@dataclass(frozen=True, slots=True)
class Checked:
    """A file that the ledger has, or should have, as it was found.

    Attributes
    ----------
    size : int
        In bytes, as it is; -1 where it is not there.
    why : str
        What is wrong with it; empty where nothing is.
    """

    file: str
    unit: str
    size: int
    checksum: str
    why: str = ""
    cure: str = ""

    @property
    def good(self) -> bool:
        """Whether it is as the ledger says."""
        return not self.why


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found of a campaign's products.

    Attributes
    ----------
    files : tuple of Checked
        Of all units, in the ledger's order.
    unknown : tuple of str
        Files in the folder that neither the ledger nor bkgflow itself knows.
    quick : bool
        Whether no pixels were read.
    running : str
        The run that goes on meanwhile; empty where none does.
    """

    output: str
    files: tuple[Checked, ...]
    unknown: tuple[str, ...] = ()
    quick: bool = False
    running: str = ""

    @property
    def ok(self) -> bool:
        """Whether every product is there and as the ledger says."""
        return not self.wrong

    @property
    def wrong(self) -> list[Checked]:
        """The files that are not."""
        return [each for each in self.files if not each.good]

    def _rows(self) -> list[Row]:
        return [{name: getattr(each, name) for name in COLUMNS} for each in self.files]

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas table, a row for each file."""
        return frame_of(self._rows(), COLUMNS)

    def to_dict(self) -> dict[str, object]:
        """Return all of it as plain values, for JSON."""
        return {
            "output": self.output,
            "ok": self.ok,
            "quick": self.quick,
            "running": self.running,
            "files": self._rows(),
            "unknown": list(self.unknown),
        }

    def _lines(self) -> Iterator[str]:
        if self.running:
            yield f"{self.running}; what it has just published may count as unknown"
        good = len(self.files) - len(self.wrong)
        how = "there, as large as the ledger says, and" if self.quick else "as the ledger says, and"
        verbs = ("is", "opens") if good == 1 else ("are", "open")
        total = many(len(self.files), "file")
        yield f"{good:,} of {total} {verbs[0]} {how} {verbs[1]}: {self.output}"
        for each in self.wrong:
            yield f"{each.file}: {each.why}. {each.cure}"  # a command may be pasted: no full stop
        if self.unknown:
            yield f"{many(len(self.unknown), 'file')} that the ledger does not know:"
        for name in self.unknown:
            yield f"  {name}"

    def __str__(self) -> str:
        """How many are good, every wrong one with why and the cure, and unknown ones."""
        return "\n".join(self._lines())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """What a notebook shows: the same, and a table of files, wrong ones first."""
        rows = sorted(self._rows(), key=lambda row: bool(row["good"]))
        return html_of(str(self), rows, COLUMNS[:5])


def verify(output: PathLike, *, quick: bool = False, tell: Tell | None = None) -> Verified:
    """See whether every product is as its ledger says; see `bkgflow.verify`."""
    folder = Location.of(output)
    goes_on = running(folder)
    with asked(folder) as reader:
        units = reader.units(all_of_them=True)
        wanted = still_wanted(units, {each.unit for each in reader.units()})
        cures = Cures.of(reader, folder, wanted)
        look = _Look(folder, _stamps(folder, units), quick, cures)
        files = _looked_at(look, units, tell)
        wrong = {each.unit for each in files if not each.good}
        if goes_on and wrong:  # a unit may have been done anew since the ledger was read
            now = [unit for unit in reader.units(*sorted(wrong)) if unit.unit in wrong]
            again = _looked_at(_Look(folder, _stamps(folder, now), quick, cures), now)
            files = [*(each for each in files if each.unit not in wrong), *again]
    known = {each.file for each in files}
    unknown = [name for name in sorted(look.there) if name not in known and not is_own(name)]
    return Verified(str(folder), tuple(files), tuple(unknown), quick, goes_on)


def _stamps(folder: Location, units: list[Kept]) -> dict[str, Stamp]:
    return stamps_of(folder, (each.file for unit in units for each in unit.files))


def _looked_at(look: _Look, units: list[Kept], tell: Tell | None = None) -> list[Checked]:
    work: list[tuple[Kept, KeptFile | None]] = []
    for unit in units:
        if not unit.files and unit.state in WRITTEN and unit.unit in look.cures.wanted:
            work.append((unit, None))
        work += [(unit, each) for each in unit.files if not look.cleaned(unit, each)]
    return side_by_side(look.checked, work, tell)


@dataclass(frozen=True, slots=True)
class _Look:
    output: Location
    there: Mapping[str, Stamp]
    quick: bool
    cures: Cures

    def cleaned(self, unit: Kept, file: KeptFile) -> bool:
        """Whether a file is gone that nobody wants: of no unit any more, or of an older version."""
        if file.file in self.there:
            return False
        newer = file.digest != unit.digest and any(f.digest == unit.digest for f in unit.files)
        return unit.unit not in self.cures.wanted or newer

    def checked(self, work: tuple[Kept, KeptFile | None]) -> Checked:
        """Return how a file of a unit is."""
        unit, file = work
        if file is None:
            why = f"the unit is {unit.state}, and the ledger has no product of it"
            return Checked(unit.unit, unit.unit, -1, "", why, self.cures.cure(unit, None, None))
        why, checksum = self._wrong(file)
        now = self.there.get(file.file)
        cure = self.cures.cure(unit, file, now) if why else ""
        return Checked(file.file, unit.unit, now.size if now else -1, checksum, why, cure)

    def _wrong(self, file: KeptFile) -> tuple[str, str]:
        """Return what is wrong with a file, and its checksum where it was read."""
        location = self.output / file.file
        if why := self._not_there(file, location) or _not_opened(location):
            return why, ""
        if self.quick:
            return _shards(location), ""
        checksum = location.checksum()
        if not checksum:
            return "it cannot be read to its end", ""
        if file.checksum and checksum != file.checksum:
            return f"its bytes are not those that were written ({checksum})", checksum
        return "" if file.checksum else _sums(location), checksum

    def _not_there(self, file: KeptFile, location: Location) -> str:
        stamp = self.there.get(file.file)
        if stamp is None:
            return "it is a folder" if location.is_dir() else "it is missing"
        if stamp.size != file.size:
            return f"it has {stamp.size:,} bytes, the ledger says {file.size:,}"
        return ""


def _not_opened(location: Location) -> str:
    """Say why a file cannot be opened as what it is; empty where it can."""
    try:
        if location.name.lower().endswith(".fits") or holds_group(location):
            walk_product(location)
        else:
            with location.open("A product"):
                pass
    except InputError as error:
        found = f" (found: {error.value})" if error.value else ""
        return f"it cannot be opened: {error.rule}{found}"
    return ""


def _shards(location: Location) -> str:
    """Say which shards of a product in zarr are missing, or cut; empty where none are."""
    try:
        check_whole(location)
    except FileError as error:
        return f"{error.rule} (found: {error.value})"
    return ""


def _sums(location: Location) -> str:
    """Hold a file of which the ledger has no checksum against those in its headers."""
    if holds_group(location):
        return _shards(location)  # what its headers add up to is of the FITS file
    try:
        check_checksums(location)
    except FileError as error:
        return f"{error.rule} (found: {error.value})"
    return ""
