"""Level-2 associations: parsed, checked, and nothing opened.

An association is a JSON file with ``products``; each product names members by ``expname``
(relative to the association's folder) and ``exptype`` (in any case).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from os import PathLike
from pathlib import PurePosixPath
from typing import Any

from bkgflow.errors import AssociationError, FileError, PlanError
from bkgflow.io.storage.location import Location

__all__ = ["Association", "Product", "load", "load_program"]

PATTERN = "*_asn.json"
"""How the pipeline names association files."""


@dataclass(frozen=True, slots=True)
class Product:
    """One product of an association: a science exposure and what belongs to it.

    Attributes
    ----------
    name : str
        The product's name.
    science : Location
        The science exposure.
    backgrounds : tuple of Location
        The background exposures, without repeats, in the order given.
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


def load_program(program: Any) -> tuple[list[Association], list[tuple[str, AssociationError]]]:
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


def _association_files(program: Any) -> list[Location]:
    if isinstance(program, str | PathLike):
        return _in_folder(_existing(Location.of(program)))
    if isinstance(program, list | tuple | set | Iterator):
        items = list(program)
        if items and all(isinstance(item, str | PathLike) for item in items):
            return [path for item in items for path in _in_folder(Location.of(item))]
    raise PlanError(
        "A program is an association, a folder of associations, or a list of these",
        value=repr(program)[:200],
        cure=f"Give a path, a list of paths, or a folder that holds {PATTERN}",
    )


def _existing(path: Location) -> Location:
    try:
        there, problem = path.exists(), "no such file or folder"
    except OSError as error:  # a name that is too long, a folder that may not be entered
        there, problem = False, str(error.strerror)
    if not there:
        raise PlanError(
            "A program is an association that is there, or a folder of them",
            file=path,
            value=problem,
            cure="Check the path",
        )
    return path


def _in_folder(folder: Location) -> list[Location]:
    """Return the associations of a folder; of a file, itself."""
    try:
        if not folder.is_dir():
            return [folder]
        files = folder.listing()
    except OSError as problem:
        raise PlanError(
            "A program's folder may be read",
            file=folder,
            value=problem.strerror,
            cure="Check the path and the permissions",
        ) from None
    found = [each for each in files if fnmatchcase(each.name, PATTERN)]
    if not found:
        raise PlanError(
            f"A program's folder holds associations named {PATTERN}",
            file=folder,
            value=f"{len(files)} files, none of that name",
            cure="Give the folder of the associations, or an association itself",
        )
    return found


def _raw_products(path: Location) -> list[Any]:
    try:
        text = path.read_text("An association")
    except FileError as problem:
        raise AssociationError(
            problem.rule,
            file=path,
            value=problem.value,
            cure="Check the path and the permissions; give the association (JSON), not an exposure",
        ) from None
    try:
        content = json.loads(text)
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as problem:
        raise AssociationError(
            "The names in an association are whole characters",
            file=path,
            value=repr(problem.object[problem.start :][:1]),
            cure="Write it again with the association generator",
        ) from None
    except (ValueError, RecursionError) as problem:  # not JSON, or a number of 5000 digits
        raise AssociationError(
            "An association is JSON",
            file=path,
            value=str(problem),
            cure="Write it again with the association generator, or mend the line",
        ) from None
    products = content.get("products") if isinstance(content, dict) else None
    if not isinstance(products, list) or not products:
        raise AssociationError(
            "An association has a list of products with at least one in it",
            file=path,
            value=f"products = {products!r}",
            cure="Write it again with the association generator",
        )
    return products


def _product(path: Location, name: str, raw: Any) -> Product:
    members: dict[str, list[str]] = {}
    for member in _members(path, name, raw):
        members.setdefault(str(member["exptype"]).lower(), []).append(str(member["expname"]))
    science = members.pop("science", [])
    if len(science) != 1:
        raise AssociationError(
            f"Product {name} has exactly one science member",
            file=path,
            value=f"{len(science)}: {', '.join(science) or 'none'}",
            cure="Give every science exposure a product of its own",
        )
    backgrounds = members.pop("background", [])
    target = _inside(path, name, science[0])
    paths = [_inside(path, name, expname) for expname in backgrounds]
    if target in paths:
        raise AssociationError(
            f"The target of product {name} is not one of its own backgrounds",
            file=path,
            value=science[0],
            cure="Remove it from the background members",
        )
    unique = tuple(dict.fromkeys(paths))
    notes = [f"{len(paths) - len(unique)} repeated background members count once"]
    others = tuple(
        (kind, _inside(path, name, expname))
        for kind, expnames in members.items()
        for expname in expnames
    )
    return Product(name, target, unique, others, tuple(notes if len(unique) < len(paths) else ()))


def _members(path: Location, name: str, raw: Any) -> list[dict[str, Any]]:
    members = raw.get("members") if isinstance(raw, dict) else None
    good = isinstance(members, list) and all(
        isinstance(m, dict) and m.get("expname") and m.get("exptype") for m in members
    )
    if not good:
        raise AssociationError(
            f"Product {name} lists its members, each with expname and exptype",
            file=path,
            value=f"members = {members!r}"[:200],
            cure="Write it again with the association generator",
        )
    return list(members or [])


def _inside(path: Location, name: str, expname: str) -> Location:
    """Return the member's location; it must lie in the association's folder or below."""
    if "\0" in expname:
        raise AssociationError(
            f"The members of product {name} have names that a file can have",
            file=path,
            value=repr(expname),
            cure="Write it again with the association generator",
        )
    member = PurePosixPath(expname)
    inside = not member.is_absolute() and ".." not in member.parts
    if not inside:
        raise AssociationError(
            f"The members of product {name} lie in the association's folder or below it",
            file=path,
            value=expname,
            cure="Put the exposures beside the association, or link them there",
        )
    return path.parent / str(member)
