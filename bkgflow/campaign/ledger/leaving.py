"""Which units a program has no more, and which are another program's.

Several programs may run into one output folder, one after the other. A unit that a plan does not
have is no unit any more only where the plan's own program had it. In doubt it stays: of one that
nobody wants the product can be removed.
"""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from bkgflow.errors import BkgflowError
from bkgflow.io.storage.location import Location
from bkgflow.planning.plan import Plan
from bkgflow.planning.unit import Unit

__all__ = ["Asker", "have_left"]


@dataclass(frozen=True, slots=True)
class Asker:
    """What asks for a unit.

    Attributes
    ----------
    association, target : str
        As `Unit` has them.
    computed : bool
        Whether it is one that can be computed, not one that was refused.
    """

    association: str
    target: str
    computed: bool

    @classmethod
    def of(cls, unit: Unit) -> Asker:
        """Return what asks for a unit of a plan."""
        return cls(unit.association, str(unit.target), bool(unit.kind))

    @property
    def in_memory(self) -> str:
        """The name of an association that lies in no file; empty where it does, or is none."""
        return "" if "/" in self.association else self.association

    @property
    def file(self) -> str:
        """The association, or the exposure that was given without one; empty if nobody knows."""
        return self.association if "/" in self.association else self.target


def have_left(
    units: Mapping[str, Asker], plan: Plan, taken: Iterable[tuple[Asker, Asker]]
) -> Iterator[str]:
    """Yield the units that a plan's program has no more, of those that the plan does not have.

    Parameters
    ----------
    units : mapping
        What has asked for these, by their names.
    taken : iterable of pairs
        What has asked for the units that the plan does have, and what asks for them now.
    """
    if units:
        program = _Program.of(plan, taken)
        yield from (name for name, asker in units.items() if program.had(asker))


@dataclass(frozen=True, slots=True)
class _Program:
    """What a plan's program asks with, and where that lies.

    Attributes
    ----------
    files : set of str
        Whatever asks for a unit now, or did before it was moved.
    in_memory : set of str
        Names of associations that lie in no file.
    beside : dict
        Folders of its associations now, by what they were called.
    below : set of (str, str)
        Folders that it was given as: as they were called, and as they are now.
    """

    files: set[str]
    in_memory: set[str]
    beside: dict[str, set[str]]
    below: set[tuple[str, str]]
    there: dict[str, bool] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: Plan, taken: Iterable[tuple[Asker, Asker]]) -> _Program:
        askers = [Asker.of(unit) for unit in plan.units]
        in_memory = {each.in_memory for each in askers} - {""}
        made = cls(set(), in_memory, defaultdict(set), set())
        made.files.update(made.real(each.file) for each in askers)
        for folder in map(posixpath.dirname, made.files):
            made.beside[folder].add(folder)
        tops = {each.real().rstrip("/") for each in plan.folders}
        made.below.update((top, top) for top in tops)
        for before, now in taken:
            made._moved(made.real(before.file), made.real(now.file), tops)
        return made

    def _moved(self, before: str, now: str, tops: set[str]) -> None:
        """Take down that what asks for a unit lies elsewhere than before."""
        if before == now or not before:
            return
        named_so = posixpath.basename(before) == posixpath.basename(now)
        if named_so or not self._is_there(before):
            self.files.add(before)
        if named_so:
            self.beside[posixpath.dirname(before)].add(posixpath.dirname(now))
        for top in tops:
            inside = now.removeprefix(top)
            if inside != now and before.endswith(inside):
                self.below.add((before.removesuffix(inside), top))

    def had(self, asker: Asker) -> bool:
        """Whether it had a unit that its plan does not have now."""
        if asker.in_memory in self.in_memory and not asker.computed:
            return True  # a product of an association of this name, which was refused
        file = self.real(asker.file)
        if file in self.files:
            return True
        places = set(self._places(file, beside=file == self.real(asker.association)))
        if not places:
            return False  # another program
        return not places.isdisjoint(self.files) or not any(map(self._is_there, {file, *places}))

    def _places(self, file: str, *, beside: bool) -> Iterator[str]:
        """Yield where a file would be now that lay in its folders.

        ``beside`` says whether another file that lies there makes a folder one of them: each
        exposure that is given by itself is a program of its own.
        """
        folder, name = posixpath.split(file)
        if beside:
            yield from (f"{now}/{name}" for now in self.beside.get(folder, ()))
        for before, now in self.below:
            inside = file.removeprefix(f"{before}/")
            if inside != file:
                yield f"{now}/{inside}"

    def real(self, file: str) -> str:
        """Return a file with the links of its folder resolved; a link keeps its own name."""
        folder, name = posixpath.split(file)
        if not folder:
            return file
        if folder not in self.folders:
            self.folders[folder] = Location(folder).real().rstrip("/")
        return f"{self.folders[folder]}/{name}"

    def _is_there(self, file: str) -> bool:
        """Whether a file is there; also where its storage does not say."""
        if file not in self.there:
            try:
                self.there[file] = Location(file).exists()
            except (OSError, BkgflowError):
                self.there[file] = True
        return self.there[file]
