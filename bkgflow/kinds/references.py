"""The references that a fit was given, as a plan keeps them."""

from __future__ import annotations

from collections.abc import Sequence

from bkgflow.errors import FileError
from bkgflow.io.references.find import Reference
from bkgflow.io.storage.identity import Identity
from bkgflow.io.storage.location import Location
from bkgflow.planning.unit import References

__all__ = ["NO_REFERENCE", "chosen"]

NO_REFERENCE = 'the reference background is "N/A" for this exposure'


def chosen(
    references: Sequence[Reference],
    *,
    wavelengthrange: Location | None = None,
    catalog: Location | None = None,
    mask: Location | None = None,
) -> References:
    """Return references, the reference sky first, with a catalog or a mask of the user's.

    Raises
    ------
    FileError
        If the catalog or the mask is not there.
    """
    own = (("catalog", catalog), ("mask", mask))
    identities = [
        *((f"reference {r.reftype}", identity) for r in references for identity in r.identities),
        *((name, _identity(location)) for name, location in own if location is not None),
    ]
    return References(
        background=references[0].locations,
        wavelengthrange=wavelengthrange,
        catalog=catalog,
        mask=mask,
        origins=tuple((r.reftype, f"{r.origin} {r.context}".strip()) for r in references),
        identities=tuple(identities),
    )


def _identity(location: Location) -> Identity:
    if not location.is_file():
        raise FileError(
            "A source catalog or a mask must be a file that is there",
            file=location,
            value="no such file",
            cure="Correct the association, SCATFILE or wfss_mask",
        )
    return location.identity()
