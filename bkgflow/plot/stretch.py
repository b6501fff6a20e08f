"""Which values are drawn black and which white, and how those between are spread."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from bkgflow.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.colors import Normalize

__all__ = ["Stretch", "as_wide", "checked_limits", "limits_of", "norm_of", "sky_limits"]

Stretch = Literal["linear", "asinh", "zscale"]
"""``linear``: some robust standard deviations around the median, so that the sky is seen;
``asinh``: from there up to the brightest, so that faint and bright are; ``zscale``: IRAF's."""

WIDTH = 4.0
"""Black and white stand this many robust standard deviations from the median: the sky is seen,
and sources are white."""

MAD_TO_SIGMA = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""

BRIGHTEST = 0.9995
"""Quantile that is white with ``asinh``: rays and hot pixels may be whiter."""

Image = NDArray[np.floating]
Limits = tuple[float, float]


def sky_limits(image: Image) -> Limits:
    """Return the values that are drawn black and white, so that the sky is seen."""
    finite = image[np.isfinite(image)]
    if not finite.size:
        return 0.0, 1.0
    middle = float(np.median(finite))
    half = WIDTH * MAD_TO_SIGMA * float(np.median(np.abs(finite - middle)))
    return middle - half, middle + (half or 1.0)


def as_wide(limits: Limits, image: Image) -> Limits:
    """Return limits about the median of what is left, as far apart as others."""
    middle = float(np.nanmedian(image)) if np.isfinite(image).any() else 0.0
    half = (limits[1] - limits[0]) / 2
    return middle - half, middle + half


def checked_limits(limits: Limits) -> Limits:
    """Return limits that somebody gave as two numbers.

    Raises
    ------
    UsageError
        If they are not finite, or the first is not below the second.
    """
    try:
        low, high = map(float, limits)
    except (TypeError, ValueError):
        low = high = math.nan
    if math.isfinite(low) and math.isfinite(high) and low < high:
        return low, high
    raise UsageError(
        "limits must be two finite numbers, the first of them below the second",
        value=repr(limits),
        cure="Give the value that is drawn black, then the one that is drawn white",
    )


def limits_of(image: Image, stretch: Stretch) -> Limits:
    """Return what is drawn black and white with a stretch.

    Raises
    ------
    UsageError
        If there is no such stretch.
    """
    low, high = sky_limits(image)
    match stretch:
        case "linear":
            return low, high
        case "asinh":
            finite = image[np.isfinite(image)]
            top = float(np.quantile(finite, BRIGHTEST)) if finite.size else high
            return low, max(high, top)
        case "zscale":
            from astropy.visualization import ZScaleInterval

            finite = image[np.isfinite(image)]
            if not finite.size:
                return low, high
            least, most = map(float, ZScaleInterval().get_limits(finite))
            return (least, most) if most > least else (low, high)
    raise UsageError(
        "A stretch must be linear, asinh or zscale", value=repr(stretch), cure="Use one of these"
    )


def norm_of(limits: Limits, stretch: Stretch, image: Image) -> Normalize:
    """Return matplotlib's way from values to shades, for an image."""
    from matplotlib.colors import FuncNorm, Normalize

    low, high = limits
    if stretch != "asinh" or not high > low:
        return Normalize(low, high)
    # As wide as the noise of the sky: that keeps its shades, however bright the brightest is.
    dark, bright = sky_limits(image)
    softening = min(bright - dark, high - low) / (2 * WIDTH)

    def forward(values: Image) -> Image:
        return np.asarray(np.arcsinh((values - low) / softening))

    def backward(shades: Image) -> Image:
        return np.asarray(np.sinh(shades) * softening + low)

    return FuncNorm((forward, backward), low, high)
