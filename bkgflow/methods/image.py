"""Subtracting a combined background from one exposure, in place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from bkgflow.methods.arrays import Flags, Places, Reals

__all__ = ["add_errors", "add_variances", "join_flags", "subtract_background", "subtract_imprint"]


def subtract_background(sci: Reals, bkg_sci: Reals, missing: Places) -> None:
    """Subtract a background from an image, or from every integration of a cube, in place.

    Parameters
    ----------
    sci : (ny, nx) or (n_integrations, ny, nx) float
        The target, DN/s or whatever unit the background is in too. Changed.
    bkg_sci : (ny, nx) float32
        The combined background.
    missing : (n,) int
        The pixels of it that rest on no exposure, numbered row by row: there the target keeps
        its value.
    """
    with _kept(sci, missing):
        np.subtract(sci, bkg_sci, out=sci, casting="same_kind")


def subtract_imprint(sci: Reals, imprint: Reals) -> None:
    """Subtract an imprint from an exposure, or from some rows of it, in place.

    The difference is that of float32 numbers, whatever ``sci`` is kept in: what an exposure gives
    does not depend on what it is combined with.

    Parameters
    ----------
    sci : (ny, nx) or (n_integrations, ny, nx) float32 or float64
        Of the exposure, in the unit of the imprint. Changed.
    imprint : (ny, nx) float32, or the shape of ``sci``
        NaN leaves NaN.
    """
    np.subtract(sci, imprint, out=sci, dtype=np.float32, casting="unsafe")


def join_flags(dq: Flags, more: Flags) -> None:
    """Join flags with those of what was subtracted, in place; shapes as in `subtract_imprint`."""
    np.bitwise_or(dq, more, out=dq)


def add_errors(err: Reals, bkg_err: Reals, missing: Places) -> None:
    """Add a background's uncertainty to a target's in quadrature, in place.

    Shapes and ``missing`` are those of `subtract_background`; ``err`` is changed.
    """
    with _kept(err, missing):
        np.hypot(err, bkg_err, out=err, casting="same_kind")


def add_variances(var: Reals, bkg_err: Reals, missing: Places) -> None:
    """Add the square of a background's uncertainty to one of a target's variances, in place.

    Shapes and ``missing`` are those of `subtract_background`; ``var`` is changed.
    """
    with _kept(var, missing):
        np.add(var, np.square(bkg_err), out=var, casting="same_kind")


@contextmanager
def _kept(array: Reals, places: Places) -> Iterator[None]:
    """Leave pixels as they are, whatever is done to all; a mask would make that much slower."""
    y, x = np.divmod(places, array.shape[-1])
    held = array[..., y, x]
    with np.errstate(invalid="ignore", over="ignore"):
        yield
    array[..., y, x] = held
