"""Which reference files an exposure needs: named ones, a folder's, or CRDS's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Literal

from bkgflow.errors import ReferenceFileError
from bkgflow.io.references.crds import crds_reference
from bkgflow.io.references.folder import ReferenceFolder
from bkgflow.io.storage.identity import Identity
from bkgflow.io.storage.lists import split_list
from bkgflow.io.storage.location import Location

__all__ = ["Origin", "Override", "Reference", "find_reference"]

Origin = Literal["override", "folder", "crds"]

Override = str | PathLike[str] | Sequence[str | PathLike[str]]

NOT_APPLICABLE = "N/A"

SEVERAL = {"bkg"}
"""Types of which several files are taken together."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The reference files of one type that an exposure is to be done with.

    Attributes
    ----------
    locations, identities : tuples of Location and Identity
        The files; several where several components were named, none where the reference
        is not applicable.
    origin : "override", "folder" or "crds"
        Who chose them.
    context : str
        The folder's location, or CRDS's context; empty for an override.
    """

    reftype: str
    locations: tuple[Location, ...]
    origin: Origin
    context: str
    identities: tuple[Identity, ...]

    @property
    def applicable(self) -> bool:
        """Whether there is anything to do: false for "N/A"."""
        return bool(self.locations)


def find_reference(
    reftype: str,
    keywords: Mapping[str, str],
    *,
    override: Override | None = None,
    folder: ReferenceFolder | None = None,
) -> Reference:
    """Find the reference files of one type for an exposure.

    An override goes before the folder, and the folder before CRDS.

    Parameters
    ----------
    reftype : str
        ``bkg``, ``wavelengthrange``, …
    keywords : mapping
        The exposure's header values, as `ExposureFacts.keywords` holds them.
    override : path-like, str or sequence, optional
        A path, several (also as a comma list), or "N/A"; relative to the working folder.

    Raises
    ------
    UsageError, PlanError
        If CRDS is needed but is not installed or does not answer.
    ReferenceFileError
        If a named file is missing, none fits, or two fit equally well.
    """
    if override is not None:
        return _named(reftype, override)
    if folder is not None:
        return _of(reftype, [folder.match(reftype, keywords)], "folder", str(folder.location))
    path, context = crds_reference(reftype, keywords)
    return _of(reftype, [] if path is None else [path], "crds", context)


def _named(reftype: str, override: Override) -> Reference:
    items = split_list(fspath(override) if isinstance(override, PathLike) else override)
    names = [fspath(item) for item in items]
    upper = [name.upper() for name in names]
    if upper == [NOT_APPLICABLE]:
        return _of(reftype, [], "override", "")
    if not names or NOT_APPLICABLE in upper:
        raise ReferenceFileError(
            f"override_{reftype} must name reference files, or be N/A alone",
            value=repr(override),
            cure="Give a path, a comma list of paths, or N/A",
        )
    if len(names) > 1 and reftype not in SEVERAL:
        raise ReferenceFileError(
            f"override_{reftype} must name one file",
            value=", ".join(names),
            cure="Give the one of the exposure's grism, or plan exposures of other grisms apart",
        )
    return _of(reftype, [Location.of(name) for name in names], "override", "")


def _of(reftype: str, found: Sequence[Location], origin: Origin, context: str) -> Reference:
    for location in found:
        if not location.is_file():
            raise ReferenceFileError(
                f"A {reftype} reference must be a file",
                file=location,
                value="no such file" if not location.exists() else "a folder",
                cure=f"Correct override_{reftype}" if origin == "override" else "Fetch it again",
            )
    identities = tuple(location.identity(f"A {reftype} reference") for location in found)
    return Reference(reftype, tuple(found), origin, context, identities)
