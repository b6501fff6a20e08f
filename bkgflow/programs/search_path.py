"""Where members are looked for beside their associations, and the folder that must not be left."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from bkgflow.errors import FileError, PlanError
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.upaths import as_given

__all__ = ["SearchPath", "check_confined"]


@dataclass(frozen=True, slots=True)
class SearchPath:
    """Where members are looked for beside their associations, and what must not be left.

    Attributes
    ----------
    data : tuple of Location
        Folders that are searched, with all below them, in this order.
    confine : Location or None
        Every exposure and catalog must lie in this folder, with links resolved; None for anywhere.
    """

    data: tuple[Location, ...] = ()
    confine: Location | None = None

    @classmethod
    def of(
        cls, data: PathLike | Sequence[PathLike] = (), confine: PathLike | None = None
    ) -> SearchPath:
        """Return the search path of what users give.

        Raises
        ------
        PlanError
            If one of them is no folder.
        """
        data = as_given(data)
        given = [data] if isinstance(data, str | os.PathLike) else list(data)
        folders = tuple(_folder("data", each) for each in given)
        return cls(folders, None if confine is None else _folder("confine", confine))


def _folder(option: str, where: PathLike) -> Location:
    location = Location.of(where)
    try:
        if location.is_dir():
            return location
        found = "a file" if location.exists() else "no such folder"
    except OSError as problem:
        found = problem.strerror or str(problem)
    raise PlanError(
        f"{option} must be a folder", file=location, value=found, cure="Correct its path"
    )


def check_confined(location: Location, confine: Location | None) -> None:
    """Refuse what a program must not reach.

    Raises
    ------
    FileError
        If it lies outside of the folder, by its path or through links.
    """
    if confine is None or location.within(confine):
        return
    raise FileError(
        f"With confine, every file of a program must lie in {confine}",
        file=location,
        value=location.real(),
        cure="Put it there, or confine the program to a larger folder",
    )
