"""A program: associations and exposures, out of whatever it was given as."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from bkgflow.errors import AssociationError, BkgflowError, FileError, PlanError
from bkgflow.io.storage.lists import expanded
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.tree import Tree
from bkgflow.programs.association import Association, level_of, parsed
from bkgflow.programs.candidates import one_for_each_exposure
from bkgflow.programs.content import (
    ASSOCIATE,
    Content,
    checked,
    claims,
    named_so,
    names_exposure,
    rates,
    read_content,
    tell,
)
from bkgflow.programs.members import Finder
from bkgflow.programs.passed_over import PassedOver, summed_up
from bkgflow.programs.search_path import SearchPath, check_confined
from bkgflow.upaths import as_given

__all__ = ["LEVEL_3", "REGROUPED", "Program", "load_association", "load_program"]

LEVEL_3 = "it is an association of level 3, whose exposures have had their background step"

REGROUPED = "bkgflow associate wrote it, and its exposures are grouped anew"

LATER = (
    "it is in none of the associations here, which bkgflow associate wrote: if it is a new dither, "
    "write them again with --overwrite"
)

CURE = "Give an association, a folder of them, or exposures with their backgrounds (bkg_list)"


@dataclass(slots=True)
class Program:
    """What a program asks for.

    Attributes
    ----------
    associations : list of Association
        With the locations of all their members; no exposure is asked for twice, if it can be told
        who is meant.
    exposures : list of Location
        Those that were given without an association.
    in_folders : list of Location
        Those that lie in folders without associations, where these are asked for as well.
    refused : list of (str, AssociationError)
        Files that are meant as associations and cannot be read, and why.
    passed_over : list of PassedOver
        Files that are no part of it.
    missing : dict
        Members that are nowhere, by where they would be, and the error that says so.
    folders : list of Location
        Those that were searched, with all below them.
    """

    associations: list[Association] = field(default_factory=list)
    exposures: list[Location] = field(default_factory=list)
    in_folders: list[Location] = field(default_factory=list)
    refused: list[tuple[str, AssociationError]] = field(default_factory=list)
    passed_over: list[PassedOver] = field(default_factory=list)
    missing: dict[Location, BkgflowError] = field(default_factory=dict)
    folders: list[Location] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether nothing is asked for."""
        return not (self.associations or self.exposures or self.in_folders or self.refused)


def load_association(given: object, search: SearchPath | None = None) -> Program:
    """Read one association, a file or a mapping as the association generator's tools return it.

    Raises
    ------
    AssociationError
        If it cannot be read, or is of level 3.
    """
    loader = _Loader(search or SearchPath())
    if isinstance(given, Mapping):
        loader.take(_named(given, "association"), given)
        for _, error in loader.found.refused:
            raise error
    elif isinstance(given, str | os.PathLike):
        location = Location.of(given)
        loader.take_content(location, read_content(location))
    if loader.found.passed_over:
        raise AssociationError(
            "An association must be of level 2",
            file=loader.found.passed_over[0].location,
            value="level 3, whose exposures have had their background step",
            cure="Give the association of the exposures themselves (image2, spec2)",
        )
    return loader.placed()


def load_program(
    given: object, search: SearchPath | None = None, *, exposures: bool = False
) -> Program:
    """Read a program.

    Parameters
    ----------
    given : path, mapping, or several
        An association; a folder, which is searched with all below it for associations, whatever
        they are called; an exposure; a pattern or ``@FILE`` that stands for such; an association
        as a mapping; or a sequence of all these.
    exposures : bool
        Whether a folder without associations stands for the exposures that lie in it and below
        it: its ``rate`` products, and ``rateints`` where there is no ``rate``.

    Raises
    ------
    PlanError
        If there is nothing to do in it, or a folder cannot be read.
    """
    loader = _Loader(search or SearchPath(), exposures=exposures)
    items = _items(given)
    for number, item in enumerate(items, start=1):
        if isinstance(item, Mapping):
            name = f"association {number}" if len(items) > 1 else "association"
            loader.take(_named(item, name), item)
        else:
            loader.take(_there(item) if len(items) == 1 else Location.of(item))
    program = loader.placed()
    if program.empty:
        raise _nothing(given, program, exposures=exposures)
    return program


class _Loader:
    """Sorts what a program was given as."""

    def __init__(self, search: SearchPath, *, exposures: bool = False) -> None:
        self.exposures = exposures
        self.finder = Finder(search)
        self.found = Program(missing=self.finder.missing)
        self._grouped: list[Tree] = []

    def take(self, location: Location, content: Mapping[object, object] | None = None) -> None:
        """Take a folder, an exposure or an association that somebody gave."""
        try:
            if content is None:
                check_confined(location, self.finder.search.confine)
            if content is None and _is_folder(location):
                self._take_folder(location)
            elif content is None and names_exposure(location):
                self.found.exposures.append(location)
            else:
                given = read_content(location) if content is None else checked(location, content)
                self.take_content(location, given)
        except PlanError:
            raise
        except BkgflowError as error:
            self.found.refused.append((str(location), _refused(error)))

    def take_content(self, location: Location, content: Content) -> None:
        """Take what stands in an association; `AssociationError` where that cannot be right."""
        if level_of(content) == 3:
            self.found.passed_over.append(PassedOver(location, LEVEL_3))
        else:
            self.found.associations.append(parsed(location, content))

    def placed(self) -> Program:
        """Return the program with all members found, and one product for each exposure."""
        found = self.found
        placed = [self.finder.placed(each) for each in found.associations]
        found.associations, gone = one_for_each_exposure(placed)
        unread = [
            PassedOver(folder, f"it may not be read ({why})")
            for folder, why in self.finder.unread()
        ]
        found.passed_over = [*found.passed_over, *gone, *unread, *self._later(placed)]
        return found

    def _later(self, placed: Iterable[Association]) -> Iterator[PassedOver]:
        """Yield exposures that came to a folder after its dithers were grouped."""
        if not self._grouped:
            return
        products = [product for each in placed for product in each.products]
        known = {member for each in products for member in each.members}
        for tree in self._grouped:
            for location in rates(tree.files()):
                if location not in known:
                    yield PassedOver(location, LATER)

    def _take_folder(self, folder: Location) -> None:
        before = len(self.found.associations) + len(self.found.refused)
        tree = self.finder.add(folder)
        self.found.folders.append(folder)
        own = dict[Location, Content]()
        for location in filter(claims, tree.files()):
            with self._refusing(location):
                check_confined(location, self.finder.search.confine)
                content = tell(location)
                if isinstance(content, str):
                    self.found.passed_over.append(PassedOver(location, content))
                    continue
                if content.text("code_version") == ASSOCIATE:
                    own[location] = content
                if location not in own or not self.exposures:
                    self.take_content(location, content)
        others = before < len(self.found.associations) + len(self.found.refused)
        there = list(rates(tree.files())) if self.exposures and not others else []
        self.found.in_folders += there
        if not self.exposures:
            self._grouped += [tree] if own else []
        elif others or there:
            self.found.passed_over += [PassedOver(location, REGROUPED) for location in own]
        else:  # their exposures lie elsewhere
            for location, content in own.items():
                with self._refusing(location):
                    self.take_content(location, content)
        if not (own or others or there):
            which = ", and no exposure that is called so (_rate.fits, _rateints.fits)"
            words = f"it holds no association of level 2{which if self.exposures else ''}"
            self.found.passed_over.append(PassedOver(folder, words))

    @contextmanager
    def _refusing(self, location: Location) -> Iterator[None]:
        """Keep what is wrong with a file of a folder; the others count."""
        try:
            yield
        except BkgflowError as error:
            if named_so(location) or isinstance(error, AssociationError):
                self.found.refused.append((str(location), _refused(error)))
            else:
                self.found.passed_over.append(PassedOver(location, error.rule))


def _named(given: Mapping[object, object], name: str) -> Location:
    """Return what a mapping is called: the file that it was loaded from, if it says which."""
    file = getattr(given, "filename", None)
    location = Location.of(file) if isinstance(file, str | os.PathLike) else None
    return location if location is not None and location.is_file() else Location(name)


def _refused(error: BkgflowError) -> AssociationError:
    """Return an error as one of the association."""
    if isinstance(error, AssociationError):
        return error
    return AssociationError(error.rule, file=error.file, value=error.value, cure=error.cure)


def _items(given: object) -> list[Mapping[object, object] | str]:
    """Return all that a program was given as, one by one; patterns become what they stand for."""
    given = as_given(given)
    if isinstance(given, Mapping):
        return [given]
    if isinstance(given, str | os.PathLike):
        try:
            return list(expanded(os.fspath(given)))
        except FileError as problem:
            raise PlanError(
                problem.rule, file=problem.file, value=problem.value, cure=problem.cure
            ) from None
    if isinstance(given, list | tuple | set | Iterator):
        return [each for item in given for each in _items(item)]
    raise _nothing(given, Program())


def _there(item: str) -> Location:
    """Return where a single path leads; it is the program as a whole."""
    location = Location.of(item)
    try:
        problem = "" if location.exists() else "no such file or folder"
    except OSError as error:  # a name that is too long, a folder that may not be entered
        problem = str(error.strerror)
    if problem:
        rule = "A program must be an association that is there, a folder of them, or an exposure"
        raise PlanError(rule, file=location, value=problem, cure="Check the path")
    return location


def _is_folder(location: Location) -> bool:
    try:
        return location.is_dir()
    except OSError as problem:
        raise PlanError(
            "A program's folder must be readable",
            file=location,
            value=problem.strerror,
            cure="Check the path and the permissions",
        ) from None


def _nothing(given: object, program: Program, *, exposures: bool = False) -> PlanError:
    if not program.passed_over:
        rule = "A program must be an association, a folder of associations, or several of these"
        return PlanError(rule, value=repr(given)[:200], cure=CURE)
    return PlanError(
        "A program must hold an association of level 2 at least (*_asn.json, or any JSON)",
        file=Location.of(given) if isinstance(given, str | os.PathLike) else None,
        value="; ".join(summed_up(program.passed_over)),
        cure="Give the exposures themselves, such as FOLDER/*.fits, or associations of them"
        if exposures
        else f"{CURE}; backgrounds=dithers needs no association",
    )
