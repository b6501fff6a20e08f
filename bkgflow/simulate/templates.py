"""The slitless sky: what each component of it looks like on the whole detector.

A grism smears the edge of the pick-off mirror's field and mixes the orders of the sky, so that
its image has steps along the dispersion; stray light adds patches of its own. The components
here have such steps and patches, with round numbers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.errors import ShapeError
from bkgflow.io.fits.hdus import walk
from bkgflow.io.fits.planes import read_rows
from bkgflow.io.storage.location import Location
from bkgflow.simulate.noise import reference_pixels
from bkgflow.simulate.sky import Axis

__all__ = ["MOST_COMPONENTS", "Template", "built_in_template", "read_template"]

MOST_COMPONENTS = 3

Template = NDArray[np.float32]
"""What a component looks like on the whole detector: (ny, nx), 0 where it is unknown."""


def built_in_template(component: int, axis: Axis, frame: Window, instrument: str) -> Template:
    """Return a component of the sky on the whole detector, dispersed along an axis.

    0 is the dispersed zodiacal light, 1 a broad patch of stray light, 2 a glow that grows
    towards the long end of the dispersion: (ny, nx) float32, 0 in the instrument's reference
    pixels. The median over the others is 1.
    """
    ny, nx = frame.shape
    columns, rows = (np.arange(nx) + 0.5) / nx, ((np.arange(ny) + 0.5) / ny)[:, None]
    along, across = (columns, rows) if axis == "x" else (rows, columns)
    image = np.broadcast_to(_PATTERNS[component](along, across), frame.shape)
    dark = reference_pixels(frame, frame, instrument)
    return np.where(dark, 0.0, image / np.median(image[~dark])).astype(np.float32)


def _zodiacal(along: NDArray[np.float64], across: NDArray[np.float64]) -> NDArray[np.float64]:
    steps = 0.25 * np.tanh((along - 0.18) / 0.04) - 0.15 * np.tanh((along - 0.82) / 0.06)
    return 1.0 + steps + 0.08 * (across - 0.5) + 0.03 * np.sin(7.0 * across + 3.0 * along)


def _patch(along: NDArray[np.float64], across: NDArray[np.float64]) -> NDArray[np.float64]:
    ridge = np.exp(-(((across - 0.45 - 0.2 * (along - 0.5)) / 0.2) ** 2))
    return 0.3 + ridge * (0.6 + 0.4 * np.cos(5.0 * along))


def _glow(along: NDArray[np.float64], across: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.3 + 1.4 * along**2 + 0.2 * (across - 0.5) ** 2


_PATTERNS = (_zodiacal, _patch, _glow)


def read_template(path: str | Path, frame: Window) -> Template:
    """Read a real template, the first image of a FITS file; it is 0 where that is not finite.

    FileError if it cannot be read, ShapeError if it does not cover the whole detector.
    """
    arrays = [hdu.data for hdu in walk(path).values()]
    found = next((each for each in arrays if each.shape == frame.shape), None)
    if found is None:
        raise ShapeError(
            f"A template must cover the whole detector, {frame.ny}×{frame.nx}",
            file=path,
            value=", ".join(str(each.shape) for each in arrays),
            cure="Give a template of this instrument's full frame",
        )
    image = np.empty(frame.shape, np.float64)
    with Location.of(path).open() as stream:
        read_rows(stream, found, Window(0, 0, frame.nx, frame.ny), image)
    return np.nan_to_num(image, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float32)
