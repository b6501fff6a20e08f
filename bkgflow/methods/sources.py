"""Sources in an exposure: found, drawn as discs, and grown, as masks that are True on them."""

from __future__ import annotations

import math

import numpy as np

from bkgflow.methods.arrays import Bools, Doubles, Floats, Reals
from bkgflow.rules import MaskRule

__all__ = ["detect_sources", "discs", "grown"]

BOX = 64
"""Pixels along a side of the boxes in which sky and noise are measured: larger than any source
that is to be found, smaller than what an instrument adds to the sky."""

FEWEST_BOXES = 8
"""Along an axis, where it has pixels enough for boxes of the smallest size."""

SMALLEST_BOX = 16

STEEP = 5
"""A step is so many times steeper than the sky mostly is from one box to the next."""

FAR = 8
"""Pixels of growth beyond which distances are faster than shifts."""

CONNECTED = 4
"""Pixels of a source, at least: noise that is smoothed by a little makes smaller islands."""

LEAST_WEIGHT = 0.25
"""Of a smoothed pixel: with less, too much of its surroundings is not valid to say anything."""

FWHM_TO_SIGMA = 1 / (2 * math.sqrt(2 * math.log(2)))

MAD_TO_SIGMA = 1.4826

ROUNDS = 2
"""The sky is measured again without the sources that were found with the first one."""


def detect_sources(sci: Reals, rule: MaskRule) -> Bools:
    """Find the sources of one exposure.

    The exposure is smoothed; sky and noise of what comes of it are measured in boxes
    (`photutils.background.Background2D`, medians of clipped values), twice, the second time
    without the sources of the first. A source has at least four connected pixels
    (`photutils.segmentation.detect_sources`) that exceed the sky by the threshold.

    Parameters
    ----------
    sci : (ny, nx) float
        In any unit; NaN where a pixel is not valid: such pixels neither count nor are masked,
        unless a source grows over them.
    rule : MaskRule
        Threshold in sigmas of the smoothed noise, smoothing, and growth in pixels.

    Returns
    -------
    (ny, nx) bool
        True on sources, grown.
    """
    valid = np.isfinite(sci)
    found = np.zeros(sci.shape, bool)
    if not valid.any():
        return found
    smooth, usable = _smoothed(sci, valid, rule.smooth)
    if not usable.any():
        return found
    for _ in range(ROUNDS):
        limit = _limit(smooth, usable, found, rule.threshold)
        found = _islands((smooth > limit) & usable)
        if not found.any():
            return found
    return grown(found, rule.grow)


def grown(mask: Bools, radius: float) -> Bools:
    """Return a mask that reaches ``radius`` pixels further, in a circle around each pixel."""
    if radius <= 0 or not mask.any():
        return mask
    if radius > FAR:
        from scipy.ndimage import distance_transform_edt

        near: Bools = distance_transform_edt(~mask) <= radius
        return near
    out = mask.copy()
    reach = math.floor(radius)
    steps = range(-reach, reach + 1)
    for dy, dx in ((dy, dx) for dy in steps for dx in steps if dy * dy + dx * dx <= radius**2):
        to, of = zip(_shifted(dy), _shifted(dx), strict=True)
        out[to] |= mask[of]
    return out


def _shifted(by: int) -> tuple[slice, slice]:
    """Return the part of an axis that is moved, as where it comes to lie and as where it lay."""
    return slice(max(by, 0), min(by, 0) or None), slice(max(-by, 0), min(-by, 0) or None)


def discs(x: Doubles, y: Doubles, radius: Doubles, shape: tuple[int, int]) -> Bools:
    """Return (ny, nx) bool: True within discs, and always on the pixel of a disc's centre.

    Parameters
    ----------
    x, y, radius : (n,) float64
        Centres and radii in pixels, the centre of the first pixel at 0. Discs with NaN in one
        of the three are left out.
    """
    mask = np.zeros(shape, bool)
    ny, nx = shape
    known = np.isfinite(x) & np.isfinite(y) & np.isfinite(radius)
    touches = known & (x + radius > -1) & (x - radius < nx) & (y + radius > -1) & (y - radius < ny)
    for cx, cy, r in zip(x[touches], y[touches], radius[touches], strict=True):
        reach = max(r, 0.5)
        x0, x1 = max(0, math.ceil(cx - reach)), min(nx, math.floor(cx + reach) + 1)
        y0, y1 = max(0, math.ceil(cy - reach)), min(ny, math.floor(cy + reach) + 1)
        rows, columns = np.ogrid[y0:y1, x0:x1]
        mask[y0:y1, x0:x1] |= (columns - cx) ** 2 + (rows - cy) ** 2 <= r * r
        row, column = round(cy), round(cx)
        if 0 <= row < ny and 0 <= column < nx:
            mask[row, column] = True
    return mask


def _smoothed(sci: Reals, valid: Bools, fwhm: float) -> tuple[Floats, Bools]:
    """Return the mean of the valid pixels around each one, and where that says anything."""
    # The level is taken away first: float32 keeps more of what is left.
    level = np.float32(np.median(sci[valid][:: max(1, sci.size // 100_000)]))
    image = np.where(valid, sci - level, np.float32(0)).astype(np.float32)
    if fwhm <= 0:
        return image, valid
    from scipy.ndimage import gaussian_filter

    sigma = fwhm * FWHM_TO_SIGMA
    smooth: Floats = gaussian_filter(image, sigma, mode="constant", truncate=3.0)
    weight: Floats = gaussian_filter(valid.astype(np.float32), sigma, mode="constant", truncate=3.0)
    usable: Bools = valid & (weight >= LEAST_WEIGHT)
    np.divide(smooth, weight, out=smooth, where=usable)
    return smooth, usable


def _limit(image: Floats, usable: Bools, sources: Bools, threshold: float) -> Floats:
    """Return what a pixel must exceed: the sky and ``threshold`` times its noise, (ny, nx)."""
    from photutils.background import Background2D, MADStdBackgroundRMS, MedianBackground

    box = tuple(_box(size) for size in image.shape)
    left = usable & ~sources
    if left.sum() < SMALLEST_BOX**2 or min(image.shape) < 2 * SMALLEST_BOX:
        values = image[left if left.any() else usable]
        median = np.median(values)
        noise = MAD_TO_SIGMA * np.median(np.abs(values - median))
        return np.full(image.shape, median + threshold * noise, np.float32)
    # Of large boxes, one pixel of four says as much.
    step = 2 if min(box) == BOX else 1
    measured = Background2D(
        image[::step, ::step],
        tuple(size // step for size in box),
        mask=~left[::step, ::step],
        exclude_percentile=90.0,  # a tenth of a box says enough; others lend theirs to the rest
        filter_size=3,
        bkg_estimator=MedianBackground(),
        bkg_rms_estimator=MADStdBackgroundRMS(),
    )
    sky, noise = _across_steps(measured.background_mesh, measured.background_rms_mesh, threshold)
    mesh = sky + threshold * noise
    weights = [
        _between(size, of, n) for size, of, n in zip(image.shape, box, mesh.shape, strict=True)
    ]
    limit: Floats = weights[0] @ mesh.astype(np.float32) @ weights[1].T
    return limit


def _across_steps(sky: Doubles, noise: Doubles, threshold: float) -> tuple[Doubles, Doubles]:
    """Have boxes on the dark side of a step take the sky of the bright side: (rows, columns) each.

    Between boxes the sky is a straight line. Where it falls off a cliff, as at the edge of a
    field stop, that line is below the sky of the bright side, which would be a source.
    """
    from scipy.ndimage import maximum_filter

    slopes = [np.abs(np.diff(sky, axis=axis)).ravel() for axis in (0, 1)]
    usual = float(np.median(np.concatenate([*slopes, [0.0]])))
    high = maximum_filter(sky, size=3, mode="nearest")
    step = high - sky > np.maximum(2 * threshold * noise, STEEP * usual)
    loud = maximum_filter(noise, size=3, mode="nearest")
    return np.where(step, high, sky), np.where(step, loud, noise)


def _box(size: int) -> int:
    """Return the side of a box along an axis."""
    return min(size, max(SMALLEST_BOX, min(BOX, size // FEWEST_BOXES)))


def _between(size: int, box: int, number: int) -> Floats:
    """Return how much each pixel of an axis takes from each box: (size, number).

    Between the centres of boxes, and beyond the first and the last one, along a straight line.
    """
    if number == 1:
        return np.ones((size, 1), np.float32)
    place = (np.arange(size) + 0.5) / box - 0.5
    first = np.clip(np.floor(place).astype(np.int64), 0, number - 2)
    weights = np.zeros((size, number), np.float32)
    rows = np.arange(size)
    weights[rows, first] = 1 - (place - first)
    weights[rows, first + 1] = place - first
    return weights


def _islands(above: Bools) -> Bools:
    """Return the pixels that belong to enough connected ones."""
    from photutils.segmentation import detect_sources as connected

    found = connected(above.astype(np.float32), 0.5, CONNECTED) if above.any() else None
    if found is None:
        return np.zeros(above.shape, bool)
    islands: Bools = np.asarray(found.data) > 0
    return islands
