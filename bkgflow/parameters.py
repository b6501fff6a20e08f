"""Arguments as they are given, by a call or in a parameter file, and who plans with them."""

from __future__ import annotations

from collections.abc import Mapping

from bkgflow.errors import InputError, SettingsError
from bkgflow.io.references.folder import ReferenceFolder
from bkgflow.io.references.parameters import read_parameters
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.kinds.table import KINDS
from bkgflow.planning.outputs import Outputs
from bkgflow.planning.planner import DEFAULT_MEMORY, Planner
from bkgflow.programs.search_path import SearchPath
from bkgflow.settings import StepSettings

__all__ = ["merged", "planner_of", "single"]


def merged(
    given: Mapping[str, object], settings: PathLike | None, *, writes: bool = True
) -> dict[str, object]:
    """Return the arguments that were given, and those of a parameter file that were not.

    What the file says is checked first, so that an error names it. Who writes products anyway
    need not be told to.
    """
    if settings is None:
        return dict(given)
    location = Location.of(settings)
    try:
        found = read_parameters(location)
        if writes:
            found.pop("save_results", None)
        StepSettings.of(**{name: each for name, each in found.items() if name != "bkg_list"})
    except (InputError, SettingsError) as error:
        # Whatever is wrong with it, nothing was started.
        raise SettingsError(error.rule, file=location, value=error.value, cure=error.cure) from None
    return {**found, **given}


def single(
    given: Mapping[str, object],
    references: PathLike | None,
    settings: PathLike | None,
    bkg_list: object,
    search: SearchPath,
    *,
    writes: bool,
    outputs: Outputs | None = None,
) -> tuple[Planner, object]:
    """Return who plans for one target, and its backgrounds: a parameter file may name them."""
    arguments = merged(given, settings, writes=writes)
    named = arguments.pop("bkg_list", None)
    planner = planner_of(arguments, references, search=search, outputs=outputs)
    return planner, named if bkg_list is None else bkg_list


def planner_of(
    step_arguments: Mapping[str, object],
    references: PathLike | None,
    memory: int = DEFAULT_MEMORY,
    search: SearchPath | None = None,
    outputs: Outputs | None = None,
) -> Planner:
    """Return who plans, with settings that are checked and the references that are there."""
    # Settings first: a wrong argument is said before any file is looked at.
    checked = StepSettings.of(**step_arguments)
    folder = None if references is None else ReferenceFolder(references)
    return Planner(
        checked, KINDS, memory, folder, search=search or SearchPath(), outputs=outputs or Outputs()
    )
