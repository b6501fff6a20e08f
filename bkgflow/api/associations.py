"""Associations of exposures that are each other's background, for the pipeline and for bkgflow."""

from __future__ import annotations

from collections.abc import Sequence

from bkgflow.io.storage.location import Location, PathLike
from bkgflow.parameters import planner_of
from bkgflow.planning.dither_rule import DitherRule
from bkgflow.planning.dithers import from_dithers
from bkgflow.planning.written import Associated, write_associations
from bkgflow.programs.program import load_program
from bkgflow.programs.search_path import SearchPath

__all__ = ["associate"]


def associate(
    program: object,
    output: PathLike,
    *,
    min_offset: float | None = None,
    within: object = None,
    at_least: int | None = None,
    narrower: str | Sequence[str] | None = None,
    data: PathLike | Sequence[PathLike] = (),
    confine: PathLike | None = None,
    overwrite: bool = False,
) -> Associated:
    """Write associations in which the exposures of each group are each other's background.

    ``plan(..., backgrounds="dithers")`` has the same backgrounds without any file; these are for
    the pipeline, and for whoever wants to change them.

    Parameters
    ----------
    program : path, mapping, or several
        As for `plan`; a folder need not have associations.
    output : path
        Folder of the associations, one for each group, with a product for each exposure. Members
        have their whole path where they do not lie in this folder.
    min_offset, within, at_least, narrower, data, confine
        As for `plan`. A product with too few backgrounds is written without any.
    overwrite : bool
        Whether associations of the same names that hold something else are written over.

    Returns
    -------
    Associated
        The files, and what is in them; prints as a few lines.

    Raises
    ------
    UsageError
        If an argument is wrong, or the program has no exposures with dithers as their background.
    OutputError
        If a file is there that holds something else, or one cannot be written.
    """
    rule = DitherRule.of(min_offset=min_offset, within=within, at_least=at_least, narrower=narrower)
    search = SearchPath.of(data, confine)
    planner = planner_of({}, None, search=search)
    found = load_program(program, search, exposures=True)
    planner.looked_at |= found.missing
    made = from_dithers(found, planner, rule)
    return write_associations(made, found, planner, Location.of(output), overwrite=overwrite)
