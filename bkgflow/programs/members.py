"""Where the members of associations lie: one order of places, and an error that lists them.

Beside the association, as it names the member; in each of the folders given as ``data`` and below
it, by name; in the program's own folders and below them, by name; in the working folder.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from bkgflow.errors import AssociationError, BkgflowError, FileError, PlanError
from bkgflow.io.storage.compare import are_copies
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.tree import Tree, names_in, walk
from bkgflow.io.storage.web import is_web
from bkgflow.programs.association import Association, Product
from bkgflow.programs.search_path import SearchPath, check_confined

__all__ = ["Finder"]


@dataclass
class Finder:
    """Finds members, and remembers every folder that it has looked into.

    Attributes
    ----------
    trees : list of Tree
        The program's own folders.
    missing : dict
        Where a member would be that is nowhere, and the error that says so.
    """

    search: SearchPath = field(default_factory=SearchPath)
    trees: list[Tree] = field(default_factory=list)
    missing: dict[Location, BkgflowError] = field(default_factory=dict)
    _names: dict[str, frozenset[str] | None] = field(default_factory=dict)
    _plain: dict[str, str] = field(default_factory=dict)
    _elsewhere: dict[str, list[Location]] = field(default_factory=dict)
    _data: list[Tree] | None = None

    def add(self, top: Location) -> Tree:
        """Look into a folder of the program; `PlanError` where it may not be read."""
        tree = _walked(top)
        self.trees.append(tree)
        self._names |= {folder: frozenset(names) for folder, names in tree.folders.items()}
        return tree

    def placed(self, association: Association) -> Association:
        """Return the association with the locations of all members."""
        folder = association.location.parent
        return replace(
            association,
            products=tuple(self._placed(association, folder, p) for p in association.products),
        )

    def _placed(self, association: Association, folder: Location, product: Product) -> Product:
        notes = list(product.notes)
        found = [(kind, self._find(folder, name, notes)) for kind, name in product.names]
        science = next(each for kind, each in found if kind == "science")
        backgrounds = tuple(dict.fromkeys(each for kind, each in found if kind == "background"))
        problem = product.problem
        if science in backgrounds:  # by two names
            problem = AssociationError(
                f"The target of product {product.name} must not be one of its own backgrounds",
                file=association.location,
                value=str(science),
                cure="Remove it from the background members",
            )
        others = tuple(pair for pair in found if pair[0] not in ("science", "background"))
        return replace(
            product,
            science=science,
            backgrounds=backgrounds,
            others=others,
            notes=tuple(notes),
            problem=problem,
        )

    def _find(self, folder: Location, expname: str, notes: list[str]) -> Location:
        """Return where a member is; where it would be, if that is nowhere."""
        first = self._beside(folder, expname)
        try:
            check_confined(first, self.search.confine)
            found = next(filter(None, self._hits(folder, first, expname)), None)
            if found is None:
                raise self._nowhere(folder, first, expname)
            location = _only(found, first, notes)
            check_confined(location, self.search.confine)
        except BkgflowError as error:  # a scheme that nobody knows is an error of its own
            self.missing[first] = error
            return first
        if _is_absolute(expname) and location != first:
            notes.append(f"{expname} is not there; {location} is used")
        return location

    def _beside(self, folder: Location, expname: str) -> Location:
        """Return the path that an association names, without ``..`` where no link is in the way."""
        if "://" in expname:
            return Location.of(expname)
        where = Location(posixpath.normpath(expname)) if expname[0] == "/" else folder / expname
        if not where.is_local:
            scheme, _, path = where.url.partition("://")
            return Location(f"{scheme}://{posixpath.normpath(path)}")
        above, name = os.path.split(where.url)
        if above not in self._plain:
            plain = os.path.normpath(above)
            same = plain == above or Location(plain).real() == Location(above).real()
            self._plain[above] = plain if same else above
        return Location(self._plain[above]) / name

    def _hits(self, folder: Location, first: Location, expname: str) -> Iterator[list[Location]]:
        """Look in every place, in order; each gives the files that fit a member best."""
        yield self._there(first)
        name = _name(expname)
        if name != expname:
            yield self._there(folder / name)
        if expname not in self._elsewhere:  # is the same for every association
            self._elsewhere[expname] = next(filter(None, self._hits_elsewhere(name, expname)), [])
        yield self._elsewhere[expname]

    def _hits_elsewhere(self, name: str, expname: str) -> Iterator[list[Location]]:
        for tree in self._data_trees():
            yield _best(tree.named(name), expname, [tree])
        below = dict.fromkeys(each for tree in self.trees for each in tree.named(name))
        yield _best(list(below), expname, self.trees)
        here = Location.of("")
        yield self._there(self._beside(here, expname)) or self._there(here / name)

    def _there(self, location: Location) -> list[Location]:
        """Return a file in a list, if it is there and may be looked for."""
        confine = self.search.confine
        if confine is not None and not location.within(confine):
            return []
        folder = location.parent.url
        if folder not in self._names:
            self._names[folder] = names_in(location.parent)
        names = self._names[folder]
        there = _is_file(location) if names is None else location.name in names
        if not there and names is not None:
            # No folder's list has hidden ones, and a web server's page may name what it likes.
            hidden = location.is_local and location.name.startswith(".")
            there = (hidden or is_web(location.url)) and _is_file(location)
        return [location] if there else []

    def _data_trees(self) -> list[Tree]:
        if self._data is None:
            self._data = [_walked(folder) for folder in self.search.data]
        return self._data

    def unread(self) -> list[tuple[Location, str]]:
        """Return the folders that may not be read, and what the system says."""
        return [each for tree in (*self.trees, *(self._data or ())) for each in tree.unread]

    def _nowhere(self, folder: Location, first: Location, expname: str) -> FileError:
        looked = [
            first if _is_absolute(expname) else folder,
            *(f"{each} and below" for each in (*self.search.data, *_tops(self.trees))),
            Location.of(""),
        ]
        rule, value = "An exposure must be a readable file", "a folder"
        try:
            first.identity()
        except FileError as problem:
            rule, value = problem.rule, problem.value or ""
        return FileError(
            rule,
            file=first,
            value=f"{value}; looked for in {', '.join(map(str, dict.fromkeys(looked)))}",
            cure="Correct the name in the association, or name the folder that holds it "
            "(data, --data DIR)",
        )


def _is_file(location: Location) -> bool:
    try:
        return location.is_file()
    except OSError:
        return False


def _walked(folder: Location) -> Tree:
    try:
        return walk(folder)
    except OSError as problem:
        raise PlanError(
            "The folders of a program, and those of its data, must be readable",
            file=folder,
            value=problem.strerror,
            cure="Check the path and the permissions",
        ) from None


def _tops(trees: Iterable[Tree]) -> list[Location | str]:
    tops = [tree.top for tree in trees]
    return [*tops[:3], f"{len(tops) - 3} more folders"] if len(tops) > 4 else list(tops)


def _is_absolute(expname: str) -> bool:
    return expname[0] == "/" or ":" in expname[:2] or "://" in expname


def _name(expname: str) -> str:
    """Return the file's own name; an association may have been written on Windows."""
    return expname.replace("\\", "/").rpartition("/")[2] or expname


def _best(hits: list[Location], expname: str, trees: Sequence[Tree]) -> list[Location]:
    """Return the files whose folders are most like the member's; those at the top come first."""
    if len(hits) < 2:
        return hits
    wanted = PurePosixPath(expname.replace("\\", "/")).parts[::-1]
    tops = {tree.top.url for tree in trees}

    def rank(hit: Location) -> tuple[int, bool]:
        parts = PurePosixPath(hit.url).parts[::-1]
        alike = next(
            (i for i, (a, b) in enumerate(zip(wanted, parts, strict=False)) if a != b), len(wanted)
        )
        return alike, hit.parent.url in tops

    best = max(map(rank, hits))
    return [hit for hit in hits if rank(hit) == best]


def _only(hits: list[Location], first: Location, notes: list[str]) -> Location:
    """Return the one file; of copies, the first, with a note."""
    location, *others = hits
    different = [each for each in others if not are_copies(location, each)]
    if different:
        several = ", ".join(map(str, (location, *different)))
        raise FileError(
            "The name of a member must lead to one file, or to copies of one",
            file=first,
            value=f"files of this name that differ: {several}",
            cure="Name the folder of the right one (data, --data DIR), or remove the others",
        )
    if others:
        copies = ", ".join(map(str, others))
        notes.append(f"{location.name} is there several times: {location} is used, not {copies}")
    return location
