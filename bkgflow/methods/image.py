"""Subtracting a combined background from one exposure, in place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["add_errors", "subtract", "subtract_values"]


def subtract(
    sci: NDArray[np.floating],
    dq: NDArray[np.unsignedinteger],
    bkg_sci: NDArray[np.floating],
    bkg_dq: NDArray[np.unsignedinteger],
    n_used: NDArray[np.unsignedinteger],
) -> None:
    """Subtract a background from an image, or from every integration of a cube, in place.

    A pixel without any valid background keeps its value; its DQ is still combined.

    Parameters
    ----------
    sci : (ny, nx) or (n_integrations, ny, nx) float
        The target, DN/s or whatever unit the background is in too. Changed.
    dq : uint32, of the same shape
        The target's flags. Changed: bitwise OR with the background's.
    bkg_sci : (ny, nx) float32
        The combined background.
    bkg_dq : (ny, nx) uint32
        Its flags.
    n_used : (ny, nx) uint16
        How many exposures each pixel of it rests on.
    """
    subtract_values(sci, bkg_sci, n_used)
    np.bitwise_or(dq, bkg_dq, out=dq)


def subtract_values(
    sci: NDArray[np.floating],
    bkg_sci: NDArray[np.floating],
    n_used: NDArray[np.unsignedinteger],
) -> None:
    """Subtract a background's SCI alone, in place; its arguments are those of `subtract`."""
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
