"""Reference skies and templates, cut to an exposure's window on the detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from types import SimpleNamespace

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from stdatamodels.dynamicdq import dynamic_mask
from stdatamodels.jwst.datamodels.dqflags import pixel

from bkgflow.detector import Window
from bkgflow.errors import BackgroundError, FileError, ShapeError, WindowError
from bkgflow.io.exposures.windows import CORNER_AND_SIZE, window_of
from bkgflow.io.fits.hdus import Hdu
from bkgflow.io.fits.planes import planes, read_rows
from bkgflow.io.references.images import StoredImage, find_image
from bkgflow.io.storage.location import PathLike

__all__ = ["Templates", "read_templates"]

WHAT = "A reference background"

CURE = "Give a wfssbkg reference, or one image of the sky or of a template, with override_bkg"


@dataclass(frozen=True, slots=True)
class Templates:
    """One or several components of the sky, on an exposure's window.

    Attributes
    ----------
    sci : (n_templates, ny, nx) float32
        The components, in any unit; NaN where one is not finite.
    dq : (ny, nx) uint32
        Their flags, combined with OR.
    """

    sci: NDArray[np.float32]
    dq: NDArray[np.uint32]


def read_templates(
    paths: PathLike | Sequence[PathLike], window: Window, *, instrument: str
) -> Templates:
    """Read reference skies and cut them to a window by detector coordinates.

    Parameters
    ----------
    paths : path-like or several
        ``wfssbkg`` references with SCI (ny, nx) or (n_templates, ny, nx), or files with one such
        image alone, FITS or numpy; the components of several files are taken together.
    instrument : str
        INSTRUME, which decides what a full frame is where a reference does not say its place.

    Raises
    ------
    FileError
        If a file cannot be read, or does not say which image is the sky.
    ShapeError
        If DQ does not fit SCI.
    WindowError
        If a reference does not cover the window.
    BackgroundError
        If a component is 0 or not finite everywhere.
    """
    several = [paths] if isinstance(paths, PathLike) else list(paths)
    if not several:
        raise FileError(
            "A slitless exposure must have a reference background",
            value="none",
            cure="Give one with override_bkg",
        )
    parts = [_read(path, window, instrument) for path in several]
    sci = np.concatenate([part.sci for part in parts])
    return Templates(sci, reduce(np.bitwise_or, (part.dq for part in parts)))


def _read(path: PathLike, window: Window, instrument: str) -> Templates:
    image = find_image(path, ("SCI",), WHAT, CURE)
    frame = _frame(image, window, instrument)
    if not frame.contains(window):
        raise WindowError(
            "The reference background must cover the exposure",
            file=path,
            value=f"the reference has {frame}, the exposure {window}",
            cure="Give a reference of the same or a larger part of the detector (override_bkg)",
        )
    local = Window(window.x0 - frame.x0, window.y0 - frame.y0, window.nx, window.ny)
    sci = image.read(local).astype(np.float32, copy=False)
    for number, component in enumerate(sci, start=1):
        finite = np.isfinite(component)
        if not finite.all():  # no fit sees such a pixel, and none is to become infinite by it
            sci = sci if sci.flags.writeable else sci.copy()
            sci[number - 1, ~finite] = np.nan
        if not (finite & (component != 0)).any():
            raise BackgroundError(
                "A reference background must not be 0 everywhere in the exposure's window",
                file=path,
                value=f"component {number} of {len(sci)} is 0 or not finite everywhere",
                cure="Give another reference (override_bkg)",
            )
    return Templates(sci, _flags(image, local))


def _frame(image: StoredImage, window: Window, instrument: str) -> Window:
    """Return the window that the reference covers.

    A numpy file cannot say it: it has the full frame, or the exposure's own window.
    """
    if not image.hdus and image.shape[-2:] == window.shape:
        return window
    x, y, columns, rows = map(image.keyword, CORNER_AND_SIZE)
    name = str(image.keyword("INSTRUME") or instrument)
    return window_of(image.location, name, image.shape[-2:], (x, y), (columns, rows))


def _flags(image: StoredImage, local: Window) -> NDArray[np.uint32]:
    """Return DQ in the pipeline's bits: translated by DQ_DEF where the file has that table."""
    hdus: dict[str, Hdu] = image.hdus
    dq = np.zeros(local.shape, np.uint32)
    if "DQ" not in hdus or not hdus["DQ"].data.shape:
        return dq
    data, shape = hdus["DQ"].data, image.shape
    if data.shape not in (shape, shape[-2:]):
        raise ShapeError(
            "DQ must have the shape of SCI",
            file=image.location,
            value=f"SCI {shape}, DQ {data.shape}",
            cure="Give another reference (override_bkg)",
        )
    with image.location.open() as stream:
        for single in planes(data):
            flags = np.empty(local.shape, np.uint32)
            read_rows(stream, single, local, flags)
            dq |= flags
    if "DQ_DEF" in hdus:
        with image.location.open() as stream:
            table = fits.getdata(stream, "DQ_DEF")
        if len(table):
            dq = dynamic_mask(SimpleNamespace(dq=dq, dq_def=table), pixel).astype(np.uint32)
    return dq
