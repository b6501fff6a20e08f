"""Source boxes: which pixels of a grism image the catalog's spectra cover.

The rules are those of the reference step: a box encloses the corners of a source at the
shortest and the longest wavelength of an order, rounded to pixels; one that leaves fewer than
two pixels along dispersion, or none across, on the detector does not count.
"""

from __future__ import annotations

import numpy as np

from bkgflow.errors import ShapeError
from bkgflow.methods.arrays import Bools, Doubles, Integers, Reals

__all__ = ["boxes_to_mask", "grism_boxes"]

FAR = 2**31  # coordinates are cut to ± this before they become integers; no detector is that large


def grism_boxes(
    x: Reals, y: Reals, shape: tuple[int, int], dispersion_axis: int | None
) -> Integers:
    """Return the boxes that lie on the detector: x0, x1, y0, y1, 0-based, half-open, cut to it.

    Parameters
    ----------
    x, y : (n_sources, n_orders, n_wavelengths, n_corners) float
        Where each corner of a source falls on the grism image at each wavelength: pixels, the
        centre of the first one at 0. NaN corners are left out; a box of NaN alone is dropped.
    dispersion_axis : int or None
        1 where spectra run along x, else along y (as the reference step has it, None too).

    Raises
    ------
    ShapeError
        If x and y differ in shape or are not 4-D.
    """
    if x.shape != y.shape or x.ndim != 4:
        raise ShapeError(
            "Corners must have the shape (sources, orders, wavelengths, corners), x as y",
            value=f"x {x.shape}, y {y.shape}",
            cure="Transform all corners at all wavelengths",
        )
    ny, nx = shape
    x_low, x_high = _extent(x)
    y_low, y_high = _extent(y)
    along_x = dispersion_axis == 1
    # Two pixels along dispersion, one across: strict along, inclusive across.
    counts = _touches(x_low, x_high, nx, margin=int(along_x))
    counts &= _touches(y_low, y_high, ny, margin=int(not along_x))
    x0, x1, y0, y1 = (
        np.clip(edge[counts], -FAR, FAR).astype(np.int64) for edge in (x_low, x_high, y_low, y_high)
    )
    edges = x0.clip(0, nx), (x1 + 1).clip(0, nx), y0.clip(0, ny), (y1 + 1).clip(0, ny)
    return np.stack(edges, axis=-1)


def boxes_to_mask(boxes: Integers, shape: tuple[int, int]) -> Bools:
    """Return (ny, nx) bool: True where no box lies, that is, where there is background.

    Parameters
    ----------
    boxes : (n_boxes, 4) int
        x0, x1, y0, y1 as `grism_boxes` gives them.
    """
    background = np.ones(shape, bool)
    for x0, x1, y0, y1 in boxes.tolist():  # boxes are small beside the frame: hundreds a ms
        background[y0:y1, x0:x1] = False
    return background


def _extent(positions: Reals) -> tuple[Doubles, Doubles]:
    """Least and greatest of each box, rounded to the nearest pixel; NaN where all are NaN."""
    flat = positions.astype(np.float64)
    low = np.fmin.reduce(flat, axis=(2, 3), initial=np.nan)
    high = np.fmax.reduce(flat, axis=(2, 3), initial=np.nan)
    return np.floor(low + 0.5), np.floor(high + 0.5)


def _touches(low: Doubles, high: Doubles, size: int, margin: int) -> Bools:
    """Whether pixels low to high leave more than ``margin`` steps on 0 to size - 1."""
    return np.logical_and(high >= margin, size - 1 - low >= margin)
