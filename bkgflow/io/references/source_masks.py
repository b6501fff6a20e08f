"""Masks of sources that are not looked for: of a catalog, a map of segments, or files of one's own.

What is on the sky is projected through the WCS of each exposure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.errors import FileError
from bkgflow.io.exposures.source import Source
from bkgflow.io.fits.hdus import walk
from bkgflow.io.references.catalog import read_positions
from bkgflow.io.references.images import StoredImage, begins_with, find_image
from bkgflow.io.references.mask import read_source_mask
from bkgflow.io.references.masking import WHAT, Masking, mask_file
from bkgflow.io.references.sky import Sky, image_sky, sky_of
from bkgflow.io.storage.identity import Identity
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.reading import said

__all__ = ["Spots", "find_masking", "folder_mask", "segments", "spots"]

CURE = (
    "Give a catalog (_cat.ecsv), a segmentation image (_segm.fits), a mosaic (_i2d.fits) with its "
    "_segm beside it, a folder of masks, or detect"
)

GRID = 16
"""Pixels between those whose place in a map is worked out; those between them lie between: over
so few, distortion is straight to a thousandth of a pixel."""

ARCSECOND = 1 / 3600
"""In degrees."""

MOSAIC = re.compile(r"_i2d(?=\.fits(\.gz)?$)")
SEGMENTS = re.compile(r"_segm(?=\.fits(\.gz)?$)")

Mask = NDArray[np.bool_]
Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spots:
    """Sources on an exposure: centres and radii in its pixels, the first at 0; (n,) float64."""

    x: Doubles
    y: Doubles
    radius: Doubles


def find_masking(given: str) -> Masking:
    """Find out what sources are masked by.

    Parameters
    ----------
    given : str
        The step's argument ``mask_sources``.

    Raises
    ------
    FileError
        If there is no such file, or the map of a mosaic is missing.
    """
    if given == "detect":
        return Masking("detect")
    location = Location.of(given)
    try:
        if location.is_dir():
            return Masking("folder", location)
        found = "" if location.is_file() else "no such file"
    except OSError as problem:  # a store that does not answer
        found = said(problem)
    if found:
        raise FileError(f"{WHAT} must be there", file=location, value=found, cure=CURE)
    return _of_file(location, location.identity(WHAT))


@lru_cache(maxsize=64)
def _of_file(location: Location, _version: Identity) -> Masking:
    """Look into a file, once for each version of it."""
    if not begins_with(location, b"SIMPLE", WHAT) or not _has_image(location):
        read_positions(location)  # here: nobody should wait for a run to be told
        return Masking("catalog", location)
    mosaic = None
    if MOSAIC.search(location.name):
        mosaic, name = location, MOSAIC.sub("_segm", location.name)
        location = location.parent / name
        if not location.is_file():
            raise FileError(
                "A mosaic must have the map of its sources beside it",
                file=mosaic,
                value=f"no {name}",
                cure="Run the pipeline's source_catalog step on it, which writes both, or give "
                "mask_sources=detect",
            )
    image = _map(location)
    if image_sky(location, image.keyword) is not None:
        return Masking("segmentation", location)
    if mosaic is None and SEGMENTS.search(location.name):
        mosaic = location.parent / SEGMENTS.sub("_i2d", location.name)
    if mosaic is None or not mosaic.is_file() or _sky_beside(mosaic) is None:
        raise FileError(
            "A map of sources must say where it lies on the sky",
            file=location,
            value="no meta.wcs, and no WCS in its header",
            cure="Put its mosaic's WCS into its header, or the mosaic (_i2d.fits) beside it",
        )
    return Masking("segmentation", location, mosaic)


def folder_mask(folder: Location, exposure: Location, source: Source, instrument: str) -> Mask:
    """Read the mask of an exposure, True on its sources: (ny, nx) of its window."""
    return read_source_mask(mask_file(folder, exposure), source.window, instrument)


def spots(catalog: PathLike, source: Source) -> Spots:
    """Project the sources of a catalog onto an exposure.

    Raises
    ------
    FileError, MetadataError
        If the catalog or the exposure's WCS cannot be read, or it has none.
    """
    found, sky = read_positions(catalog), sky_of(source)
    x, y = sky.to_pixel(found.ra, found.dec)
    # Towards the equator, where there is always sky; a degree of declination is one everywhere.
    towards = np.where(found.dec > 0, -ARCSECOND, ARCSECOND)
    beside = sky.to_pixel(found.ra, found.dec + towards)
    scale = np.hypot(beside[0] - x, beside[1] - y)  # pixels of an arcsecond
    return Spots(x, y, np.nan_to_num(found.radius * scale, nan=0.0))


def segments(masking: Masking, source: Source, margin: int = 0) -> Mask:
    """Project a map of segments onto an exposure: True where it is not 0.

    Each pixel takes the map's pixel that its centre falls on.

    Parameters
    ----------
    margin : int
        Pixels around the exposure that are looked at as well: what lies there may grow into it.

    Returns
    -------
    (ny + 2 margin, nx + 2 margin) bool

    Raises
    ------
    FileError, MetadataError
        If the map or the exposure's WCS cannot be read, or it has none.
    """
    assert masking.file is not None
    image = _map(masking.file)
    sky = image_sky(masking.file, image.keyword)
    if sky is None and masking.beside is not None:
        sky = _sky_beside(masking.beside)
    assert sky is not None  # `find_masking` has seen to it
    ny, nx = (size + 2 * margin for size in source.window.shape)
    mask = np.zeros((ny, nx), bool)
    places = _places(sky_of(source), sky, mask.shape, margin)
    ny, nx = image.shape[-2:]
    known = np.isfinite(places[0]) & np.isfinite(places[1])
    column, row = (_whole(each, known) for each in places)
    on = (column >= 0) & (column < nx) & (row >= 0) & (row < ny)
    if not on.any():
        return mask
    # Of a large mosaic, only what the exposure shows.
    x0, y0 = int(column[on].min()), int(row[on].min())
    part = Window(x0, y0, int(column[on].max()) - x0 + 1, int(row[on].max()) - y0 + 1)
    labels = np.nan_to_num(image.read(part)[0])
    if (wrong := labels[labels != np.rint(labels)]).size:
        raise FileError(
            "A segmentation image must hold whole numbers alone: 0, and those of its sources",
            file=masking.file,
            value=wrong[0],
            cure=CURE,
        )
    mask[on] = labels[row[on] - y0, column[on] - x0] != 0
    return mask


def _whole(place: Doubles, known: Mask) -> NDArray[np.int64]:
    """Return the nearest pixels; -1 where a place is not known, or far away."""
    near = known & (np.abs(place) < 2**31)
    return np.rint(np.where(near, place, -1)).astype(np.int64)


def _places(
    exposure: Sky, image: Sky, shape: tuple[int, int], margin: int
) -> tuple[Doubles, Doubles]:
    """Return where each pixel of an exposure with a margin falls on an image: x and y, each of
    the shape."""
    from scipy.ndimage import map_coordinates

    steps = [np.arange(-(-size // GRID) + 1) * float(GRID) for size in shape]
    y, x = np.meshgrid(*steps, indexing="ij")
    known = image.to_pixel(*exposure.to_sky(x - margin, y - margin))
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    at = np.broadcast_arrays(rows / GRID, columns / GRID)
    fx, fy = (map_coordinates(each, at, order=1, mode="nearest") for each in known)
    return fx, fy


def _map(location: Location) -> StoredImage:
    return find_image(location, ("SCI", "SEGM", "SEGMENTATION"), WHAT, CURE)


def _sky_beside(mosaic: Location) -> Sky | None:
    return image_sky(mosaic, find_image(mosaic, ("SCI",), "A mosaic", CURE).keyword)


def _has_image(location: Location) -> bool:
    hdus = walk(location).values()
    return any(
        hdu.kind == "COMPRESSED" or (hdu.kind == "IMAGE" and len(hdu.data.shape) in (2, 3))
        for hdu in hdus
    )
