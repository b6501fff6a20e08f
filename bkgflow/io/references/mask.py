"""A user's own mask of the background pixels."""

from __future__ import annotations

import io
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window, full_frame
from bkgflow.errors import FileError, ShapeError, WindowError
from bkgflow.io.exposures.facts import look_up
from bkgflow.io.exposures.windows import CORNER_AND_SIZE, window_of
from bkgflow.io.references.images import ASDF_MAGIC, begins_with, find_image
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.reading import understood
from bkgflow.io.zarr.reading import holds_group, open_group
from bkgflow.io.zarr.stream import walk_product

__all__ = ["product_mask", "read_mask", "read_regions", "read_source_mask"]

WHAT = "A mask"

MOST_REGIONS = 256
"""Of a map: their places in it are bytes."""

ASDF_KEYS = ("xstart", "ystart", "xsize", "ysize")
"""Where a tree has what `CORNER_AND_SIZE` names, below ``meta.subarray``."""

SOURCES_CURE = "Write an image into the mask's file, alone or as MASK: 0 is sky, all else is masked"

MAP_CURE = "Write an image of whole numbers into the file, one number for each region"

CURE = "Write 1 for background and 0 for sources into a MASK extension, as _bsub products have it"

Values = NDArray[np.generic]


def read_mask(path: PathLike, window: Window, instrument: str = "") -> NDArray[np.bool_]:
    """Read a mask and cut it to an exposure's window, True for background.

    Where the mask lies on the detector say its own SUBSTRT1/2. Without them it lies where the
    exposure does if it has its shape, else it is a full frame's.

    Parameters
    ----------
    path : path-like
        A FITS file with an extension MASK, or with one single image of 0 and 1; a numpy file
        with such an image; or an ASDF file with ``mask``. In MASK and ``mask`` every number but
        0 is background, as in the reference step.
    window : Window
        Of the exposure.
    instrument : str
        INSTRUME, which decides what a full frame is.

    Raises
    ------
    FileError
        If the file cannot be read, holds no mask or values that no mask has.
    ShapeError, WindowError
        If the mask does not cover the exposure, or contradicts its own keywords.
    """
    found = _from_asdf(path) if begins_with(path, ASDF_MAGIC, WHAT) else _from_image(path)
    values = _cut(path, found, window, instrument)
    refused = partial(FileError, file=path, cure=CURE)
    if values.dtype.kind not in "biuf":
        raise refused("The values of a mask must be whole numbers", value=f"type {values.dtype}")
    if not np.isfinite(values).all():
        raise refused("The values of a mask must be whole numbers", value=_some(values))
    background: NDArray[np.bool_] = values != 0
    if not found.any_number and not np.array_equal(values, background):
        raise refused("An image that serves as a mask must hold 0 and 1 alone", value=_some(values))
    return background


def read_source_mask(path: PathLike, window: Window, instrument: str = "") -> NDArray[np.bool_]:
    """Read a mask of an exposure's sources, True where it is not 0, and cut it to a window.

    Where it lies on the detector is found out as by `read_mask`.

    Raises
    ------
    FileError, ShapeError, WindowError
        As `read_mask`.
    """
    found = _from_image(path, SOURCES_CURE)
    masked: NDArray[np.bool_] = _cut(path, found, window, instrument) != 0
    return masked


def read_regions(
    path: PathLike, window: Window, instrument: str = ""
) -> tuple[tuple[int, ...], NDArray[np.uint8]]:
    """Read a map of regions and cut it to a window; return their numbers, and which is where.

    Returns
    -------
    numbers : tuple of int
        Those that the window holds, in order.
    index : (ny, nx) uint8
        For each pixel, the place of its number among these.

    Raises
    ------
    FileError
        If it cannot be read, or holds other than whole numbers, or more than 256 of them.
    ShapeError, WindowError
        If it does not cover the window.
    """
    values = _cut(path, _from_image(path, MAP_CURE, "A map of regions"), window, instrument, "map")
    refused = partial(FileError, file=path, cure=MAP_CURE)
    if not np.isfinite(values).all() or (values != np.rint(values)).any():
        raise refused("A map of regions must hold whole numbers alone", value=_some(values))
    numbers, index = np.unique(values, return_inverse=True)
    if len(numbers) > MOST_REGIONS:
        raise refused(f"A map must have no more than {MOST_REGIONS} regions", value=len(numbers))
    return tuple(map(int, numbers)), index.reshape(values.shape).astype(np.uint8)


def product_mask(path: PathLike, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    """Return the MASK of a slitless product, True for background; None where it has none.

    Raises
    ------
    FileError, ShapeError
        As `read_mask`.
    """
    location = Location.of(path)
    hdu = walk_product(location).get("MASK")
    if hdu is None:
        return None
    if hdu.data.shape != shape:
        raise _other_shape(path, hdu.data.shape, shape)
    if holds_group(location):
        group = open_group(location)
        values: NDArray[np.bool_] = group.read(group.array("mask"), ...) != 0
        return values
    background: NDArray[np.bool_] = find_image(path, ("MASK",), WHAT, CURE).read()[0] != 0
    return background


class _Found(NamedTuple):
    """A mask as it is in its file: (ny, nx); whether any number may stand for background."""

    values: Values
    any_number: bool
    corner: tuple[object, object]  # SUBSTRT1/2
    size: tuple[object, object]  # SUBSIZE1/2


def _cut(
    path: PathLike, found: _Found, window: Window, instrument: str, noun: str = "mask"
) -> Values:
    """Return the part of a mask that an exposure's window shows."""
    shape = found.values.shape
    if None not in found.corner:
        size = shape[::-1] if None in found.size else found.size
        frame = window_of(path, instrument, shape, found.corner, (size[0], size[1]))
    elif shape == window.shape:
        frame = window
    else:
        full = full_frame(instrument, (shape[0], shape[-1])) if len(shape) == 2 else None
        if full is None:
            raise _other_shape(path, shape, window.shape, noun)
        frame = full
    if not frame.contains(window):
        raise WindowError(
            f"A {noun} must cover its exposure on the detector",
            file=path,
            value=f"the {noun} has {frame}, the exposure {window}",
            cure=f"Make the {noun} for this subarray or for the full frame, or correct its "
            "SUBSTRT1/2",
        )
    return found.values[window.slices_in(frame)]


def _other_shape(
    path: PathLike, shape: tuple[int, ...], exposure: tuple[int, int], noun: str = "mask"
) -> ShapeError:
    return ShapeError(
        f"A {noun} must have the shape of its exposure, or that of the full frame, or say with "
        "SUBSTRT1/2 where it lies",
        file=path,
        value=f"{noun} {shape}, exposure {exposure}",
        cure=f"Cut the {noun} to the exposure's window, or put the keywords into its header",
    )


def _from_image(path: PathLike, cure: str = CURE, what: str = WHAT) -> _Found:
    image = find_image(path, ("MASK",), what, cure)
    if len(image.shape) != 2:
        raise FileError(f"{what} must be a 2-D image", file=path, value=image.shape, cure=cure)
    x, y, columns, rows = map(image.keyword, CORNER_AND_SIZE)
    values = image.read(dtype=np.float64)[0]
    return _Found(values, image.name == "MASK", (x, y), (columns, rows))


def _from_asdf(path: PathLike) -> _Found:
    with Location.of(path).open(WHAT) as stream:
        raw = io.BytesIO(stream.read())
    import asdf

    with (
        understood("A mask must be a readable FITS or ASDF file", path, CURE),
        asdf.open(raw) as tree,
    ):
        mask = np.array(tree["mask"]) if "mask" in tree else None
        where = look_up(tree.tree, "meta.subarray")
        x, y, columns, rows = (look_up(where, key) for key in ASDF_KEYS)
    if mask is None or mask.ndim != 2:
        value = "none" if mask is None else f"an array {mask.shape}"
        raise FileError("An ASDF mask file must have mask, 2-D", file=path, value=value, cure=CURE)
    return _Found(mask, True, (x, y), (columns, rows))


def _some(values: Values) -> str:
    few = np.unique(values)[:5]
    return ", ".join(f"{value:g}" for value in few) + (", …" if few.size == 5 else "")
