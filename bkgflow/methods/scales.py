"""Bringing backgrounds to the level of their target: what is added to them, or multiplied.

Both are found from the pixels that target and background have in common, region by region: the
number for which the median of what is left of the target is zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.methods.arrays import Bools, Doubles, Integers, Reals

__all__ = ["FEWEST", "Mode", "Regions", "Scale", "Scales", "levelled", "match", "sample_rows"]

Mode = Literal["offset", "factor"]

SAMPLE_PIXELS = 100_000
"""Looked at to compare two exposures, where they have so many: a level is then known to about
half a percent of a pixel's noise."""

FEWEST = 100
"""Pixels that target and background must have in common in a region."""

ENOUGH = 10_000
"""Pixels that are looked at of a region that lies between the rows: good to a percent or two."""

CLIP = 3.0
ROUNDS = 10
"""The clip around the median, in sigmas, and how often it is done at most."""

MAD_TO_SIGMA = 1.4826

SETTLED = 1e-3
"""Of its error: a factor that changes by less is found."""

FEW_ROWS = 8
"""With fewer rows, how they differ says nothing of noise that a row has in common."""


class Scale(NamedTuple):
    """One number that was found, with its error (1 sigma) and the pixels that it rests on.

    NaN where target or background has no valid pixel at all.
    """

    value: float
    error: float
    pixels: int


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """Parts of the detector that are scaled apart.

    Attributes
    ----------
    numbers : tuple of int
        What the map calls them.
    index : (ny, nx) uint8, or None
        For each pixel, which of these; None where there is one region for all.
    """

    numbers: tuple[int, ...] = (0,)
    index: NDArray[np.uint8] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Scales:
    """What is done to each of several backgrounds: ``factor * value + offset``.

    Attributes
    ----------
    offset, factor : (n, regions) float64
        0 and 1 where nothing is done.
    error : (n, regions) float64
        One standard deviation of the one that was found; NaN where nothing was.
    pixels : (n, regions) int64
        Pixels that it rests on.
    """

    mode: Mode
    offset: Doubles
    factor: Doubles
    error: Doubles
    pixels: Integers

    @classmethod
    def of(cls, mode: Mode, found: Sequence[Sequence[Scale]]) -> Scales:
        """Put together what was found for each background and region."""
        value = np.array([[each.value for each in regions] for regions in found], np.float64)
        error = np.array([[each.error for each in regions] for regions in found], np.float64)
        pixels = np.array([[each.pixels for each in regions] for regions in found], np.int64)
        idle = {"offset": 0.0, "factor": 1.0}
        known = np.where(np.isfinite(value), value, idle[mode])
        zeros, ones = np.zeros(known.shape), np.ones(known.shape)
        offset, factor = (known, ones) if mode == "offset" else (zeros, known)
        return cls(mode, offset, factor, error, pixels)

    @property
    def values(self) -> Doubles:
        """The numbers that were found: offsets, or factors."""
        return self.offset if self.mode == "offset" else self.factor


def sample_rows(window: Window, regions: Regions | None = None) -> list[int]:
    """Return the detector rows of a window in which exposures are compared: at equal distances.

    A region of which these rows show too little to be scaled has some more, at equal distances
    in it.
    """
    wanted = min(window.ny, math.ceil(SAMPLE_PIXELS / window.nx))
    rows = {(2 * i + 1) * window.ny // (2 * wanted) for i in range(wanted)}
    if regions is not None and regions.index is not None:
        for place in range(len(regions.numbers)):
            inside = np.count_nonzero(regions.index == place, axis=1)
            if sum(int(inside[row]) for row in rows) < FEWEST:
                held = np.flatnonzero(inside)
                some = min(len(held), math.ceil(ENOUGH / max(1, int(inside.max()))))
                rows |= {int(held[(2 * i + 1) * len(held) // (2 * some)]) for i in range(some)}
    return [window.y0 + row for row in sorted(rows)]


def match(target: Reals, background: Reals, mode: Mode, where: Bools | None = None) -> Scale:
    """Find what brings a background to the level of its target.

    An offset is the median of target − background; a factor is the number f for which the median
    of target − f · background is zero. Values farther than three sigmas from the median are left
    out, again and again. The error is that of a median, from the scatter of what is left; where
    rows have noise in common, as 1/f noise, it is that of rows.

    Parameters
    ----------
    target, background : (rows, nx) float
        Sample rows; NaN where a pixel is not valid or shows a source.
    where : (rows, nx) bool, optional
        The region.
    """
    common = np.isfinite(target) & np.isfinite(background)
    if where is not None:
        common &= where
    rows: Integers = np.nonzero(common)[0].astype(np.int64)
    if not rows.size:
        return Scale(math.nan, math.nan, 0)
    one, other = target[common].astype(np.float64), background[common].astype(np.float64)
    if mode == "offset":
        kept, level, _ = _clipped(one - other)
        return Scale(level, _median_error(one - other - level, kept, rows), int(kept.sum()))
    base = float(np.median(other))
    if base == 0:
        return Scale(math.nan, math.inf, len(rows))
    factor = float(np.median(one)) / base
    for _ in range(ROUNDS):
        kept, left, sigma = _clipped(one - factor * other)
        base = float(np.median(other[kept])) or base
        factor += left / base
        if abs(left) <= SETTLED * sigma / math.sqrt(len(rows)):
            break
    error = _median_error(one - factor * other, kept, rows)
    return Scale(factor, error / abs(base), int(kept.sum()))


def levelled(
    sci: Reals, index: NDArray[np.uint8] | None, offset: Doubles, factor: Doubles, out: Doubles
) -> None:
    """Fill ``out`` with ``factor * sci + offset`` of one exposure.

    Parameters
    ----------
    sci : (rows, nx) float
    out : (rows, nx) float64
        Whatever ``sci`` is kept in, it gets the same numbers: they do not depend on what the
        exposure is combined with.
    index : (rows, nx) uint8, or None
        The region of each pixel; None for a single one.
    offset, factor : (regions,) float64
    """
    if index is None:
        np.multiply(sci, factor[0], out=out, dtype=np.float64)
        np.add(out, offset[0], out=out)
        return
    np.multiply(sci, factor[index], out=out, dtype=np.float64)
    np.add(out, offset[index], out=out)


def _clipped(values: Doubles) -> tuple[Bools, float, float]:
    """Return which values are kept, their median, and their spread as a standard deviation."""
    kept = np.ones(values.shape, bool)
    median = float(np.median(values))
    sigma = MAD_TO_SIGMA * float(np.median(np.abs(values - median)))
    for _ in range(ROUNDS):
        new = np.abs(values - median) <= CLIP * sigma
        if not new.any() or (new == kept).all():
            break
        kept = new
        median = float(np.median(values[kept]))
        sigma = MAD_TO_SIGMA * float(np.median(np.abs(values[kept] - median)))
    return kept, median, sigma


def _median_error(left: Doubles, kept: Bools, rows: Integers) -> float:
    """Return the error of a median: what is left around it, and the row of each value.

    Each value moves the median by its sign over twice the density there. Signs that agree within
    rows, as noise does that a row has in common, add up: the error is then larger.
    """
    values, at = left[kept], rows[kept]
    sigma = float(np.std(values))
    signs = np.bincount(at, weights=np.sign(values))
    lines = np.count_nonzero(np.bincount(at))
    number = float(len(values))
    together = float(np.sum(signs**2)) if lines >= FEW_ROWS else number
    return sigma * math.sqrt(math.pi / 2) * math.sqrt(max(together, number)) / number
