"""Backgrounds that are brought to the level of their target before they are combined."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.errors import BackgroundError, BkgflowError
from bkgflow.io.storage.location import Location
from bkgflow.kinds.looks import Look, Mask, look_at_rows
from bkgflow.methods.scales import FEWEST, Mode, Regions, Scale, Scales, match, sample_rows
from bkgflow.settings import StepSettings

__all__ = ["Sample", "regions_of", "sample_of", "scale_map", "scale_parts", "scales_of"]

SIGNIFICANT = 3.0
"""A factor must be so many of its errors above zero."""

WHAT = "A map of regions"


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Some rows of an exposure: what is compared with another.

    Attributes
    ----------
    location : Location
        Of the exposure.
    sci : (rows, nx) float32
        NaN where a pixel is not valid or shows a source.
    """

    location: Location
    sci: NDArray[np.float32]


def scale_parts(settings: StepSettings) -> Iterator[tuple[str, object]]:
    """Yield what a key says of the scaling, beside the target.

    Raises
    ------
    FileError
        If the map is missing.
    """
    yield "bkg_scale", settings.bkg_scale
    if (location := scale_map(settings)) is not None:
        yield "bkg_scale_map", location.identity(WHAT)


def scale_map(settings: StepSettings) -> Location | None:
    """Return where the map of regions is that are scaled apart; None without one."""
    given = settings.bkg_scale_map
    return None if given is None else Location.of(given)


def regions_of(path: Location, window: Window, instrument: str) -> Regions:
    """Read a map of regions, as much of it as a window shows."""
    from bkgflow.io.references.mask import read_regions  # few ask for it

    numbers, index = read_regions(path, window, instrument)
    return Regions(numbers, index)


def sample_of(
    window: Window, look: Look, regions: Regions | None = None, mask: Mask | None = None
) -> Sample:
    """Read the rows of a window in which exposures are compared, without masked pixels."""
    rows = sample_rows(window, regions)
    sci = look_at_rows(look, rows, window)
    if mask is not None:
        for line, y in zip(sci, rows, strict=True):
            line[mask.over(Window(window.x0, y, window.nx, 1))[0]] = np.nan
    return Sample(look.location, sci)


def scales_of(
    mode: Mode, window: Window, regions: Regions, target: Sample, *backgrounds: Sample
) -> Scales | BkgflowError:
    """Bring each of several backgrounds to the level of their target, region by region.

    Returns
    -------
    Scales, or BackgroundError
        The error is of this target alone: others, whose bands are combined in the same task, go
        on.
    """
    index = None
    if regions.index is not None:
        index = regions.index[[y - window.y0 for y in sample_rows(window, regions)]]
    try:
        return Scales.of(
            mode,
            [
                [
                    _checked(mode, number if index is not None else None, target, each,
                             None if index is None else index == place)
                    for place, number in enumerate(regions.numbers)
                ]
                for each in backgrounds
            ],
        )  # fmt: skip
    except BackgroundError as error:
        return error


def _checked(
    mode: Mode,
    region: int | None,
    target: Sample,
    background: Sample,
    where: NDArray[np.bool_] | None,
) -> Scale:
    """Match one region; raise where what is found means nothing."""
    inside = np.ones(target.sci.shape, bool) if where is None else where
    both = [np.isfinite(each.sci[inside]) for each in (target, background)]
    seen = both[0].size
    if seen >= FEWEST and not all(each.any() for each in both):
        # One of them has nothing here, as beyond its subarray: there is nothing to be scaled.
        return Scale(math.nan, math.nan, 0)
    place = "" if region is None else f" in region {region}"
    common = int(np.count_nonzero(both[0] & both[1]))
    if common < FEWEST:
        raise BackgroundError(
            f"A background must have at least {FEWEST} unmasked pixels in common with its target "
            "to be scaled",
            file=background.location,
            value=f"{common} of {seen} pixels that were looked at{place}; the target is "
            f"{target.location.name}",
            cure="Mask less (mask_threshold, mask_grow), make the region larger, or leave out "
            "bkg_scale",
        )
    found = match(target.sci, background.sci, mode, where)
    if mode == "factor" and not found.value > SIGNIFICANT * found.error:
        raise BackgroundError(
            "A factor that brings a background to its target's level must be positive, and more "
            f"than {SIGNIFICANT:g} of its errors",
            file=background.location,
            value=f"{found.value:.4g} ± {found.error:.2g} from {found.pixels} pixels{place}; the "
            f"target is {target.location.name}",
            cure="Give bkg_scale=offset where the sky is next to nothing, or leave out the "
            "background",
        )
    return found
