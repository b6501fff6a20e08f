"""Subtracting a combined background from one exposure, in place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["add_errors", "subtract_background"]


def subtract_background(
    sci: NDArray[np.floating],
    bkg_sci: NDArray[np.floating],
    n_used: NDArray[np.unsignedinteger],
) -> None:
    """Subtract a background from an image, or from every integration of a cube, in place.

    A pixel without any valid background keeps its value.

    Parameters
    ----------
    sci : (ny, nx) or (n_integrations, ny, nx) float
        The target, DN/s or whatever unit the background is in too. Changed.
    bkg_sci : (ny, nx) float32
        The combined background.
    n_used : (ny, nx) uint16
        How many exposures each pixel of it rests on.
    """
    np.subtract(sci, bkg_sci, out=sci, where=n_used > 0, casting="same_kind")


def add_errors(
    err: NDArray[np.floating],
    bkg_err: NDArray[np.floating],
    n_used: NDArray[np.unsignedinteger],
) -> None:
    """Add a background's uncertainty to a target's in quadrature, in place.

    Parameters
    ----------
    err : (ny, nx) or (n_integrations, ny, nx) float
        The target's ERR. Changed.
    bkg_err : (ny, nx) float32
        The uncertainty of the combined background, same unit.
    n_used : (ny, nx) uint16
        Pixels with 0 are left as they are: nothing was subtracted there.
    """
    np.hypot(err, bkg_err, out=err, where=n_used > 0, casting="same_kind")
