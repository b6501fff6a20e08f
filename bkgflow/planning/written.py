"""Associations of dithers as files: what the association generator would write of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from bkgflow.errors import BkgflowError, FileError, OutputError, PlanError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.publish import check_writable, write_text
from bkgflow.planning.dither_groups import Choice, DitherGroup
from bkgflow.planning.dither_types import DITHERED
from bkgflow.planning.dithers import Dithered, FromDithers
from bkgflow.planning.planner import Planner
from bkgflow.programs.association import Product
from bkgflow.programs.content import ASSOCIATE
from bkgflow.programs.passed_over import summed_up
from bkgflow.programs.program import REGROUPED, Program
from bkgflow.texts import listed, many

__all__ = ["Associated", "write_associations"]

CANDIDATE = "a3001"
"""``asn_id`` of what the observatory has not asked for: the first of the discovered ones."""

MOST_LINES = 20
"""Of files, and of errors, that are told one by one."""

ROOT = re.compile(r"_rate(ints)?\.fits?(\.gz)?$|\.fits?(\.gz)?$", re.IGNORECASE)

MOST_LETTERS = 200
"""Of a file's name, which may have 255 bytes: the rest is an ending, and a draft's."""

UNSAFE = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Associated:
    """Associations that were written.

    Attributes
    ----------
    folder : Location
        Where they are.
    files : tuple of Location
        One for each group.
    lines : tuple of str
        What is in them, and what is not.
    """

    folder: Location
    files: tuple[Location, ...]
    lines: tuple[str, ...]

    def __str__(self) -> str:
        """What was written, in a few lines."""
        return "\n".join(self.lines)

    __repr__ = __str__


def write_associations(
    made: FromDithers, found: Program, planner: Planner, folder: Location, *, overwrite: bool
) -> Associated:
    """Write an association for each group, and leave those that are as they should be.

    Raises
    ------
    PlanError
        If no exposure has others as its background.
    OutputError
        If a file of that name holds something else, and must not be written over.
    """
    if not any(each.product.backgrounds for each in made.dithered):
        raise _nothing(made)
    check_writable(folder)
    drafts = list(_drafts(made, folder))
    other = [each.location for each in drafts if each.before not in (None, each.text)]
    if other and not overwrite:
        raise _another(other)
    for each in drafts:
        if each.before != each.text:
            write_text(each.location, each.text)
    lines = [each.line for each in drafts]
    if len(lines) > MOST_LINES:
        lines[MOST_LINES:] = [f"and {many(len(lines) - MOST_LINES, 'more association')}"]
    lines += [*made.notes(left=False), *_not_in_them(made, found, planner)]
    written = {each.location for each in drafts}
    lines += [
        f"{each.location}, of an earlier bkgflow associate, is still there, and a run of this "
        "folder takes it as well: remove it if it asks for the same exposures"
        for each in found.passed_over
        if each.reason == REGROUPED and each.location not in written
    ]
    return Associated(folder, tuple(each.location for each in drafts), tuple(lines))


@dataclass(frozen=True, slots=True)
class _Draft:
    """An association that is to be written, and what is there before; None for nothing."""

    location: Location
    text: str
    products: tuple[Dithered, ...]
    before: str | None

    @property
    def line(self) -> str:
        """What was done, and what is in it."""
        done = "unchanged" if self.before == self.text else "written over"
        without = sum(not each.product.backgrounds for each in self.products)
        lacking = f", {without:,} of them without backgrounds" if without else ""
        return (
            f"{self.location} ({'written' if self.before is None else done}): "
            f"{many(len(self.products), 'product')}{lacking}"
        )


def _drafts(made: FromDithers, folder: Location) -> Iterator[_Draft]:
    """Yield the association of each group; an exposure is in it once."""
    groups: dict[int, tuple[DitherGroup, dict[Location, Dithered]]] = {}
    for each in made.dithered:
        if isinstance(each.choice, Choice):
            _, products = groups.setdefault(id(each.choice.group), (each.choice.group, {}))
            products.setdefault(each.product.science, each)
    taken: set[str] = set()
    for group, products in groups.values():
        location = folder / _name(group, taken)
        members = tuple(products.values())
        text = json.dumps(_content(group, members, made, folder), indent=4) + "\n"
        yield _Draft(location, text, members, _before(location))


def _before(location: Location) -> str | None:
    """Return what a file holds that is there; None for nothing. What is no text is another one."""
    if not location.exists():
        return None
    try:
        return location.read_text()
    except FileError as problem:
        return f"not readable: {problem.value}"


def _name(group: DitherGroup, taken: set[str]) -> str:
    """Return the name of a group's file: the same group has the same name again."""
    first = group.members[0]
    words = (UNSAFE.sub("-", each.lower()) for each in group.words if "program" not in each)
    program = UNSAFE.sub("-", _program(first).lower()).strip("-")
    ends = f"jw{program}-{CANDIDATE}", DITHERED[first.exp_type][0]
    root = "_".join((ends[0], *words, ends[1]))[:MOST_LETTERS]
    names = (root if number == 1 else f"{root}_{number}" for number in count(1))
    name = next(each for each in names if each not in taken)
    taken.add(name)
    return f"{name}_asn.json"


def _program(facts: ExposureFacts) -> str:
    return (facts.taken.program or "0").zfill(5)


def _content(
    group: DitherGroup, products: Sequence[Dithered], made: FromDithers, folder: Location
) -> dict[str, object]:
    """Return what stands in an association, as the level-2 generator lays it out."""
    first = group.members[0]
    asn_type, rule = DITHERED[first.exp_type]
    return {
        "asn_type": asn_type,
        "asn_rule": rule,
        "version_id": None,
        "code_version": ASSOCIATE,
        "degraded_status": "No known degraded exposures in association.",
        "program": _program(first),
        "constraints": f"backgrounds from dithers: {made.rule}".rstrip(": "),
        "asn_id": CANDIDATE,
        "asn_pool": "none",
        "target": str(group),
        "products": [_product(each.product, folder) for each in products],
    }


def _product(product: Product, folder: Location) -> dict[str, object]:
    science, backgrounds = [product.science], product.backgrounds
    pairs = [("science", science), ("background", backgrounds)]
    members = [(kind, each) for kind, several in pairs for each in several] + [*product.others]
    return {
        "name": product.name or ROOT.sub("", product.science.name),
        "members": [
            {"expname": _expname(each, folder), "exptype": kind, "exposerr": "null"}
            for kind, each in members
        ],
    }


def _expname(location: Location, folder: Location) -> str:
    """Return a bare name beside the association; else all of it: jwst counts paths from its own
    working folder."""
    return location.name if location.parent == folder else location.url


def _not_in_them(made: FromDithers, found: Program, planner: Planner) -> Iterator[str]:
    """Say what is in no association, and why."""
    errors = [each.choice for each in made.dithered if isinstance(each.choice, BkgflowError)]
    others = list[str]()
    for _, product in made.left:
        known = product.problem or planner.known(product.science)
        if isinstance(known, BkgflowError):
            errors.append(known)
        else:
            others.append(product.science.name)
    if others:
        yield f"in no association, for they are no dithers: {listed(others, MOST_LINES)}"
    errors += [error for _, error in found.refused]
    yield from (f"in no association: {error.message}" for error in errors[:MOST_LINES])
    if len(errors) > MOST_LINES:
        yield f"and {many(len(errors) - MOST_LINES, 'more error')}"
    shown = [each for each in found.passed_over if each.reason != REGROUPED]
    yield from summed_up((*shown, *made.passed_over))


def _nothing(made: FromDithers) -> PlanError:
    skipped = [each.skipped for each in made.dithered if each.skipped]
    problems = [each.choice for each in made.dithered if isinstance(each.choice, BkgflowError)]
    why = [*skipped, *(each.message for each in problems), "no exposure is dithered"]
    return PlanError(
        "A program must have exposures that are each other's background",
        value=f"{many(len(made.dithered), 'exposure')}, such as: {why[0]}" if why[1:] else why[0],
        cure="Give exposures of one setup (docs/dithers.md), ask for fewer backgrounds (at_least), "
        "or choose by less (narrower, within, min_offset)",
    )


def _another(files: Sequence[Location]) -> OutputError:
    return OutputError(
        "An association that is there must not be written over unasked",
        file=files[0],
        value=f"{many(len(files), 'file holds', 'files hold')} something else",
        cure="Choose another folder, or overwrite them (overwrite, --overwrite)",
    )
