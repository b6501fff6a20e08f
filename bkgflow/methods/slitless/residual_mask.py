"""A background mask from the exposure itself, for fields too crowded for boxes of sources.

A box encloses much more than its spectrum: in a crowded field, boxes cover everything while
half of the pixels still show nothing but sky. Here, the sky is fitted, subtracted, and the
residual smoothed; where it stands out, there is a source. Its surroundings are masked as well,
the sky is fitted anew to the rest, and so on until the mask stays as it is.

The first sky comes from the faint side of the data: sources only add light. Light that stays
below the threshold after smoothing, such as the far wings of bright spectra, is not masked and
makes the sky too bright. With spectra from a twentieth to thirty times the sky and noise of a
tenth of it, that was at most 0.2 % where a quarter of the frame was free of light, and 1 to 2 %
where a seventh was.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bkgflow.detector import DO_NOT_USE
from bkgflow.methods.arrays import Bools, Flags, Floats, Reals
from bkgflow.methods.slitless.scale import fit_scale
from bkgflow.rules import ScaleRule

__all__ = ["ResidualMask", "residual_mask", "sky_of"]

THRESHOLD = 2.5
"""Standard deviations of the smoothed sky, above and below it, at which a pixel is masked;
two-sided, so that cutting the noise does not move the sky."""

ALONG = 6  # spectra are long and narrow: so is the kernel, which shows fainter ones
MOST_ROUNDS = 30  # rounds after which the mask is taken as it is; most settle in three or four
ONE_WAY = 8
"""From this round on the mask can only grow: a few pixels at the threshold may swing for ever."""

SETTLED = 1e-4  # the mask is stable when a smaller part of the frame than this changes in a round
LEAST_WEIGHT = 0.3
"""Smoothed residuals with less valid weight than this below the kernel are not judged."""

LOWER_SIGMA = 0.15865525393145707
"""What part of a normal distribution lies more than one sigma below its centre."""

PLAIN = ScaleRule(maxiter=0)
"""The mask leaves out what is bright: nothing is rejected from the fits."""


class ResidualMask(NamedTuple):
    """A mask, and whether its last round left it as it was."""

    mask: Bools  # (ny, nx), True for background
    stable: bool


def residual_mask(
    sci: Reals,
    err: Reals,
    dq: Flags,
    templates: Reals,
    *,
    dispersion_axis: int | None = None,
    smooth: float = 1.5,
    grow: int = 2,
    first: Bools | None = None,
) -> ResidualMask:
    """Find the pixels that show nothing but sky; none where there is nothing to fit.

    Parameters
    ----------
    sci, err : (ny, nx) float, DN/s
        The exposure and its uncertainty.
    dq : (ny, nx) uint32
        Its flags; DO_NOT_USE pixels are left out of smoothing and masked.
    templates : (n_templates, ny, nx) or (ny, nx) float
        The reference skies.
    dispersion_axis : int or None
        1 where spectra run along x, 2 along y; None smooths alike in both.
    smooth : float, pixels
        Standard deviation of the Gaussian that smooths; along spectra, six times as much.
    grow : int, pixels
        By how much masked patches are grown, along rows, columns and diagonals; at least 1.
    first : (ny, nx) bool, optional
        The pixels that the first sky is fitted to; by default those near the most frequent ratio
        of data to the summed templates.
    """
    templates = templates.reshape(-1, *sci.shape)
    valid = np.isfinite(sci) & np.isfinite(templates).all(axis=0) & (err > 0)
    valid &= (dq & DO_NOT_USE) == 0
    widths = tuple(smooth * (ALONG if dispersion_axis == axis else 1) for axis in (2, 1))
    weight = _smoothed(valid.astype(np.float32), widths)
    judged = valid & (weight > LEAST_WEIGHT)
    mask = _faint_side(sci, valid, templates) if first is None else first & valid
    square = np.ones((3, 3), bool)
    for rounds in range(1, MOST_ROUNDS + 1):
        fit = fit_scale(sci, err, mask, templates, PLAIN)
        if fit.reason is not None:
            return ResidualMask(np.zeros_like(valid), stable=False)
        factors = fit.coefficients.astype(np.float32)
        residual = np.where(valid, sci - np.tensordot(factors, templates, 1), 0)
        level = _smoothed(residual.astype(np.float32), widths)
        np.divide(level, weight, out=level, where=judged)
        centre, sigma = sky_of(level[judged])
        bright = judged & (np.abs(level - centre) > THRESHOLD * sigma)
        new: Bools = judged & ~_grown(bright, square, grow)
        if rounds >= ONE_WAY:
            new &= mask
        changed = np.count_nonzero(new != mask)
        mask = new
        if changed <= SETTLED * mask.size:
            return ResidualMask(mask, stable=True)
    return ResidualMask(mask, stable=False)


def _grown(patches: Bools, square: Bools, pixels: int) -> Bools:
    # scipy is imported here: fits with masks of other kinds do without it.
    from scipy.ndimage import binary_dilation

    grown: Bools = binary_dilation(patches, square, iterations=pixels)
    return grown


def _smoothed(image: Floats, sigma: tuple[float, ...]) -> Floats:
    from scipy.ndimage import gaussian_filter

    smoothed: Floats = gaussian_filter(image, sigma, mode="constant", truncate=3.0)
    return smoothed


def _faint_side(sci: Reals, valid: Bools, templates: Reals) -> Bools:
    """Return the pixels that are near the most frequent ratio of data to the summed templates."""
    sky = templates.sum(axis=0, dtype=np.float64)
    usable: Bools = valid & (sky != 0)
    if not usable.any():
        return usable
    ratio = np.divide(sci, sky, out=np.full(sci.shape, np.nan), where=usable)
    centre, sigma = sky_of(ratio[usable])
    usable &= np.abs(ratio - centre) <= 2 * sigma
    return usable


def sky_of(values: Reals) -> tuple[float, float]:
    """Return the mode of values that sources only raise, and sigma of their faint side.

    The mode is the middle of the densest interval that holds a quarter of the values, found
    again within that interval widened; sigma is how far below it one part in six of a normal
    distribution lies, reckoned from the values below the mode alone.
    """
    ordered = np.sort(values[:: max(1, values.size // 500_000) | 1]).astype(np.float64)
    n = ordered.size
    half = max(1, n // 4)
    widths = ordered[half:] - ordered[: n - half]
    first = int(np.argmin(widths)) if widths.size else 0
    centre = float(np.median(ordered[first : first + half + 1]))
    below = centre - ordered[: int(np.searchsorted(ordered, centre))]
    if not below.size:
        return centre, 0.0
    sigma = float(np.quantile(below, 1 - 2 * LOWER_SIGMA))
    near = ordered[np.abs(ordered - centre) <= 1.5 * sigma]
    return (float(near.mean()) if near.size else centre), sigma
