"""Associations: what each product asks for, as names; nothing is looked for yet."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from bkgflow.errors import AssociationError, InputError
from bkgflow.io.storage.location import Location
from bkgflow.programs.content import MADE_AGAIN, Content, short

__all__ = ["Association", "Product", "level_of", "parsed"]

LEVEL_3_SUFFIXES = re.compile(r"_(cal|calints|crf|crfints|x1d|x1dints|c1d|s2d|s3d|i2d|psfalign)\.")
"""In the names of exposures that are calibrated already."""


@dataclass(frozen=True, slots=True)
class Product:
    """One product of an association: a science exposure and what belongs to it.

    Attributes
    ----------
    names : tuple of (str, str)
        Kind (in small letters) and expname of every member, as the association has them.
    science : Location
        Where it is; where it was looked for first, if it is nowhere.
    backgrounds : tuple of Location
        Without repeats, in the order given.
    others : tuple of (str, Location)
        Kind and location of the other members.
    notes : tuple of str
        What a user should know about how the members were read.
    problem : InputError or None
        Why the product cannot be done.
    """

    name: str
    names: tuple[tuple[str, str], ...]
    science: Location
    backgrounds: tuple[Location, ...] = ()
    others: tuple[tuple[str, Location], ...] = ()
    notes: tuple[str, ...] = ()
    problem: InputError | None = None

    @property
    def members(self) -> tuple[Location, ...]:
        """Where all its members are."""
        return (self.science, *self.backgrounds, *(location for _, location in self.others))

    def expnames(self, kind: str) -> tuple[str, ...]:
        """Return the expnames of one kind of members."""
        return tuple(name for each, name in self.names if each == kind)

    def noting(self, *notes: str) -> Product:
        """Return the same with more notes."""
        return replace(self, notes=(*self.notes, *notes))


@dataclass(frozen=True, slots=True)
class Association:
    """An association: products that can be worked on, errors for those that can't.

    Attributes
    ----------
    location : Location
        Of its file; a bare name for one that was given as a dictionary.
    candidate : str
        What was observed together, such as "o001" for an observation or "c1001" for a target with
        its background; empty where that is not said.
    kind : str
        Its ``asn_type``, such as "image2".
    stamp : str
        When it was made, as its name or its content says, "20240101t000000"; or empty.
    """

    location: Location
    products: tuple[Product, ...]
    refused: tuple[tuple[str, AssociationError], ...] = ()
    candidate: str = ""
    kind: str = ""
    stamp: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        """Of its file."""
        return self.location.name or str(self.location)


def level_of(content: Content) -> int:
    """Return the level of an association's products: 2, or 3 for what has no background.

    ``asn_type`` says it ("image2", "wfs-image3"); where it doesn't, ``asn_rule`` does
    ("Asn_Lv2Image"), unless its exposures are not calibrated yet; else the exposures do.
    """
    digits = re.findall(r"\d", content.text("asn_type"))
    if digits:
        return 3 if digits[-1] == "3" else 2
    names = [name for product in content.products for kind, name in _pairs(product)]
    calibrated = [bool(LEVEL_3_SUFFIXES.search(name.lower())) for name in names]
    if re.search(r"l(v|evel)_?3", content.text("asn_rule").lower()):
        return 3 if any(calibrated) else 2
    return 3 if calibrated and all(calibrated) else 2


def _pairs(product: object) -> Iterator[tuple[str, str]]:
    """Return kind and expname of each science member that can be read."""
    members = product.get("members") if isinstance(product, Mapping) else None
    for member in members if isinstance(members, list | tuple) else ():
        if isinstance(member, Mapping) and str(member.get("exptype")).lower() == "science":
            yield "science", str(member.get("expname"))


def parsed(location: Location, content: Content) -> Association:
    """Read what an association asks for.

    A product whose members cannot be right is refused by itself; its neighbours stay.

    Raises
    ------
    AssociationError
        If a name in it is no text.
    """
    products: list[Product] = []
    refused: list[tuple[str, AssociationError]] = []
    for number, raw in enumerate(content.products, start=1):
        name = str(raw.get("name") or "") if isinstance(raw, Mapping) else ""
        _check_text(location, name)
        name = name or f"product {number}"
        try:
            products.append(_product(location, name, raw, content.notes))
        except AssociationError as error:
            refused.append((name, error))
    return Association(
        location,
        tuple(products),
        tuple(refused),
        content.text("asn_id").lower() or _found(r"[-_]([ocar]\d{3,4})[-_]", location.name),
        content.text("asn_type").lower(),
        _found(r"_(\d{8}t\d{6})(?=_)", location.name)
        or _found(r"^(\d{8}t\d{6})$", content.text("version_id")),
    )


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text.lower())
    return match[1] if match else ""


def _check_text(location: Location, *names: str) -> None:
    """Refuse half characters, which JSON can write, and neither a file name nor a log can."""
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError as problem:
            rule = "The names in an association must be made of whole characters"
            half = repr(name[problem.start :][:1])
            raise AssociationError(rule, file=location, value=half, cure=MADE_AGAIN) from None


def _product(location: Location, name: str, raw: object, notes: tuple[str, ...]) -> Product:
    refused = partial(AssociationError, file=location)
    members = _members(location, name, raw)
    science = [expname for kind, expname in members if kind == "science"]
    if len(science) != 1:
        raise refused(
            f"Product {name} must have exactly one science member",
            value=f"{len(science)}: {', '.join(science[:5]) or 'none'}",
            cure="Give every science exposure a product of its own",
        )
    for _, expname in members:
        if "\0" in expname:
            rule = f"The members of product {name} must have names that a file can have"
            raise refused(rule, value=repr(expname), cure=MADE_AGAIN)
    backgrounds = [expname for kind, expname in members if kind == "background"]
    if science[0] in backgrounds:
        raise refused(
            f"The target of product {name} must not be one of its own backgrounds",
            value=science[0],
            cure="Remove it from the background members",
        )
    repeated = len(backgrounds) - len(set(backgrounds))
    if repeated:
        notes = (*notes, f"{repeated} repeated background members count once")
    return Product(name, tuple(dict.fromkeys(members)), location.parent / science[0], notes=notes)


def _members(location: Location, name: str, raw: object) -> list[tuple[str, str]]:
    """Return kind and expname of each."""
    members = raw.get("members") if isinstance(raw, Mapping) else None
    if not isinstance(members, list | tuple) or not all(
        isinstance(m, Mapping) and _text(m.get("expname")) and _text(m.get("exptype"))
        for m in members
    ):
        raise AssociationError(
            f"Product {name} must list its members, each with expname and exptype",
            file=location,
            value=f"members = {short(members)}",
            cure=MADE_AGAIN,
        )
    pairs = [(_text(m["exptype"]).lower(), _text(m["expname"])) for m in members]
    _check_text(location, *(text for pair in pairs for text in pair))
    return pairs


def _text(value: object) -> str:
    """Return a name without blanks around it; empty for what is none."""
    if isinstance(value, str):  # which nearly all are: to ask for more takes longer than all else
        return value.strip()
    return os.fspath(value).strip() if isinstance(value, os.PathLike) else ""
