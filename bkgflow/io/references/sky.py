"""From pixels to the sky and back: by an image's own WCS, or by what its header says of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bkgflow.errors import FileError, MetadataError
from bkgflow.io.exposures.source import Source, sky_keywords
from bkgflow.io.fits.tree import read_wcs
from bkgflow.io.fits.unwarned import unwarned
from bkgflow.io.storage.location import Location, PathLike

if TYPE_CHECKING:
    from gwcs import WCS

__all__ = ["Sky", "image_sky", "no_sky", "on_sky", "sky_of"]

Doubles = NDArray[np.float64]

Pair = tuple[Doubles, Doubles]

NEEDED = ("CTYPE1", "CTYPE2", "CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2")

CURE = (
    "Run the pipeline's assign_wcs step, or give what needs no WCS: mask_sources=detect, or a "
    "folder of masks"
)


@dataclass(frozen=True, slots=True)
class Sky:
    """Where the pixels of an image lie: arrays in, arrays out.

    Attributes
    ----------
    to_sky : callable
        From x and y, the centre of the first pixel at 0, to right ascension and declination, ICRS
        degrees.
    to_pixel : callable
        The way back. NaN where there is none.
    """

    to_sky: Callable[[Doubles, Doubles], Pair]
    to_pixel: Callable[[Doubles, Doubles], Pair]


def on_sky(source: Source) -> str:
    """Say by what an exposure's place on the sky is known: "WCS", "header", or "" where it is not.

    Nothing is made of it.
    """
    if source.has_wcs():
        return "WCS"
    return "header" if _enough(source.sky_keywords()) else ""


def sky_of(source: Source) -> Sky:
    """Return where an exposure's pixels lie: by its WCS, else by its header, without distortion.

    Raises
    ------
    MetadataError
        If it has neither, or its WCS does not lead to the sky and back, as that of spectra.
    """
    wcs = source.wcs()
    if wcs is not None:
        return _by_wcs(wcs, source.name)
    keywords = source.sky_keywords()
    if not _enough(keywords):
        raise no_sky(source.name)
    return _by_header(keywords, source.name)


def no_sky(name: PathLike) -> MetadataError:
    """Return the error of an exposure whose place on the sky is not known."""
    return MetadataError(
        "An exposure onto which sources are projected must have a WCS",
        file=name,
        value=f"no meta.wcs, and not all of {', '.join(NEEDED)} in SCI's header",
        cure=CURE,
    )


def image_sky(location: Location, header: Callable[[str], object]) -> Sky | None:
    """Return where the pixels of a mosaic or a map lie; None where its file does not say it.

    Raises
    ------
    FileError, MetadataError
        If what it says cannot be read, or does not lead to the sky and back.
    """
    wcs = read_wcs(location)
    if wcs is not None:
        return _by_wcs(wcs, str(location))
    keywords = sky_keywords(header)
    return _by_header(keywords, str(location)) if _enough(keywords) else None


def _enough(keywords: Mapping[str, str | float]) -> bool:
    scaled = "CDELT1" in keywords or "CD1_1" in keywords
    return scaled and all(name in keywords for name in NEEDED)


def _by_wcs(wcs: WCS, name: str) -> Sky:
    try:
        forward, backward = wcs.forward_transform, wcs.backward_transform
        sizes = forward.n_inputs, forward.n_outputs, backward.n_inputs, backward.n_outputs
        found = "" if sizes == (2, 2, 2, 2) else f"{sizes[0]} inputs, {sizes[1]} outputs"
    except (AttributeError, NotImplementedError) as problem:
        found = str(problem)[:200] or type(problem).__name__
    if found:
        raise MetadataError(
            "The WCS of an image must lead from (x, y) to (ra, dec) and back",
            file=name,
            value=found,
            cure="For spectra, give mask_sources=detect or a folder of masks",
        )

    def through(transform: Callable[..., Pair]) -> Callable[[Doubles, Doubles], Pair]:
        def apply(one: Doubles, other: Doubles) -> Pair:
            first, second = transform(one, other)
            return np.asarray(first, np.float64), np.asarray(second, np.float64)

        return apply

    return Sky(through(forward), through(backward))


def _by_header(keywords: Mapping[str, str | float], name: str) -> Sky:
    from astropy import wcs as header_wcs
    from astropy.io.fits import Header

    header = Header({"WCSAXES": 2, **keywords})
    try:
        with unwarned():
            wcs = header_wcs.WCS(header)
            if not wcs.has_celestial:
                raise ValueError(f"{keywords['CTYPE1']}, {keywords['CTYPE2']}")
    except Exception as problem:
        raise FileError(
            "The WCS in a header must be one of the sky that astropy understands",
            file=name,
            value=f"{type(problem).__name__}: {problem}"[:200],
            cure=CURE,
        ) from None

    def to_sky(x: Doubles, y: Doubles) -> Pair:
        ra, dec = wcs.all_pix2world(x, y, 0)
        return ra, dec

    def to_pixel(ra: Doubles, dec: Doubles) -> Pair:
        x, y = wcs.wcs_world2pix(ra, dec, 0)
        return x, y

    return Sky(to_sky, to_pixel)
