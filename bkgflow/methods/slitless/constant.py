"""Templates of an image's sky with a constant beside them: stacked, checked, and first fitted.

The constant is a component as the templates are, of ones, and the last. Where a template has no
value all components are 0: nothing is subtracted there.
"""

from __future__ import annotations

import numpy as np

from bkgflow.detector import DO_NOT_USE
from bkgflow.methods.arrays import Bools, Flags, Floats, Reals
from bkgflow.methods.slitless._pixels import SINGULAR
from bkgflow.methods.slitless.residual_mask import ResidualMask, residual_mask, sky_of
from bkgflow.methods.slitless.scale import fit_scale
from bkgflow.rules import ScaleRule

__all__ = ["dependent", "first_sky", "image_mask", "with_constant"]

FAR = 10.0
"""Sigmas from the most frequent value beyond which no pixel takes part in the very first fit."""

NEAR = 2.0
"""Sigmas from the most frequent residual within which a pixel shows the sky."""

ROUNDS = 10
"""Fits after which the first sky is taken as it is; most settle in three or four."""

SETTLED = 1e-3
"""It has settled where a smaller part of the frame than this changes in a round."""

GROW = 4
"""Pixels by which the patches of sources grow: a star has wings that a spectrum has not."""

PLAIN = ScaleRule(maxiter=0)


def with_constant(templates: Reals) -> tuple[Floats, Bools]:
    """Return the templates with a constant behind them, and where one of them has no value.

    Parameters
    ----------
    templates : (n_templates, ny, nx) float
        NaN and infinite where they have no value.

    Returns
    -------
    stack : (n_templates + 1, ny, nx) float32
        0 in every component where a template has no value.
    blank : (ny, nx) bool
        These pixels.
    """
    stack = np.ones((len(templates) + 1, *templates.shape[1:]), np.float32)
    stack[:-1] = templates
    blank: Bools = np.logical_not(np.isfinite(stack).all(axis=0))
    stack[:, blank] = 0
    return stack, blank


def dependent(stack: Reals) -> int | None:
    """Return the first template that the constant and those before it make up; None without one.

    Parameters
    ----------
    stack : (n_templates + 1, ny, nx) float
        As `with_constant` gives it.
    """
    order = [len(stack) - 1, *range(len(stack) - 1)]  # the constant first
    flat = stack.reshape(len(stack), -1)
    products = np.empty((len(stack), len(stack)))
    for i, one in enumerate(order):
        for j, other in enumerate(order[: i + 1]):
            both = np.einsum("i,i->", flat[one], flat[other], dtype=np.float64)
            products[i, j] = products[j, i] = both
    norm = np.sqrt(np.diagonal(products))
    if not norm.all():
        return 0  # no pixel has a value
    scaled = products / np.outer(norm, norm)
    for size in range(2, len(stack) + 1):
        if np.linalg.eigvalsh(scaled[:size, :size])[0] < SINGULAR:
            return size - 2
    return None


def first_sky(sci: Reals, err: Reals, good: Bools, stack: Reals) -> Bools:
    """Find pixels that show the sky, whatever its structure is: sources only add light.

    The templates are fitted to all pixels but those that are far brighter or fainter than most,
    then to those whose residuals are near the most frequent one, and so on.

    Parameters
    ----------
    sci, err : (ny, nx) float
        The exposure and its uncertainty.
    good : (ny, nx) bool
        Pixels that may be looked at.
    stack : (n_components, ny, nx) float
        The components, finite.
    """
    valid: Bools = good & np.isfinite(sci) & (err > 0)
    if not valid.any():
        return valid
    centre, sigma = sky_of(sci[valid])
    mask: Bools = valid & (np.abs(sci - centre) <= FAR * sigma)
    for _ in range(ROUNDS):
        fit = fit_scale(sci, err, mask, stack, PLAIN)
        if fit.reason is not None:
            return mask
        residual = sci - np.tensordot(fit.coefficients.astype(np.float32), stack, 1)
        centre, sigma = sky_of(residual[valid])
        new: Bools = valid & (np.abs(residual - centre) <= NEAR * sigma)
        changed = np.count_nonzero(new != mask)
        mask = new
        if changed <= SETTLED * mask.size:
            break
    return mask


def image_mask(sci: Reals, err: Reals, dq: Flags, stack: Reals) -> ResidualMask:
    """Find the pixels of an image that show nothing but sky, as `residual_mask`.

    Parameters
    ----------
    sci, err : (ny, nx) float
        The exposure and its uncertainty.
    dq : (ny, nx) uint32
        Its flags, with DO_NOT_USE where a template has no value.
    stack : (n_components, ny, nx) float
        The components, as `with_constant` gives them.
    """
    first = first_sky(sci, err, (dq & DO_NOT_USE) == 0, stack)
    return residual_mask(sci, err, dq, stack, grow=GROW, first=first)
