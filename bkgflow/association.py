"""Level-2 associations: parsed, checked, and nothing opened.

An association is a JSON file with ``products``; each product names members by ``expname``
(relative to the association's folder) and ``exptype`` (in any case).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from os import PathLike
from pathlib import PurePosixPath

from bkgflow.errors import AssociationError, FileError, PlanError
from bkgflow.io.storage.location import Location
from bkgflow.texts import many

__all__ = ["Association", "Product", "load", "load_program"]

PATTERN = "*_asn.json"
"""How the pipeline names association files."""

AGAIN = "Write it again with the association generator"


@dataclass(frozen=True, slots=True)
class Product:
    """One product of an association: a science exposure and what belongs to it.

    Attributes
    ----------
    backgrounds : tuple of Location
        Without repeats, in the order given.
    others : tuple of (str, Location)
        Kind and location of the members that the background subtraction leaves alone.
    notes : tuple of str
        What a user should know about how the members were read.
    """

    name: str
    science: Location
    backgrounds: tuple[Location, ...]
    others: tuple[tuple[str, Location], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Association:
    """A parsed association: products that can be worked on, errors for those that can't."""

    location: Location
    products: tuple[Product, ...]
    refused: tuple[tuple[str, AssociationError], ...] = ()


def load(path: str | PathLike[str]) -> Association:
    """Parse one association file.

    A product whose members cannot be right is refused by itself; its neighbours stay.

    Raises
    ------
    AssociationError
        If the file is missing, is not JSON, or has no products at all.
    """
    location = Location.of(path)
    products: list[Product] = []
    refused: list[tuple[str, AssociationError]] = []
    for number, raw in enumerate(_raw_products(location), start=1):
        name = str(raw.get("name", "")) if isinstance(raw, dict) else ""
        name = name or f"product {number}"
        try:
            products.append(_product(location, name, raw))
        except AssociationError as error:
            refused.append((name, error))
    return Association(location, tuple(products), tuple(refused))


def load_program(program: object) -> tuple[list[Association], list[tuple[str, AssociationError]]]:
    """Read an association, a folder of ``*_asn.json``, or a list of these.

    Returns
    -------
    associations, refused
        What could be parsed, and (path, error) of what could not.

    Raises
    ------
    PlanError
        If there is no association at all, or a folder holds none.
    """
    associations: list[Association] = []
    refused: list[tuple[str, AssociationError]] = []
    for path in _association_files(program):
        try:
            associations.append(load(path))
        except AssociationError as error:
            refused.append((str(path), error))
    return associations, refused


def _association_files(program: object) -> list[Location]:
    if isinstance(program, str | PathLike):
        path = Location.of(program)
        try:
            problem = "" if path.exists() else "no such file or folder"
        except OSError as error:  # a name that is too long, a folder that may not be entered
            problem = str(error.strerror)
        if problem:
            rule = "A program must be an association that is there, or a folder of them"
            raise PlanError(rule, file=path, value=problem, cure="Check the path")
        return _in_folder(path)
    if isinstance(program, list | tuple | set | Iterator):
        items = list(program)
        if items and all(isinstance(item, str | PathLike) for item in items):
            return [path for item in items for path in _in_folder(Location.of(item))]
    raise PlanError(
        "A program must be an association, a folder of associations, or a list of these",
        value=repr(program)[:200],
        cure=f"Give a path, a list of paths, or a folder that holds {PATTERN}",
    )


def _in_folder(folder: Location) -> list[Location]:
    """Return the associations of a folder; of a file, itself."""
    try:
        if not folder.is_dir():
            return [folder]
        files = folder.listing()
    except OSError as problem:
        raise PlanError(
            "A program's folder must be readable",
            file=folder,
            value=problem.strerror,
            cure="Check the path and the permissions",
        ) from None
    found = [each for each in files if fnmatchcase(each.name, PATTERN)]
    if not found:
        raise PlanError(
            f"A program's folder must hold associations named {PATTERN}",
            file=folder,
            value=f"{len(files)} files, none of that name",
            cure="Give the folder of the associations, or an association itself",
        )
    return found


def _raw_products(path: Location) -> list[object]:
    refused = partial(AssociationError, file=path)
    try:
        text = path.read_text("An association")
    except FileError as problem:
        raise refused(
            problem.rule,
            value=problem.value,
            cure="Check the path and the permissions; give the association (JSON), not an exposure",
        ) from None
    try:
        content = json.loads(text)
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as problem:
        half = repr(problem.object[problem.start :][:1])
        rule = "The names in an association must be of whole characters"
        raise refused(rule, value=half, cure=AGAIN) from None
    except (ValueError, RecursionError) as problem:  # not JSON, or a number of 5000 digits
        cure = f"{AGAIN}, or mend the line"
        raise refused("An association must be JSON", value=problem, cure=cure) from None
    products = content.get("products") if isinstance(content, dict) else None
    if not isinstance(products, list) or not products:
        rule = "An association must have a list of products with at least one in it"
        raise refused(rule, value=f"products = {products!r}", cure=AGAIN)
    return products


def _product(path: Location, name: str, raw: object) -> Product:
    refused = partial(AssociationError, file=path)
    members: dict[str, list[str]] = {}
    for exptype, expname in _members(path, name, raw):
        members.setdefault(exptype.lower(), []).append(expname)
    science = members.pop("science", [])
    if len(science) != 1:
        raise refused(
            f"Product {name} must have exactly one science member",
            value=f"{len(science)}: {', '.join(science) or 'none'}",
            cure="Give every science exposure a product of its own",
        )
    backgrounds = members.pop("background", [])
    target = _inside(path, name, science[0])
    paths = [_inside(path, name, expname) for expname in backgrounds]
    if target in paths:
        raise refused(
            f"The target of product {name} must not be one of its own backgrounds",
            value=science[0],
            cure="Remove it from the background members",
        )
    unique = tuple(dict.fromkeys(paths))
    repeated = len(paths) - len(unique)
    others = tuple(
        (kind, _inside(path, name, expname))
        for kind, expnames in members.items()
        for expname in expnames
    )
    words = f"{many(repeated, 'repeated background member')} left out: each must count once"
    return Product(name, target, unique, others, (words,) if repeated else ())


def _members(path: Location, name: str, raw: object) -> list[tuple[str, str]]:
    """Return exptype and expname of each."""
    members = raw.get("members") if isinstance(raw, dict) else None
    if not isinstance(members, list) or not all(
        isinstance(m, dict) and m.get("expname") and m.get("exptype") for m in members
    ):
        raise AssociationError(
            f"Product {name} must list its members, each with expname and exptype",
            file=path,
            value=f"members = {members!r}"[:200],
            cure=AGAIN,
        )
    return [(str(member["exptype"]), str(member["expname"])) for member in members]


def _inside(path: Location, name: str, expname: str) -> Location:
    """Return the member's location; it must lie in the association's folder or below."""
    if "\0" in expname:
        rule = f"The members of product {name} must have names that a file can have"
        raise AssociationError(rule, file=path, value=repr(expname), cure=AGAIN)
    member = PurePosixPath(expname)
    if member.is_absolute() or ".." in member.parts:
        raise AssociationError(
            f"The members of product {name} must lie in the association's folder or below it",
            file=path,
            value=expname,
            cure="Put the exposures beside the association, or link them there",
        )
    return path.parent / str(member)
