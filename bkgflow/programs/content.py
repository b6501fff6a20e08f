"""What a file holds that may be an association: JSON, or YAML where JSON fails."""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate

import yaml

from bkgflow.errors import AssociationError, FileError
from bkgflow.io.storage.location import Location

__all__ = [
    "ASSOCIATE",
    "MADE_AGAIN",
    "Content",
    "checked",
    "claims",
    "named_so",
    "names_exposure",
    "rates",
    "read_content",
    "short",
    "tell",
]

ASSOCIATE = "bkgflow associate"
"""The ``code_version`` of associations that bkgflow has written out of dithers."""

MADE_AGAIN = "Write it again with the association generator"

PAGE = b"<!doctype html"

NO_FOLDERS = (
    "Give associations on a web server by their own URLs, or by a pattern (…/*_asn.json) where it"
    " lists them: it has no folders, and pages for people instead"
)

SUFFIXES = (".json", ".yaml", ".yml")
EXPOSURES = (".fits", ".fit", ".fits.gz", ".fit.gz")

RATE = re.compile(r"(?P<root>.*)_rate(?P<cube>ints)?\.fits?(\.gz)?$", re.IGNORECASE)
"""How the pipeline calls the exposures whose background step is still to come."""

NAMED_SO = re.compile(r"asn\.(json|ya?ml)$")
"""How files are called that are meant as associations: ``x_asn.json``, ``l2asn.json``."""

_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

DEEPEST = 50
"""Lists and mappings in one another; an association has five."""

LAST_VERSION = "which the pipeline reads up to version 3.0 alone"

OTHERS = (
    ({"run", "counts", "units"}, "the result of a run of bkgflow"),
    ({"shared", "exposures", "units"}, "a plan of bkgflow"),
    ({"campaign", "ledger", "layout"}, "a campaign of bkgflow"),
)
"""Names at the top of other JSON files that lie in programs, and what such a file is."""


@dataclass(frozen=True, slots=True)
class Content:
    """What stands in an association.

    Attributes
    ----------
    top : mapping
        All of it.
    notes : tuple of str
        What a user should know about how it was read.
    """

    top: Mapping[object, object]
    notes: tuple[str, ...] = ()

    @property
    def products(self) -> list[object]:
        """Its products, whatever they are."""
        found = self.top.get("products")
        return list(found) if isinstance(found, list | tuple) else []

    def text(self, name: str) -> str:
        """Return a word at the top, such as ``asn_type``; empty where there is none."""
        found = self.top.get(name)
        return found.strip() if isinstance(found, str) else ""


def names_exposure(location: Location) -> bool:
    """Whether a file is called as exposures are."""
    return location.name.lower().endswith(EXPOSURES)


def rates(files: Iterable[Location]) -> Iterator[Location]:
    """Yield those of some files that are exposures by their names, one product of each.

    Where both lie in a folder it is ``rate``, which is what associations of dithers name.
    """
    found: dict[tuple[str, str], Location] = {}
    for each in files:
        match = RATE.fullmatch(each.name)
        if match is None:
            continue
        key = each.parent.url, match["root"]
        if key not in found or not match["cube"]:
            found[key] = each
    yield from found.values()


def named_so(location: Location) -> bool:
    """Whether a file is meant as an association by its name."""
    return bool(NAMED_SO.search(location.name.lower()))


def claims(location: Location) -> bool:
    """Whether a file may be an association by its suffix."""
    return location.suffix.lower() in SUFFIXES


def tell(location: Location) -> Content | str:
    """Read a file of a folder: an association, or the reason why it is none.

    Raises
    ------
    AssociationError
        If it is meant as an association, by its name or its words, and cannot be read as one.
    """
    try:
        raw = location.read_bytes("An association")
        meant = named_so(location)
        meant = meant or (b'"products"' in raw and b'"expname"' in raw)
        if not meant and b"products" not in raw and b"\0" not in raw[:4]:
            return _what_else(raw)
        content = _parsed(location, raw)
    except FileError as problem:
        raise _unreadable(location, problem) from None
    except AssociationError as problem:
        if meant:
            raise
        return f"it cannot be read: {problem.value}"
    if not meant and not _holds_members(content):
        return _kind_of(content.top)
    return checked(location, content.top, content.notes)


def read_content(location: Location) -> Content:
    """Read a file that somebody gave as an association.

    Raises
    ------
    AssociationError
        If it is missing, is neither JSON nor YAML, or has no products at all.
    """
    try:
        raw = location.read_bytes("An association")
    except FileError as problem:
        raise _unreadable(location, problem) from None
    if raw.startswith(b"SIMPLE  ="):
        raise AssociationError(
            "An association must be JSON",
            file=location,
            value="an exposure (FITS)",
            cure="Give the association that names it, or the exposure under a name in .fits",
        )
    content = _parsed(location, raw)
    return checked(location, content.top, content.notes)


def checked(
    location: Location, top: Mapping[object, object], notes: tuple[str, ...] = ()
) -> Content:
    """Return the content of an association; `AssociationError` if it has no products at all."""
    content = Content(top, notes)
    if not content.products:
        found = short(top["products"]) if "products" in top else "missing"
        raise AssociationError(
            "An association must have a list of products with at least one in it",
            file=location,
            value=f"products = {found}",
            cure=MADE_AGAIN,
        )
    return content


def _parsed(location: Location, raw: bytes) -> Content:
    """Return what JSON says, in any Unicode and with a byte order mark; else what YAML says."""
    try:
        return Content(_mapping(json.loads(raw)))
    except UnicodeDecodeError:
        value, cure = "not Unicode text (UTF-8)", MADE_AGAIN
    except (ValueError, RecursionError) as problem:  # not JSON, or a number of 5000 digits
        value, cure = str(problem), f"{MADE_AGAIN}, or mend the line"
        if raw.lstrip()[: len(PAGE)].lower().startswith((PAGE, b"<html")):
            value, cure = "a page (HTML)", NO_FOLDERS
        found = _as_yaml(raw)
        if found is not None:
            is_json = location.suffix.lower() == ".json"
            how = f"is no JSON ({value}) and was read as YAML" if is_json else "is YAML"
            return Content(found, (f"{location.name or location} {how}, {LAST_VERSION}",))
    raise AssociationError("An association must be JSON", file=location, value=value, cure=cure)


def _as_yaml(raw: bytes) -> Mapping[object, object] | None:
    """Read what the reference step reads: a trailing comma is no error in YAML."""
    if b"products" not in raw:
        return None
    text = raw.removeprefix(b"\xef\xbb\xbf")
    try:
        if _is_deep(text):
            return None
        found = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    return found if isinstance(found, Mapping) else None


def _is_deep(text: bytes) -> bool:
    """Whether YAML is nested so deep that its compiled loader would crash."""
    steps = {
        yaml.SequenceStartEvent: 1,
        yaml.MappingStartEvent: 1,
        yaml.SequenceEndEvent: -1,
        yaml.MappingEndEvent: -1,
    }
    events = yaml.parse(text, Loader=_Loader)
    depths = accumulate(steps.get(type(each), 0) for each in events)
    return any(depth > DEEPEST for depth in depths)


def _mapping(found: object) -> Mapping[object, object]:
    return found if isinstance(found, Mapping) else {}


def _holds_members(content: Content) -> bool:
    return any(
        isinstance(member, Mapping) and "expname" in member
        for product in content.products
        if isinstance(product, Mapping)
        for member in _list(product.get("members"))
    )


def _list(found: object) -> Iterator[object]:
    yield from found if isinstance(found, list | tuple) else ()


def _what_else(raw: bytes) -> str:
    """Say what a file without products is; only bkgflow's own are looked at closely."""
    if b'"units"' in raw or b'"ledger"' in raw:
        try:
            return _kind_of(_mapping(json.loads(raw)))
        except (ValueError, RecursionError):
            pass
    return "it has no products with members"


def _kind_of(top: Mapping[object, object]) -> str:
    kinds = (f"it is {words}" for names, words in OTHERS if names <= top.keys())
    return next(kinds, "it has no products with members")


def _unreadable(location: Location, problem: FileError) -> AssociationError:
    return AssociationError(
        "An association must be a readable file",
        file=location,
        value=problem.value,
        cure="Check the path and the permissions; give the association (JSON), not an exposure",
    )


def short(value: object) -> str:
    """Return a value for a message: YAML can name one thing in a thousand places."""
    return reprlib.repr(value)[:200]
