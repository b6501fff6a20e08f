"""Sources that are masked in backgrounds before these are combined: by what, and where."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.util import find_spec

from bkgflow.errors import UsageError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.source import FORMATS, Source
from bkgflow.io.fits.unwarned import unwarned
from bkgflow.io.references.masking import Masking, mask_file
from bkgflow.io.references.sky import no_sky, on_sky
from bkgflow.io.storage.identity import Identity
from bkgflow.io.storage.location import Location
from bkgflow.kinds.looks import Look, Mask, look_at
from bkgflow.methods.sources import detect_sources, discs, grown
from bkgflow.planning.kind import Prepared
from bkgflow.rules import MaskRule
from bkgflow.settings import StepSettings
from bkgflow.texts import how_to_install, listed

__all__ = [
    "PIXEL_BYTES",
    "check_maskable",
    "choose_masks",
    "mask_of",
    "mask_parts",
    "masking_of",
    "own_mask",
    "packages_for_masks",
]

PIXEL_BYTES = 72
"""Of a pixel of an exposure whose sources are masked: its image, as it is, smoothed, without sky,
and the sky's, some of them float64."""

EXTRA = "bkgflow[sources]"
"""What brings the library that looks for sources."""


def masking_of(settings: StepSettings) -> Masking | None:
    """Return by what sources are masked; None where they are not.

    Raises
    ------
    FileError
        If it is not there.
    UsageError
        If the library that looks for sources is not installed.
    """
    if settings.mask_sources is None:
        return None
    from bkgflow.io.references.source_masks import find_masking  # astropy's tables

    masking = find_masking(settings.mask_sources)
    if masking.way == "detect":
        _check_detectable()
    return masking


def packages_for_masks(settings: StepSettings) -> dict[str, str]:
    """Return the packages that tasks need to mask sources, and the extra that brings each."""
    return {"photutils": EXTRA} if settings.mask_sources == "detect" else {}


def _check_detectable() -> None:
    if find_spec("photutils") is None:
        raise UsageError(
            "To look for sources, photutils must be installed",
            value="mask_sources=detect",
            cure=how_to_install(EXTRA),
        )


def choose_masks(prepared: Prepared, settings: StepSettings) -> Prepared:
    """Find out by what sources are masked in the backgrounds of a target, and whether they can be.

    Raises
    ------
    InputError, UsageError
        As `masking_of` and `check_maskable`.
    """
    if not prepared.verdict.to_do or (masking := masking_of(settings)) is None:
        return prepared
    looked_at = prepared.used
    if settings.bkg_scale != "none":  # then the target's sources do not count either
        looked_at = (*looked_at, prepared.target)
    notes = check_maskable(masking, looked_at)
    return replace(prepared, masking=masking, notes=(*prepared.notes, *notes))


def check_maskable(masking: Masking, exposures: Iterable[ExposureFacts]) -> tuple[str, ...]:
    """See that exposures can be masked; return what a user should know about how they are.

    Raises
    ------
    FileError
        If a folder of masks has none for one of them.
    MetadataError
        If nobody knows where on the sky one of them lies, and that is needed.
    """
    rough = []
    for each in exposures:
        if masking.way == "folder" and masking.file is not None:
            mask_file(masking.file, each.location)
        elif masking.projects:
            found = _on_sky(each)
            if not found:
                raise no_sky(str(each.location))
            if found == "header":
                rough.append(each.name)
    if not rough:
        return ()
    return (
        f"sources are projected onto {listed(rough)} by the WCS of the header, which ignores "
        "distortion",
    )


def mask_parts(masking: Masking, settings: StepSettings) -> Iterator[tuple[str, object]]:
    """Yield what a key says of all masks."""
    yield "mask_sources", masking.way
    yield from masking.identities()
    rule = settings.mask_rule
    if masking.way == "detect":
        yield "mask_threshold", rule.threshold
        yield "mask_smooth", rule.smooth
    if masking.way != "folder":
        yield "mask_grow", rule.grow


def own_mask(masking: Masking | None, exposure: ExposureFacts) -> Iterator[tuple[str, Identity]]:
    """Yield what a key says of the mask of one exposure, which follows it there."""
    if masking is not None and masking.way == "folder" and masking.file is not None:
        found = mask_file(masking.file, exposure.location)
        yield "mask of the exposure before it", found.identity("A mask")


def mask_of(look: Look, masking: Masking, rule: MaskRule) -> Mask:
    """Mask the sources of an exposure.

    Raises
    ------
    InputError
        If a file cannot be read, or the exposure's place on the sky is not known.
    UsageError
        If the library that looks for sources is not installed.
    """
    # What most programs do without is imported when it is asked for.
    from bkgflow.io.references.source_masks import folder_mask, segments, spots

    source = look.source
    match masking.way:
        case "detect":
            _check_detectable()  # a plan may be carried out where it was not made
            image = look_at(look)
            with unwarned():  # that there is no source, or that what is NaN does not count
                masked = detect_sources(image, rule)
        case "catalog":
            assert masking.file is not None
            found = spots(masking.file, source)
            masked = discs(found.x, found.y, found.radius + rule.grow, source.window.shape)
        case "segmentation":
            margin = math.ceil(rule.grow)
            (ny, nx), inside = source.window.shape, slice(margin, None)
            masked = grown(segments(masking, source, margin), rule.grow)
            masked = masked[inside, inside][:ny, :nx]
        case "folder":
            assert masking.file is not None
            masked = folder_mask(masking.file, look.location, source, look.instrument)
    return Mask.of(source.window, masked)


@dataclass(frozen=True, slots=True)
class _File:
    """An exposure in a file, told from others by what it holds."""

    location: Location
    identity: Identity
    source: Source = field(compare=False)


def _on_sky(exposure: ExposureFacts) -> str:
    """Say by what an exposure's place is known; of each version of a file it is found out once.

    A program asks for the same exposures again and again, for every target.
    """
    if exposure.source.format not in FORMATS:  # nobody should hold a model that is done with
        return on_sky(exposure.source)
    return _on_sky_of(_File(exposure.location, exposure.identity, exposure.source))


@lru_cache(maxsize=4096)
def _on_sky_of(file: _File) -> str:
    return on_sky(file.source)
