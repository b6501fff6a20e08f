"""What a fit needs beside its exposure: references, catalogue, mask; found while planning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bkgflow.errors import FileError, MetadataError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.references.find import Reference, find_reference
from bkgflow.io.references.folder import ReferenceFolder
from bkgflow.io.storage.identity import Identity
from bkgflow.io.storage.location import Location
from bkgflow.settings import StepSettings

__all__ = ["FitInputs", "soss_inputs", "wfss_inputs"]

NO_REFERENCE = 'the reference background is "N/A" for this exposure'

WITHOUT_REFERENCE = "F277W"
"""The SOSS filter that lets no usable sky through: there is no reference background for it."""


@dataclass(frozen=True, slots=True)
class FitInputs:
    """Files that a WFSS or SOSS fit reads beside its exposure.

    Attributes
    ----------
    background : tuple of str
        Paths of the reference skies; several are components of one fit.
    wavelengthrange, catalog, mask : str or None
        Paths; None where not needed.
    origins : tuple of (str, str)
        Where each reference came from, such as ("bkg", "crds jwst_1303.pmap").
    identities : tuple of Identity
        Which version of each file it was.
    """

    background: tuple[str, ...]
    wavelengthrange: str | None = None
    catalog: str | None = None
    mask: str | None = None
    origins: tuple[tuple[str, str], ...] = ()
    identities: tuple[Identity, ...] = ()


def soss_inputs(
    target: ExposureFacts, settings: StepSettings, folder: ReferenceFolder | None
) -> FitInputs | str:
    """Find the sky library of a SOSS exposure; a string says why there is none.

    Raises
    ------
    UsageError, ReferenceFileError
        See `find_reference`.
    """
    keywords = dict(target.keywords)
    if keywords.get("FILTER") == WITHOUT_REFERENCE and settings.override_bkg is None:
        return f"there is no reference background for {WITHOUT_REFERENCE} exposures"
    found = find_reference("bkg", keywords, override=settings.override_bkg, folder=folder)
    return _with([found]) if found.applicable else NO_REFERENCE


def wfss_inputs(
    target: ExposureFacts,
    settings: StepSettings,
    folder: ReferenceFolder | None,
    catalogs: tuple[str, ...],
) -> FitInputs | str:
    """Find what a slitless exposure is fitted with; a string says why it is skipped.

    Parameters
    ----------
    target : ExposureFacts
        The exposure.
    settings : StepSettings
        Overrides, mask and mask mode.
    folder : ReferenceFolder or None
        Where references are looked for; None for CRDS.
    catalogs : tuple of str
        The association's ``sourcecat`` members; without one, SCATFILE counts.

    Raises
    ------
    MetadataError
        If there is neither a catalogue nor a mask.
    UsageError, InputError
        If a file is missing, or see `find_reference`.
    """
    keywords = dict(target.keywords)
    background = find_reference("bkg", keywords, override=settings.override_bkg, folder=folder)
    if not background.applicable:
        return NO_REFERENCE
    mask = None if settings.wfss_mask is None else str(Path(settings.wfss_mask).absolute())
    if mask is not None:
        return _with([background], mask=mask)
    if settings.wfss_mask_mode == "residual":
        return _with([background])
    catalog = _catalog(target, keywords, catalogs)
    ranges = find_reference(
        "wavelengthrange", keywords, override=settings.override_wavelengthrange, folder=folder
    )
    if not ranges.applicable:
        return 'the wavelengthrange reference is "N/A" for this exposure'
    return _with([background, ranges], wavelengthrange=str(ranges.locations[0]), catalog=catalog)


def _catalog(target: ExposureFacts, keywords: Mapping[str, str], catalogs: tuple[str, ...]) -> str:
    """Return the path of the source catalogue."""
    if catalogs:
        return catalogs[0]
    name = keywords.get("SCATFILE")
    if not name or name.upper() == "N/A":
        raise MetadataError(
            "A slitless exposure has a source catalogue or a mask of its background",
            file=target.path,
            value="no sourcecat member in the association, no SCATFILE, no wfss_mask",
            cure="Give a catalogue in one of these ways, a mask with wfss_mask, or "
            "wfss_mask_mode residual",
        )
    return str((Path(target.path).parent / name).absolute())


def _with(
    references: list[Reference],
    *,
    wavelengthrange: str | None = None,
    catalog: str | None = None,
    mask: str | None = None,
) -> FitInputs:
    own = tuple(_identity(path) for path in (catalog, mask) if path is not None)
    return FitInputs(
        background=tuple(map(str, references[0].locations)),
        wavelengthrange=wavelengthrange,
        catalog=catalog,
        mask=mask,
        origins=tuple((r.reftype, f"{r.origin} {r.context}".strip()) for r in references),
        identities=tuple(i for r in references for i in r.identities) + own,
    )


def _identity(path: str) -> Identity:
    if not Path(path).is_file():
        raise FileError(
            "A source catalogue or a mask is a file that is there",
            file=path,
            value="no such file",
            cure="Correct the association, SCATFILE or wfss_mask",
        )
    return Location.of(path).identity("A source catalogue or a mask")
