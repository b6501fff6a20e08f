"""A user's own mask of the background pixels."""

from __future__ import annotations

import io
from functools import partial

import asdf
import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.errors import FileError, ShapeError
from bkgflow.io.fits.hdus import walk
from bkgflow.io.fits.planes import read_rows
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.reading import understood

__all__ = ["product_mask", "read_mask"]

ASDF_MAGIC = b"#ASDF"

CURE = "Write 1 for background and 0 for sources into a MASK extension, as _bsub products have it"

Values = NDArray[np.generic]


def read_mask(path: PathLike, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Read a mask, True for background.

    Parameters
    ----------
    path : path-like
        A FITS file with an extension MASK, or with one single image of 0 and 1; or an ASDF file
        with ``mask``. In MASK and ``mask`` every number but 0 is background, as in the
        reference step.
    shape : (ny, nx)
        Of the exposure.

    Raises
    ------
    FileError
        If the file cannot be read, holds no mask or values that no mask has.
    ShapeError
        If the mask does not have the exposure's shape.
    """
    with Location.of(path).open("A mask") as stream:
        is_asdf = stream.read(len(ASDF_MAGIC)) == ASDF_MAGIC
    values, any_number = (_from_asdf(path), True) if is_asdf else _from_fits(path)
    if values.shape != shape:
        raise ShapeError(
            "A mask must have the shape of its exposure",
            file=path,
            value=f"mask {values.shape}, exposure {shape}",
            cure="Cut the mask to the exposure's window",
        )
    refused = partial(FileError, file=path, cure=CURE)
    if values.dtype.kind not in "biuf":
        raise refused("The values of a mask must be whole numbers", value=f"type {values.dtype}")
    if not np.isfinite(values).all():
        raise refused("The values of a mask must be whole numbers", value=_some(values))
    background: NDArray[np.bool_] = values != 0
    if not any_number and not np.array_equal(values, background):
        raise refused("An image that serves as a mask must hold 0 and 1 alone", value=_some(values))
    return background


def product_mask(path: PathLike, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    """Return the MASK of a slitless product, True for background; None where it has none.

    Raises
    ------
    FileError, ShapeError
        As `read_mask`.
    """
    return read_mask(path, shape) if "MASK" in walk(path) else None


def _from_fits(path: PathLike) -> tuple[Values, bool]:
    """Return the mask, and whether any number may stand for background."""
    hdus = walk(path)
    flat = {name: hdu for name, hdu in hdus.items() if len(hdu.data.shape) == 2}
    kinds = {name: str(hdu.header.get("XTENSION", "IMAGE")).strip() for name, hdu in flat.items()}
    images = [name for name, kind in kinds.items() if kind == "IMAGE"]
    name = "MASK" if "MASK" in images else next(iter(images), None)
    if name is None or (name != "MASK" and len(images) > 1):
        raise FileError(
            "A mask file must have an image extension MASK, or one image alone",
            file=path,
            value=f"the images {', '.join(images)}" if images else "no 2-D image",
            cure=CURE,
        )
    data = hdus[name].data
    values = np.empty(data.shape, np.float64)
    with Location.of(path).open() as stream:
        read_rows(stream, data, Window(0, 0, data.shape[1], data.shape[0]), values)
    return values, name == "MASK"


def _from_asdf(path: PathLike) -> Values:
    with Location.of(path).open("A mask") as stream:
        raw = io.BytesIO(stream.read())
    with (
        understood("A mask must be a readable FITS or ASDF file", path, CURE),
        asdf.open(raw) as tree,
    ):
        mask = np.array(tree["mask"]) if "mask" in tree else None
    if mask is None:
        raise FileError("An ASDF mask file must have mask", file=path, value="none", cure=CURE)
    return mask


def _some(values: Values) -> str:
    few = np.unique(values)[:5]
    return ", ".join(f"{value:g}" for value in few) + (", …" if few.size == 5 else "")
