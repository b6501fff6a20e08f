"""Pixels of an image that have no value, filled from their neighbours."""

from __future__ import annotations

import numpy as np

from bkgflow.methods.arrays import Bools, Doubles, Flags, Floats

__all__ = ["fill_gaps"]

ENOUGH = 0.05
"""So much of the weight around a pixel must be that of pixels with a value."""

REACH = 3.0
"""Standard deviations of a window beyond which neighbours have no weight."""


def fill_gaps(sci: Floats, err: Floats, n_used: Flags) -> Bools:
    """Fill the pixels of a background that rest on nothing, in place; return which were.

    Each gets the mean of its neighbours, weighted by a Gaussian with a standard deviation of one
    pixel; where too few of these have a value themselves, of two, four, and so on. ERR is the
    root mean square of theirs: it is the noise of a neighbour, and says nothing of how well a
    background can be guessed from the side.

    Parameters
    ----------
    sci, err : (ny, nx) float32
        Changed; err may have no rows.
    n_used : (ny, nx) uint16
        How many exposures each pixel rests on: those without any are filled.

    Returns
    -------
    (ny, nx) bool
        Not those that are too far from any value: farther than the frame is large.
    """
    left = n_used == 0
    wanted, known, spread = left.copy(), ~left & np.isfinite(sci), 1.0
    while left.any() and known.any() and spread <= max(sci.shape):
        part = _around(left, spread)
        value, weight = _mean(sci[part].astype(np.float64), known[part], spread)
        here = left[part] & (weight >= ENOUGH)
        sci[part][here] = value[here]
        if err.size:
            squares = np.square(err[part].astype(np.float64))
            variance, _ = _mean(squares, known[part] & np.isfinite(squares), spread)
            err[part][here] = np.sqrt(variance[here])
        left[part] &= ~here
        spread *= 2
    filled: Bools = wanted & ~left
    return filled


def _around(left: Bools, spread: float) -> tuple[slice, slice]:
    """Return the part of a frame that decides about what is left."""
    margin = int(REACH * spread + 0.5)
    spans = []
    for axis, length in enumerate(left.shape):
        places = np.flatnonzero(left.any(axis=1 - axis))
        start, stop = int(places[0]) - margin, int(places[-1]) + margin + 1
        spans.append(slice(max(0, start), min(length, stop)))
    return spans[0], spans[1]


def _mean(values: Doubles, known: Bools, spread: float) -> tuple[Doubles, Doubles]:
    """Return the weighted mean of the known values around each pixel, and their share of all."""
    from scipy.ndimage import gaussian_filter  # a fifth of a second that nobody else needs

    def blurred(array: Doubles) -> Doubles:
        smooth: Doubles = gaussian_filter(array, spread, mode="constant", truncate=REACH)
        return smooth

    weight = blurred(known.astype(np.float64))
    with np.errstate(invalid="ignore", divide="ignore"):
        return blurred(np.where(known, values, 0.0)) / weight, weight
