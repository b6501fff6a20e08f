"""Percentiles and medians of ratios by selection: exact, without sorting or a copy of all.

A sample of the ratios says roughly where the wanted order statistics lie. One look at all of
them counts what is below and keeps what is near, and the rest is done on a few percent. Where
the sample misled, or there are few ratios, numpy does it on all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bkgflow.methods.soss._kernels import bracket_ratios, finite_ratios

__all__ = ["Middle", "interpolate", "middle_ratio", "neighbours"]

SAMPLE = 1 << 16
"""Ratios in the sample; fewer than four times as many are not sampled."""

CAUTION = 5.0
"""Half width of what is kept around an order statistic, in standard deviations of its place
in the sample."""


@dataclass(frozen=True, slots=True)
class Middle:
    """The median of the ratios strictly between two percentiles.

    Attributes
    ----------
    scale : float
        That median.
    lower, upper : float
        The values of the percentiles.
    n_kept, n_used : int
        Finite ratios, and those strictly between.
    """

    scale: float
    lower: float
    upper: float
    n_kept: int
    n_used: int


def neighbours(n: int, fraction: Any) -> tuple[int, int, Any]:
    """Return the ranks (from 0) between which a quantile of n values lies, and how far along.

    Linear interpolation, Hyndman and Fan (1996) type 7, as numpy's default. The place is worked
    out in the type of ``fraction``, as numpy does: beyond 2**24 values, float32 can be off by
    some ranks.
    """
    place = type(fraction)(n - 1) * fraction
    if place >= n - 1:
        return n - 1, n - 1, type(fraction)(0)
    previous = np.floor(place)
    return int(previous), min(int(previous + type(fraction)(1)), n - 1), place - previous


def interpolate(low: Any, high: Any, weight: Any) -> Any:
    """Return the value between two neighbours, rounded as numpy's percentiles are."""
    rise = high - low
    return high - rise * (1 - weight) if weight >= 0.5 else low + rise * weight


def middle_ratio(
    values: NDArray[np.float32],
    pixels: NDArray[np.uint32],
    template: NDArray[np.float32],
    percentiles: tuple[float, float],
) -> Middle | None:
    """Return the median of value over template between two percentiles of these ratios.

    Parameters
    ----------
    values, pixels : (n,) float32, (n,) uint32
        Values, and where they lie in the template.
    template : (n_pixels,) float32
        Pixels where it is 0 or NaN do not count.
    percentiles : (float, float)
        From 0 to 100, rising.

    Returns
    -------
    Middle or None
        None without any finite ratio, or without any strictly between.
    """
    if values.size >= 4 * SAMPLE:
        found = _by_brackets(values, pixels, template, percentiles)
        if found is not None:
            return found
    ratios = np.empty(values.size, np.float32)
    ratios = ratios[: finite_ratios(values, pixels, template, ratios)]
    if not ratios.size:
        return None
    lower, upper = np.percentile(ratios, list(percentiles), overwrite_input=True)
    between = ratios[(ratios > lower) & (ratios < upper)]
    if not between.size:
        return None
    scale = np.median(between, overwrite_input=True)
    return Middle(float(scale), float(lower), float(upper), ratios.size, between.size)


def _by_brackets(
    values: NDArray[np.float32],
    pixels: NDArray[np.uint32],
    template: NDArray[np.float32],
    percentiles: tuple[float, float],
) -> Middle | None:
    """Return the same by sampled intervals; None where they miss an order statistic."""
    low, high = (np.float64(each) / np.float64(100.0) for each in percentiles)
    bounds = _brackets(values, pixels, template, (low, high, (low + high) / 2))
    if bounds is None:
        return None
    below = np.empty(3, np.int64)
    near = np.empty(values.size // 8, np.float32)
    n, kept = bracket_ratios(values, pixels, template, bounds, below, near)
    if kept < 0:
        return None
    near = near[:kept]
    near.sort()
    starts = np.searchsorted(near, bounds[:, 0], side="left")
    stops = np.searchsorted(near, bounds[:, 1], side="right")

    def ranked(which: int, rank: int) -> Any:
        """The ratio of a rank among all, if the interval holds it."""
        place = starts[which] + rank - below[which]
        return near[place] if starts[which] <= place < stops[which] else None

    edges = []
    for which, fraction in enumerate((low, high)):
        before, after, weight = neighbours(n, fraction)
        pair = ranked(which, before), ranked(which, after)
        if pair[0] is None or pair[1] is None:
            return None
        edges.append(interpolate(*pair, weight))
    lower, upper = edges
    first = below[0] + np.searchsorted(near, lower, side="right") - starts[0]
    stop = below[1] + np.searchsorted(near, upper, side="left") - starts[1]
    if stop <= first:
        return None
    pair = ranked(2, (first + stop - 1) // 2), ranked(2, (first + stop) // 2)
    if pair[0] is None or pair[1] is None:
        return None
    scale = np.median(np.array(pair, np.float32))
    return Middle(float(scale), float(lower), float(upper), n, int(stop - first))


def _brackets(
    values: NDArray[np.float32],
    pixels: NDArray[np.uint32],
    template: NDArray[np.float32],
    fractions: tuple[float, ...],
) -> NDArray[np.float32] | None:
    """Return an interval around each quantile, from a sample: (3, 2) float32."""
    step = values.size // SAMPLE | 1  # odd, so that it does not run along columns
    sample = np.empty(-(-values.size // step), np.float32)
    m = finite_ratios(values[::step].copy(), pixels[::step].copy(), template, sample)
    if m < SAMPLE // 8:
        return None
    sample = sample[:m]
    sample.sort()
    bounds = np.empty((3, 2), np.float32)
    for i, fraction in enumerate(fractions):
        reach = CAUTION * np.sqrt(m * fraction * (1 - fraction)) + 2
        first, last = int(m * fraction - reach), int(m * fraction + reach) + 1
        bounds[i, 0] = sample[first] if first >= 0 else -np.inf
        bounds[i, 1] = sample[last] if last < m else np.inf
    return bounds
