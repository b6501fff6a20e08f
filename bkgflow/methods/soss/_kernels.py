"""The compiled loops behind the SOSS fit: one look at each pixel, no copy of a cube.

A float32 is ordered by its bits once the sign is taken care of. The upper 16 bits name one of
65536 bins, the lower 16 the place in it: two counts find any order statistic exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import DO_NOT_USE, REFERENCE_PIXEL
from bkgflow.methods._kernels import compiled

__all__ = [
    "BINS",
    "bracket_ratios",
    "count_high",
    "drop_sources",
    "finite_ratios",
    "gather",
    "square_residuals",
    "subtract_sky",
]

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Words = NDArray[np.uint32]
Counts = NDArray[np.int64]

BINS = 1 << 16

BAD = np.uint32(DO_NOT_USE | REFERENCE_PIXEL)
SIGN = np.uint32(1 << 31)
EXPONENT = np.uint32(0x7F800000)
LOW = np.uint32(BINS - 1)
HALF = np.uint32(16)

BLOCK = 512
"""Ratios worked on at a time: 2 kB, which stay in the first cache."""


@compiled
def count_high(bits: Words, dq: Words, bins: Counts) -> None:
    """Count the good pixels by the upper half of their ordered bits.

    Parameters
    ----------
    bits, dq : (n,) uint32
        SCI as its bits, and the flags.
    bins : (2, 65537) int64
        Two counts to be added up: neighbours fall into one bin, and a bin that was just
        written must be waited for. The last place takes what is not good.
    """
    for k in range(bits.size):
        word = bits[k]
        good = (dq[k] & BAD) == 0 and (word & EXPONENT) != EXPONENT
        ordered = ~word if word & SIGN else word | SIGN
        bins[k & 1, np.int64(ordered >> HALF) if good else BINS] += 1


@compiled
def gather(
    bits: Words,
    dq: Words,
    high: Counts,
    low_bins: Counts,
    n_good: NDArray[np.uint32],
    edges: Counts,
    values: tuple[Words, Words],
    pixels: tuple[Words, Words],
    ends: Counts,
    first: int,
) -> None:
    """Collect the pixels of the fit that may be sky, and count within the threshold's bins.

    Parameters
    ----------
    bits, dq : (n, ny, nx) uint32
        SCI as its bits, and the flags, of n integrations.
    high : (2,) int64
        The bins of the two order statistics around the threshold; the first is not above the
        second. Pixels above the second bin are sources.
    low_bins : (2, 65536) int64
        Counts within those bins. Changed.
    n_good : (ny, columns) uint32
        Good pixels in the columns that are fitted. Changed.
    edges : (2,) int64
        Column behind the last one that may be left, first column that may be right.
    values, pixels : two of (capacity,) uint32
        The collected bits and where they lie in a frame, left and right. Changed.
    ends : (n_integrations + 1, 2) int64
        How much is collected up to each integration. Changed.
    first : int
        Which integration this chunk begins with.
    """
    n, ny, nx = bits.shape
    columns = n_good.shape[1]
    for i in range(n):
        left, right = ends[first + i]
        for y in range(ny):
            for x in range(nx):
                word = bits[i, y, x]
                if (dq[i, y, x] & BAD) != 0 or (word & EXPONENT) == EXPONENT:
                    continue
                ordered = ~word if word & SIGN else word | SIGN
                place = np.int64(ordered >> HALF)
                if place == high[0]:
                    low_bins[0, ordered & LOW] += 1
                elif place == high[1]:
                    low_bins[1, ordered & LOW] += 1
                if x >= columns:
                    continue
                n_good[y, x] += np.uint32(1)
                if place > high[1]:
                    continue
                if x < edges[0]:
                    values[0][left] = word
                    pixels[0][left] = y * nx + x
                    left += 1
                if x >= edges[1]:
                    values[1][right] = word
                    pixels[1][right] = y * nx + x
                    right += 1
        ends[first + i + 1] = left, right


@compiled
def drop_sources(values: Floats, pixels: Words, ends: Counts, threshold: float) -> None:
    """Keep what is below the threshold, moved together, in place; ``ends`` follow."""
    kept = start = 0
    for i in range(ends.size):
        for k in range(start, ends[i]):
            values[kept] = values[k]
            pixels[kept] = pixels[k]
            kept += values[k] < threshold
        start = ends[i]
        ends[i] = kept


@compiled
def finite_ratios(values: Floats, pixels: Words, template: Floats, out: Floats) -> int:
    """Divide each value by the template at its pixel; keep finite ratios, return how many."""
    kept = 0
    for k in range(values.size):
        ratio = values[k] / template[pixels[k]]
        out[kept] = ratio
        kept += abs(ratio) < np.inf
    return kept


@compiled
def bracket_ratios(
    values: Floats, pixels: Words, template: Floats, bounds: Floats, below: Counts, out: Floats
) -> tuple[int, int]:
    """Count the ratios below each of three intervals and keep those inside any.

    Parameters
    ----------
    values, pixels, template : (n,) float32, (n,) uint32, (n_pixels,) float32
        What to divide; ratios that are not finite do not count.
    bounds : (3, 2) float32
        Lowest and highest ratio of each interval, both inclusive.
    below : (3,) int64
        Counts. Changed.
    out : (capacity,) float32
        The ratios kept. Changed.

    Returns
    -------
    (int, int)
        How many ratios are finite, how many were kept; −1 where they did not fit.
    """
    ratio = np.empty(BLOCK, np.float32)
    below[:] = 0
    finite = kept = 0
    (low0, high0), (low1, high1), (low2, high2) = bounds[0], bounds[1], bounds[2]
    for start in range(0, values.size, BLOCK):
        width = min(BLOCK, values.size - start)
        if kept + width > out.size:
            return finite, -1
        for t in range(width):
            each = values[start + t] / template[pixels[start + t]]
            ratio[t] = each if abs(each) < np.inf else np.float32(np.nan)
        counts0 = counts1 = counts2 = count = np.int32(0)
        for t in range(width):
            each = ratio[t]
            count += np.int32(each == each)  # noqa: PLR0124 - false for NaN alone
            counts0 += np.int32(each < low0)
            counts1 += np.int32(each < low1)
            counts2 += np.int32(each < low2)
        below[0] += counts0
        below[1] += counts1
        below[2] += counts2
        finite += count
        for t in range(width):
            each = ratio[t]
            out[kept] = each
            kept += (
                ((each >= low0) & (each <= high0))
                | ((each >= low1) & (each <= high1))
                | ((each >= low2) & (each <= high2))
            )
    return finite, kept


def _square_residuals(values: Floats, pixels: Words, template: Floats, scale: float) -> Any:
    total = 0.0
    count = 0
    for k in range(values.size):
        sky = template[pixels[k]]
        finite = abs(values[k] / sky) < np.inf
        residual = np.float64(values[k]) - np.float64(sky) * scale
        total += residual * residual if finite else 0.0
        count += 1 if finite else 0
    return total, count


square_residuals = compiled(_square_residuals, fastmath={"reassoc", "nsz"})
"""(values, pixels, template, scale) → sum of squared residuals and their number, where the
ratio is finite; sums in float64, in any order."""


@compiled
def subtract_sky(sci: Any, template: Floats, steps: Counts, left: Doubles, right: Doubles) -> None:
    """Subtract scaled sides of a template from (n, ny, nx), in place, rounded once.

    ``left`` and ``right`` are the scales of each integration, (n,) float64.
    """
    n, ny, nx = sci.shape
    for i in range(n):
        for y in range(ny):
            for x in range(nx):
                scale = left[i] if x < steps[y] else right[i]
                sci[i, y, x] -= np.float64(template[y, x]) * scale
