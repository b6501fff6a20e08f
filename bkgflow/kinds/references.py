"""What a fit is given, as a plan keeps it, and why there may be no fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from bkgflow.errors import FileError
from bkgflow.io.references.find import Reference, find_reference
from bkgflow.io.storage.identity import Identity
from bkgflow.io.storage.location import Location
from bkgflow.planning.kind import Prepared, Request
from bkgflow.planning.unit import References
from bkgflow.record import printable
from bkgflow.settings import StepSettings
from bkgflow.verdict import Verdict

__all__ = ["KEYWORDS", "chosen", "find_sky", "skipped", "to_be_fitted"]

NO_REFERENCE = 'the reference background is "N/A" for this exposure'

KEYWORDS = {"bkg": "R_BKG", "wavelengthrange": "R_WAVRAN"}
"""Under which FITS keyword a product names a reference, by its type."""

NOT_USED = "background exposures are not used: a reference is scaled instead"


def to_be_fitted(request: Request, references: References) -> Prepared:
    """Return a target that is fitted with references."""
    return replace(skipped(request, ""), verdict=Verdict.planned(), references=references)


def skipped(request: Request, reason: str = NO_REFERENCE) -> Prepared:
    """Return a target that is not fitted, for a reason."""
    notes = (NOT_USED,) if request.backgrounds else ()
    keywords = ((KEYWORDS["bkg"], "N/A"),) if reason == NO_REFERENCE else ()
    return Prepared(request.target, Verdict.skipped(reason), notes=notes, keywords=keywords)


def find_sky(request: Request, settings: StepSettings) -> Reference:
    """Find the reference sky of an exposure; see `find_reference`."""
    keywords, override = dict(request.target.keywords), settings.override_bkg
    return find_reference("bkg", keywords, override=override, folder=request.folder)


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
        keywords=tuple(_keywords(references)),
    )


def _keywords(references: Sequence[Reference]) -> Iterator[tuple[str, str]]:
    """Yield what names references in a product: those of CRDS by their names, others by paths."""
    for each in references:
        if each.reftype in KEYWORDS:
            crds = each.origin == "crds"
            names = (f"crds://{x.name}" if crds else str(x) for x in each.locations)
            yield KEYWORDS[each.reftype], printable(",".join(names))
    contexts = [each.context for each in references if each.origin == "crds"]
    if contexts and contexts[0]:
        yield "CRDS_CTX", printable(contexts[0])


def _identity(location: Location) -> Identity:
    if not location.is_file():
        raise FileError(
            "A source catalog or a mask must be a file that is there",
            file=location,
            value="no such file",
            cure="Correct the association, SCATFILE, wfss_mask or template_mask",
        )
    return location.identity()
