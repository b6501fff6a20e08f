"""The sky of a slitless exposure: whether enough of it shows, how strong it is, and away."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from bkgflow.detector import DO_NOT_USE
from bkgflow.methods._compiled import read_only
from bkgflow.methods.arrays import Bools, Doubles, Flags, Reals
from bkgflow.methods.slitless._kernels import leave_out, subtract_one
from bkgflow.methods.slitless.scale import ScaleFit, fit_scale
from bkgflow.rules import ScaleRule

__all__ = [
    "LEAST_FRACTION", "enough_background", "fit_background", "subtract_scaled", "usable_pixels",
]  # fmt: skip

DEFAULT = ScaleRule()

BLOCK = 1 << 15
"""Pixels that are worked on at a time: what is made of them stays in a core's cache."""

LEAST_FRACTION = 0.05
"""Of all pixels, what an automatic mask must leave (more than this), as the reference step."""


def fit_background(
    sci: Reals,
    err: Reals,
    dq: Flags,
    mask: Bools,
    templates: Reals,
    rule: ScaleRule = DEFAULT,
    *,
    users: bool = False,
    dispersion_axis: int | None = None,
    template_dq: Flags | None = None,
) -> ScaleFit:
    """Fit the templates, as `fit_scale`, if there is `enough_background`; else say why not.

    Parameters
    ----------
    dq : (ny, nx) uint32
        The exposure's flags: DO_NOT_USE pixels take no part in the fit, whatever their SCI.
    template_dq : (ny, nx) uint32, optional
        Those of the reference skies, which count in the same way.
    """
    usable = usable_pixels(mask, dq)
    reason = _too_few(usable, templates, users=users)
    if reason is None and template_dq is not None:
        leave_out(usable.reshape(-1), read_only(template_dq.reshape(-1), np.uint32), DO_NOT_USE)
        if not usable.any():
            reason = "No finite factor: the reference is DO_NOT_USE at every background pixel"
    if reason is not None:
        return ScaleFit.failed(1 if templates.ndim == 2 else len(templates), reason)
    return fit_scale(sci, err, usable, templates, rule, dispersion_axis=dispersion_axis)


def usable_pixels(mask: Bools, dq: Flags) -> Bools:
    """Return the pixels of a mask that are without DO_NOT_USE: bool, a new array of its shape."""
    usable = mask.copy()
    leave_out(usable.reshape(-1), read_only(dq.reshape(-1), np.uint32), DO_NOT_USE)
    return usable


def enough_background(
    mask: Bools, dq: Flags, templates: Reals, *, users: bool = False
) -> str | None:
    """Return None where the mask leaves enough to fit, else why it does not.

    Pixels count that are background, are without DO_NOT_USE, and for which any template is not 0.

    Where a user made the mask, one is enough, whatever the reference holds there; an automatic
    mask must leave more than 5 % of all pixels.

    Parameters
    ----------
    mask : (ny, nx) bool
        True for background.
    dq : (ny, nx) uint32
        The exposure's flags.
    templates : (n_templates, ny, nx) or (ny, nx) float
        The reference skies.
    """
    return _too_few(usable_pixels(mask, dq), templates, users=users)


def _too_few(usable: Bools, templates: Reals, *, users: bool) -> str | None:
    count, least = 0, 0 if users else int(LEAST_FRACTION * usable.size)
    stack = templates.reshape(-1, *usable.shape)
    for rows in _blocks(usable.shape):
        counted = usable[rows] if users else usable[rows] & np.any(stack[:, rows] != 0, axis=0)
        count += int(np.count_nonzero(counted))
        if count > least:  # nobody asks how many more there are
            return None
    share = 100 * count / usable.size
    return (
        "Too few background pixels: "
        f"{count} of {usable.size} ({share:.2g} %) are usable, more than {least} are needed"
    )


def subtract_scaled(sci: Reals, templates: Reals, coefficients: Doubles) -> None:
    """Subtract the scaled templates in place.

    A pixel for which a template is NaN becomes NaN, as in the reference step.

    Parameters
    ----------
    sci : (ny, nx) float, DN/s
        The exposure, or some rows of it. Changed.
    templates : (n_templates, ny, nx) or (ny, nx) float
        The reference skies, the same rows.
    """
    templates = templates.reshape(-1, *sci.shape)
    single = all(each.dtype == np.float32 for each in (sci, templates))
    if len(templates) == 1 and single and sci.flags.c_contiguous:  # as in a run: in one pass
        subtract_one(sci, read_only(templates[0], np.float32), float(coefficients[0]))
        return
    for rows in _blocks(sci.shape):  # the sky in float64 stays small
        sky = coefficients[0] * templates[0, rows].astype(np.float64)
        for factor, template in zip(coefficients[1:], templates[1:], strict=True):
            sky += factor * template[rows]
        np.subtract(sci[rows], sky, out=sci[rows], casting="same_kind")


def _blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield rows of an array, as many at a time as a core's cache holds."""
    step = max(1, BLOCK // max(1, prod(shape[1:])))
    yield from (slice(start, start + step) for start in range(0, shape[0], step))
