"""Percentiles and medians of ratios by selection: exact, without sorting or a copy of all.

A sample of the ratios says roughly where the wanted order statistics lie. One look at all of
them counts what is below and keeps what is near, and the rest is done on a few percent. Where
the sample misled, or there are few ratios, numpy does it on all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from bkgflow.methods.arrays import Floats, Words
from bkgflow.methods.soss._ratios import bracket_ratios, finite_ratios, narrow

__all__ = ["Middle", "interpolate", "middle_ratio", "neighbours", "sampled", "uncertainty"]

Sample = tuple[Floats, Words]

SAMPLE = 1 << 14  # ratios in the sample
FEW = 1 << 18  # fewer ratios than this are not sampled
CAUTION = 4.5
"""Half width of what is kept around an order statistic, in standard deviations of its place
in the sample."""


@dataclass(frozen=True, slots=True)
class Middle:
    """The median of the ratios strictly between two percentiles."""

    scale: float  # that median
    lower: float  # the values of the percentiles
    upper: float
    n_kept: int  # finite ratios
    n_used: int  # those of them strictly between


def neighbours(n: int, fraction: float) -> tuple[int, int, float]:
    """Return the ranks (from 0) between which a quantile of n values lies, and how far along.

    Linear interpolation, Hyndman and Fan (1996) type 7, as numpy's default.
    """
    place = (n - 1) * float(fraction)
    if place >= n - 1:
        return n - 1, n - 1, 0.0
    previous = math.floor(place)
    return previous, previous + 1, place - previous


def interpolate(low: np.float32, high: np.float32, weight: float) -> np.floating:
    """Return the value between two neighbours, rounded as numpy's percentiles are.

    That is to the neighbours' type for a Python float (numpy's single percentiles), in float64
    for a numpy one (its lists of percentiles).
    """
    rise = high - low
    return high - rise * (1 - weight) if weight >= 0.5 else low + rise * weight


def sampled(values: Floats, pixels: Words) -> Sample:
    """Return some of the values, evenly chosen, and their pixels; all of a few."""
    step = values.size // SAMPLE | 1  # odd, so that it does not run along columns
    return values[::step].copy(), pixels[::step].copy()


def middle_ratio(
    values: Floats,
    pixels: Words,
    template: Floats,
    percentiles: tuple[float, float],
    sample: Sample | None = None,
) -> Middle | None:
    """Return the median of value over template between two percentiles of these ratios.

    None without any finite ratio, or without any strictly between. ``pixels`` are the values'
    places in the template; where it is 0 or NaN they do not count. Percentiles go from 0 to 100.
    ``sample`` is what `sampled` gives, where several templates are fitted to the same values.
    """
    if values.size >= FEW:
        sample = sample or sampled(values, pixels)
        if found := _by_intervals(values, pixels, template, percentiles, sample):
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


def uncertainty(
    middle: Middle, fraction: float, percentiles: tuple[float, float]
) -> tuple[float, float]:
    """Return a scale's random error, and its error with the bias of the selection in it.

    The scale is biased low by construction: only dark pixels count, and only the darker part of
    their ratios. The uncertainty covers that. Were all good pixels of a side sky with Gaussian
    noise, the kept fraction f would be the lowest f of them, and the scale the f × p quantile, p
    being midway between the two percentiles; how far that lies below the centre follows from the
    distance between the percentiles' values. This offset is added in quadrature to the random
    error, but not less than the ratios' standard deviation, if they were spread evenly.

    The random error is that of a quantile, sqrt(p (1 − p) / n) over the density of the ratios;
    the density is the mean one between the percentiles.

    ``fraction`` is that of kept pixels over good ones on this side.
    """
    low, high = (each / 100 for each in percentiles)
    centre, n = (low + high) / 2, middle.n_kept
    spread = (middle.upper - middle.lower) / (high - low)
    random = spread * math.sqrt(centre * (1 - centre) / n)

    def normal(share: float) -> float:
        """The Gaussian quantile of a share of the kept pixels, the outermost half a pixel in."""
        share = min(max(share, 0.5 / n), 1 - 0.5 / n) * min(fraction, 1.0)
        return NormalDist().inv_cdf(min(share, 1 - 1e-12))

    offset = spread * (high - low) * abs(normal(centre)) / (normal(high) - normal(low))
    return random, math.hypot(random, max(offset, spread / math.sqrt(12)))


@dataclass(frozen=True, slots=True)
class _Interval:
    """All ratios of an interval, and how many are below it."""

    low: np.float32
    high: np.float32
    ratios: Floats
    below: int

    def pair(self, first: int, last: int) -> tuple[np.float32, np.float32] | None:
        """Return two neighbours by their ranks among all, if the interval holds both."""
        first, last = first - self.below, last - self.below
        if first < 0 or last >= self.ratios.size:
            return None
        near, start = self.ratios, 0
        if np.isfinite(self.low) and np.isfinite(self.high) and self.low < self.high:
            near = np.empty_like(self.ratios)
            kept, start = narrow(self.ratios, self.low, self.high, first, last, near)
            near = near[:kept]
        near = np.sort(near)
        return near[first - start], near[last - start]


def _by_intervals(
    values: Floats,
    pixels: Words,
    template: Floats,
    percentiles: tuple[float, float],
    sample: Sample,
) -> Middle | None:
    """Return the same out of sampled intervals; None where they miss an order statistic."""
    low, high = (each / 100 for each in percentiles)
    bounds = _bounds(sample, template, (low, high, (low + high) / 2))
    if bounds is None:
        return None
    below, kept = np.empty(3, np.int64), np.empty(3, np.int64)
    near = np.empty(values.size // 8, np.float32)
    out = np.empty((3, near.size + 1), np.float32)
    n = bracket_ratios(values, pixels, template, bounds, below, kept, near, out)
    if kept[0] < 0:
        return None
    at_low, at_high, at_middle = (
        _Interval(bounds[i, 0], bounds[i, 1], out[i, : kept[i]], int(below[i])) for i in range(3)
    )
    edges = []
    for interval, fraction in ((at_low, low), (at_high, high)):
        first, last, weight = neighbours(n, fraction)
        pair = interval.pair(first, last)
        if pair is None:
            return None
        edges.append(interpolate(*pair, np.float64(weight)))
    lower, upper = edges
    first = at_low.below + int(np.count_nonzero(at_low.ratios <= lower))
    stop = at_high.below + int(np.count_nonzero(at_high.ratios < upper))
    if stop <= first:
        return None
    pair = at_middle.pair((first + stop - 1) // 2, (first + stop) // 2)
    if pair is None:
        return None
    scale = np.median(np.array(pair, np.float32))
    return Middle(float(scale), float(lower), float(upper), n, stop - first)


def _bounds(sampled: Sample, template: Floats, fractions: tuple[float, ...]) -> Floats | None:
    """Return an interval around each quantile, from a sample: (3, 2) float32."""
    sample = np.empty(sampled[0].size, np.float32)
    m = finite_ratios(*sampled, template, sample)
    if m < SAMPLE // 8:
        return None
    fraction = np.array(fractions)
    reach = CAUTION * np.sqrt(m * fraction * (1 - fraction)) + 2
    first, last = (m * fraction - reach).astype(int), (m * fraction + reach).astype(int) + 1
    ranks = np.stack((first, last), axis=1).clip(0, m - 1)
    bounds: Floats = np.partition(sample[:m], ranks.ravel())[ranks]
    bounds[first < 0, 0], bounds[last >= m, 1] = -np.inf, np.inf
    return bounds
