"""From a program to a plan: its associations, and exposures that come with their backgrounds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from bkgflow.errors import BackgroundError, PlanError, UsageError
from bkgflow.io.storage.folders import folder_of
from bkgflow.io.storage.lists import split_list
from bkgflow.io.storage.location import Location, PathLike, real_paths
from bkgflow.io.storage.publish import check_writable
from bkgflow.planning.collector import put_off
from bkgflow.planning.dither_rule import DitherRule
from bkgflow.planning.plan import Plan
from bkgflow.planning.planner import Asked, Planner
from bkgflow.programs.association import Association, Product
from bkgflow.programs.program import Program, load_program
from bkgflow.texts import many

__all__ = ["check_text", "make_plan"]


@put_off()
def make_plan(
    program: object,
    output: PathLike,
    planner: Planner,
    bkg_list: object = None,
    dithers: DitherRule | None = None,
) -> Plan:
    """Look at every exposure of a program once and decide what will be done.

    Parameters
    ----------
    program : path, mapping, or several
        As for `bkgflow.programs.program.load_program`.
    output : path
        Folder of the products; a run makes it if it is not there.
    bkg_list : sequence of paths, or a comma-separated string
        The backgrounds of exposures that are given without an association, and of products that
        have none of their own.
    dithers : DitherRule, optional
        Have the exposures be each other's background, those of a folder without associations as
        well; their own background members are not used.

    Raises
    ------
    PlanError
        If there is nothing to do, or a path is no text.
    UsageError
        If ``bkg_list`` holds something else than paths, or comes with ``dithers``.
    OutputError
        If the output folder cannot be written to, or an object store not be used.
    """
    folder, backgrounds = folder_of(output), _backgrounds(bkg_list)
    if dithers is not None and backgrounds:
        raise _two_kinds(backgrounds)
    found = load_program(program, planner.search, exposures=dithers is not None)
    named = [each.location for each in found.associations]
    named += [each.location for each in found.passed_over]
    named += [*found.exposures, *found.in_folders, *backgrounds]
    references = planner.references.location if planner.references else ""
    check_text([*named, folder, *(path for path, _ in found.refused), references])
    check_writable(folder)
    planner.looked_at |= found.missing
    if dithers is not None:
        planned = _plan_from_dithers(found, folder, planner, dithers)
    else:
        planned = _plan_as_asked(found, folder, planner, backgrounds)
    return replace(planned, folders=tuple(found.folders))


def _plan_as_asked(
    found: Program, folder: Location, planner: Planner, backgrounds: Sequence[Location]
) -> Plan:
    """Decide what is done where associations, or a list, name the backgrounds."""
    planner.look_at([*found.exposures, *backgrounds, *_members(found.associations)])
    several = len(found.exposures) + sum(len(each.products) for each in found.associations) > 1
    asked = [Asked(path, "", error) for path, error in found.refused]
    for association in found.associations:
        asked.extend(planner.asked_in(_with_list(association, backgrounds, several)))
    asked.extend(_asked_alone(found.exposures, backgrounds, several, planner))
    return planner.plan(asked, folder, found.passed_over)


def _plan_from_dithers(
    found: Program, folder: Location, planner: Planner, rule: DitherRule
) -> Plan:
    """Decide what is done where the exposures of a program are each other's background."""
    # Only here: most plans have their backgrounds named.
    from bkgflow.planning.dithers import asked_from, from_dithers

    made = from_dithers(found, planner, rule)
    asked = [Asked(path, "", error) for path, error in found.refused]
    for association in found.associations:  # what of each cannot be read
        asked.extend(planner.asked_in(replace(association, products=())))
    asked.extend(asked_from(made, planner))
    for association, product in made.left:
        if association.products:
            one = replace(association, products=(product,), refused=())
            asked.extend(planner.asked_in(one))
        else:
            asked.extend(_asked_alone([product.science], (), False, planner))
    passed_over = (*found.passed_over, *made.passed_over)
    return planner.plan(asked, folder, passed_over, made.notes())


def _two_kinds(backgrounds: Sequence[Location]) -> UsageError:
    return UsageError(
        "backgrounds=dithers must come without bkg_list",
        value=f"{many(len(backgrounds), 'file')} in bkg_list",
        cure="Leave one of the two out",
    )


def _members(associations: Iterable[Association]) -> Iterator[Location]:
    """Yield the exposures of associations."""
    for association in associations:
        for product in association.products:
            if product.problem is None:
                yield from (product.science, *product.backgrounds)


def _backgrounds(bkg_list: object) -> list[Location]:
    items = split_list(bkg_list)
    for item in items:
        if not isinstance(item, str | os.PathLike):
            raise UsageError(
                "The bkg_list of a program must name files",
                value=f"{type(item).__name__}: {item!r}"[:200],
                cure="Give paths; models in memory are for bkgflow.subtract",
            )
    return list(dict.fromkeys(map(Location.of, items)))


def _with_list(
    association: Association, backgrounds: Sequence[Location], several: bool
) -> Association:
    """Give the list to products that have no backgrounds of their own."""
    if not backgrounds:
        return association
    note = "its own background members are used, not bkg_list"
    products = (
        product.noting(note) if product.backgrounds else _given(product, backgrounds, several)
        for product in association.products
    )
    return replace(association, products=tuple(products))


def _given(product: Product, backgrounds: Sequence[Location], several: bool) -> Product:
    """Return a product with the backgrounds of a list, without itself where it is in the list.

    A list for several targets may hold them all: then each has the others as its background.
    """
    own, *real = real_paths((product.science, *backgrounds))
    others = tuple(each for each, path in zip(backgrounds, real, strict=True) if path != own)
    if len(others) == len(backgrounds) or not several:
        return replace(product, backgrounds=tuple(backgrounds))
    note = f"{product.science.name} is in bkg_list itself, and the others are its background"
    return replace(product, backgrounds=others).noting(note)


def _asked_alone(
    exposures: Iterable[Location], backgrounds: Sequence[Location], several: bool, planner: Planner
) -> Iterator[Asked]:
    """Prepare exposures that were given without an association."""
    products = [
        _given(Product("", (("science", each.name),), each), backgrounds, several)
        for each in dict.fromkeys(exposures)
    ]
    for product in products:
        [asked] = planner.asked_in(Association(Location(""), (product,)))
        asked = replace(asked, science=str(product.science))
        if product.backgrounds or isinstance(asked.found, Exception):
            yield asked
        elif planner.kind_of(asked.found.target).shares_backgrounds:
            yield replace(
                asked, found=_no_backgrounds(product.science), science=str(product.science)
            )
        else:  # its background is a reference
            yield asked


def _no_backgrounds(exposure: Location) -> BackgroundError:
    return BackgroundError(
        "An exposure that is given without its association must come with backgrounds",
        file=exposure,
        value="no background",
        cure="Give its association, or its backgrounds with bkg_list (--bkg-list)",
    )


def check_text(paths: Iterable[PathLike]) -> None:
    """Refuse paths that are no text: a plan, a log and a result could not name them."""
    for path in map(str, paths):
        try:
            path.encode()
        except UnicodeEncodeError:
            raise PlanError(
                "The paths of a program, its references and its output must be text (UTF-8)",
                value=os.fsencode(path),
                cure="Rename the file or the folder, or link to it by another name",
            ) from None
