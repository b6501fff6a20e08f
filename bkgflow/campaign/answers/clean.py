"""What lies in a campaign's folder and nobody wants any more: shown first, then removed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bkgflow.campaign.answers.asked import asked, not_running
from bkgflow.campaign.answers.wanted import input_names, still_wanted
from bkgflow.campaign.compute import new_run
from bkgflow.campaign.ledger.restore import WHY
from bkgflow.campaign.ledger.rows import Kept, KeptFile
from bkgflow.errors import BkgflowError
from bkgflow.io.products.describe import COMBINED_SUFFIX, product_name
from bkgflow.io.products.said import file_called, read_said
from bkgflow.io.storage.beside import remove
from bkgflow.io.storage.identity import Stamp
from bkgflow.io.storage.leftovers import clear_dead, dead_in
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.lock import hold
from bkgflow.io.storage.space import stamps_of
from bkgflow.io.zarr.reading import holds_group
from bkgflow.planning.frames import Row, frame_of, html_of
from bkgflow.report.tables import human_bytes
from bkgflow.texts import many

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Cleaned", "Unwanted", "clean"]

ROTATED = re.compile(r"bkgflow[\w.-]*\.(log|jsonl)\.\d+(\.gz)?")
"""Names of logs that were put away when a new one was begun."""

PICTURES = "pictures"

COLUMNS = ("file", "size", "why", "removed")


@dataclass(frozen=True, slots=True)
class Unwanted:
    """A file or hidden folder that nobody wants any more, and why."""

    file: str
    size: int
    why: str


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What nobody wants any more in a campaign's folder.

    Attributes
    ----------
    removed : bool
        Whether it was removed; else it is only shown.
    left : tuple of str
        Why something stays all the same, a sentence each.
    """

    output: str
    unwanted: tuple[Unwanted, ...]
    removed: bool = False
    left: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all of it."""
        return sum(each.size for each in self.unwanted)

    def _rows(self) -> list[Row]:
        return [
            {"file": each.file, "size": each.size, "why": each.why, "removed": self.removed}
            for each in self.unwanted
        ]

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas table, a row for each file."""
        return frame_of(self._rows(), COLUMNS)

    def to_dict(self) -> dict[str, object]:
        """Return all of it as plain values, for JSON."""
        return {"output": self.output, "unwanted": self._rows(), "left": list(self.left)}

    def _lines(self) -> Iterator[str]:
        for each in self.unwanted:
            yield f"{human_bytes(each.size):>10}  {each.file}: {each.why}"
        yield from self.left
        what = f"{many(len(self.unwanted), 'file')}, {human_bytes(self.size)}"
        if not self.unwanted:
            yield f"Nothing to clean in {self.output}"
        elif self.removed:
            yield f"{what} removed from {self.output}"
        else:
            yield f"{what} in {self.output} can be removed (--yes, or yes=True)"

    def __str__(self) -> str:
        """Every file with its size and why, and whether it was removed."""
        return "\n".join(self._lines())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return html_of(list(self._lines())[-1], self._rows(), COLUMNS)


def clean(output: PathLike, *, yes: bool = False, keep_products: bool = False) -> Cleaned:
    """Show, or remove, what nobody wants any more; see `bkgflow.clean`."""
    folder = Location.of(output)
    not_running(folder)
    if not yes:
        found = _Search.of(folder).found(keep_products=keep_products)
        return Cleaned(str(folder), tuple(found))
    _Search.of(folder)  # a folder without a campaign is not held either
    with hold(folder, new_run()):
        found = _Search.of(folder).found(keep_products=keep_products)
        hidden = {str(each) for where in _folders(folder) for each, _ in dead_in(where)}
        files = [Location.of(each.file) for each in found if each.file not in hidden]
        gone, left = remove(files)
        for where in _folders(folder):
            left += clear_dead(where).kept
        left += _listed_anew({each.parent for each in gone})
        removed = {str(each) for each in gone} | hidden
        there = tuple(each for each in found if each.file in removed)
    return Cleaned(str(folder), there, True, tuple(left))


def _listed_anew(parents: Iterable[Location]) -> Iterator[str]:
    """Have stores forget products that are gone: zarr would give NaN for what is only listed."""
    for store in sorted(filter(holds_group, parents)):
        from bkgflow.io.zarr.stores import finish_store  # zarr takes half a second to import

        try:
            finish_store(store)
        except BkgflowError as problem:
            yield f"{store} still lists what was removed: {problem.message}"


def _folders(folder: Location) -> tuple[Location, ...]:
    return folder, folder / PICTURES


@dataclass(frozen=True, slots=True)
class _Search:
    """A folder beside its ledger.

    Attributes
    ----------
    inputs : set of str
        Names of all files that any unit was made from, wherever they lie.
    targets : set of str
        Real paths of all targets.
    """

    output: Location
    units: list[Kept]
    listed: set[str]
    there: Mapping[str, Stamp]
    inputs: set[str] = field(default_factory=set)
    targets: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, folder: Location) -> _Search:
        """Read the ledger and the folder; `LedgerError` where there is none."""
        with asked(folder) as reader:
            units = reader.units(all_of_them=True)
            listed = {each.unit for each in reader.units()}
        targets = {Location.of(unit.target).real() for unit in units if unit.target}
        there = stamps_of(folder, (each.file for unit in units for each in unit.files))
        return cls(folder, units, listed, there, input_names(units), targets)

    def found(self, *, keep_products: bool) -> list[Unwanted]:
        """Return everything that nobody wants any more."""
        found = [
            Unwanted(str(each), size, "a file that a dead run or process began")
            for folder in _folders(self.output)
            for each, size in dead_in(folder)
        ]
        found += self._files(self._logs())
        if not keep_products:
            found += self._files(self._superseded())
            found += self._files(self._combined())
        return found

    def _files(self, files: Iterable[tuple[str, str]]) -> Iterator[Unwanted]:
        """Yield files that may be removed: no links, no inputs, nothing that is current."""
        current = {
            file.file
            for unit in self.units
            if unit.unit in self.listed
            for file in unit.files
            if file.digest == unit.digest
        }
        for name, why in files:
            location = self.output / name
            if name in current or self._is_input(location):
                continue
            yield Unwanted(str(location), self.there[name].size, why)

    def _is_input(self, location: Location) -> bool:
        if location.name in self.inputs or location.real() in self.targets:
            return True
        return location.real() != str(Location.of(location.parent.real()) / location.name)  # a link

    def _logs(self) -> Iterator[tuple[str, str]]:
        for name in sorted(self.there):
            if ROTATED.fullmatch(name):
                yield name, "an old log"

    def _superseded(self) -> Iterator[tuple[str, str]]:
        """Yield products of units that are no more, and of older versions."""
        wanted = still_wanted(self.units, self.listed)
        for unit in self.units:
            newer = any(each.digest == unit.digest for each in unit.files)
            for file in unit.files:
                if not self._as_written(file):
                    continue  # somebody else's, or damaged: not for us to remove
                if unit.unit not in wanted and unit.why != WHY:
                    # Of one that was rebuilt, nobody knows whether the campaign made it.
                    yield file.file, "the program has no such unit any more"
                elif file.digest != unit.digest and newer:
                    yield file.file, "there is a newer version of it"

    def _as_written(self, file: KeptFile) -> bool:
        stamp = self.there.get(file.file)
        if stamp is None or stamp.size != file.size:
            return False
        if stamp.mtime_ns == file.mtime_ns:
            return True
        return bool(file.checksum) and (self.output / file.file).checksum() == file.checksum

    def _combined(self) -> Iterator[tuple[str, str]]:
        """Yield combined backgrounds of products that have been made anew without."""
        known = {file.file for unit in self.units for file in unit.files}
        owners = {product_name(unit.unit, COMBINED_SUFFIX): unit for unit in self.units}
        for name, unit in owners.items():
            if name not in self.there or name in known or not unit.files:
                continue
            try:
                said = read_said(self.output / name)
            except BkgflowError:
                continue
            key = (said.record or {}).get("key")
            if said.file_name == file_called(name) and key and key != unit.digest:
                yield name, "a combined background that nobody asks for any more"
