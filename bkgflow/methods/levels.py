"""How bright each of several backgrounds is, and which of them is far from all others.

Levels are worked out from what is read anyway, a band of rows at a time: medians of a thousand
pixels or so. That they are those of a sample costs nothing that matters: a level is known to a few
hundredths of the scatter of its pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bkgflow.methods.arrays import Reals

__all__ = ["SAMPLE_BYTES", "Levels", "LevelsOfRows", "constant", "far", "joined"]

SAMPLED = 32
"""Pixels along an axis that are looked at, at least, where there are so many."""

SAMPLE_BYTES = 4 * (2 * SAMPLED) ** 2
"""That the sample of an exposure takes, at most."""

SAME = 1e-6
"""Relative difference of two means of one value: they are float64, of float32 values."""

MAD_TO_SIGMA = 1.4826

SPREADS = 5
"""A level is not far from the others if it is closer than so many standard deviations of them."""


TOGETHER = 256
"""Exposures that are held against all others at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """Of each exposure, in the unit of SCI; NaN where it has no finite pixel.

    Attributes
    ----------
    median, scatter : (n,) float64
        Of the pixels that were looked at; the scatter is the median absolute deviation as a
        standard deviation.
    low, high : (n,) float64
        Two of its values; equal, within rounding, only if all of its pixels have one value.
    """

    median: NDArray[np.float64]
    scatter: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def of(self, members: Sequence[int]) -> Levels:
        """Return those of some of the exposures."""
        at = list(members)
        return Levels(self.median[at], self.scatter[at], self.low[at], self.high[at])


class LevelsOfRows:
    """Takes in the rows of several exposures, strip by strip.

    Parameters
    ----------
    n : int
        Of the exposures.
    shape : (ny, nx)
        Of all rows together.
    """

    def __init__(self, n: int, shape: tuple[int, int]) -> None:
        self._low, self._high = np.full((2, n), np.nan)
        self._steps = tuple(max(1, size // SAMPLED) for size in shape)
        looked_at = (-(-size // step) for size, step in zip(shape, self._steps, strict=True))
        self._sample = np.empty((n, *looked_at), np.float32)
        self._row = self._sampled = 0

    def look(self, sci: Reals) -> None:
        """Look at the next rows, (n, rows, nx)."""
        along_y, along_x = self._steps
        sample = sci[:, -self._row % along_y :: along_y, ::along_x]
        self._sample[:, self._sampled : self._sampled + sample.shape[1]] = sample
        self._row, self._sampled = self._row + sci.shape[1], self._sampled + sample.shape[1]
        # One look at few pixels is mostly enough to see that they are not all the same; what is
        # constant or without a value so far is looked at as a whole.
        for i in np.flatnonzero(~_vary(self._low, self._high)):
            for part in (sample[i], sci[i]):
                self._take(int(i), part)
                if _vary(self._low[i], self._high[i]):
                    break

    def _take(self, i: int, part: Reals) -> None:
        finite = part[np.isfinite(part)]
        if finite.size:
            self._low[i] = np.fmin(self._low[i], finite.min())
            self._high[i] = np.fmax(self._high[i], finite.max())

    def levels(self) -> Levels:
        """Return what was found."""
        median, scatter = np.full((2, len(self._low)), np.nan)
        for i, values in enumerate(self._sample[:, : self._sampled]):
            finite = values[np.isfinite(values)]
            if finite.size:
                median[i] = np.median(finite)
                scatter[i] = MAD_TO_SIGMA * np.median(np.abs(finite - np.float32(median[i])))
        return Levels(median, scatter, self._low, self._high)


def _vary(low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(high - low > SAME * np.fmax(np.abs(low), np.abs(high)))


def joined(bands: Sequence[Levels]) -> Levels:
    """Put the levels of several bands together: medians over the bands."""
    names = ("median", "scatter", "low", "high")
    stack = np.array([[getattr(band, name) for name in names] for band in bands])
    ranked = np.sort(np.where(np.isfinite(stack), stack, np.nan), axis=0)  # NaN comes last
    number = np.isfinite(ranked).sum(axis=0)

    def at(rank: NDArray[np.intp]) -> NDArray[np.float64]:
        return np.asarray(np.take_along_axis(ranked, np.maximum(rank, 0)[np.newaxis], axis=0)[0])

    middle = (at((number - 1) // 2) + at(number // 2)) / 2
    return Levels(middle[0], middle[1], ranked[0, 2], at(number - 1)[3])


def constant(levels: Levels) -> NDArray[np.intp]:
    """Return which exposures have one value in every pixel that has a value."""
    known = np.isfinite(levels.low)
    return np.flatnonzero(known & ~_vary(levels.low, levels.high))


def far(levels: Levels, fraction: float) -> NDArray[np.intp]:
    """Return which exposures' level is far from that of every other; two are far from each other.

    Far is more than ``fraction`` of the others' median level, more than the scatter of a pixel,
    and more than five standard deviations of the others' levels, robustly. Without the second,
    skies of nearly nothing would be far from each other; without the third, those that drift.
    """
    known = np.flatnonzero(np.isfinite(levels.median))
    if len(known) < 2 or fraction == 0:
        return known[:0]
    median, scatter = levels.median[known], np.median(levels.scatter[known])
    found = [known[:0]]
    for start in range(0, len(known), TOGETHER):
        these = np.arange(start, min(start + TOGETHER, len(known)))
        # Each row is all levels but one's own.
        others = np.tile(median, (len(these), 1))[np.arange(len(known)) != these[:, np.newaxis]]
        others = others.reshape(len(these), -1)
        centre = np.median(others, axis=1)
        spread = MAD_TO_SIGMA * np.median(np.abs(others - centre[:, np.newaxis]), axis=1)
        # Of two, neither is the measure of the other.
        level = np.abs(centre)
        if len(known) == 2:
            level = np.maximum(level, np.abs(median[these]))
        gap = np.abs(others - median[these, np.newaxis]).min(axis=1)
        bound = np.maximum(np.maximum(fraction * level, scatter), SPREADS * spread)
        found.append(known[these[gap > bound]])
    return np.concatenate(found)
