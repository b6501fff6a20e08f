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
    "narrow",
    "pixel_moments",
    "side_sums",
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

NOT_GOOD = np.uint32(0xFFFFFFFF)
"""Stands in for the ordered bits of a pixel that is not good; no finite number has them."""

BLOCK = 512
"""Ratios worked on at a time: 2 kB, which stay in the first cache."""

FINE_BINS = 1 << 12
"""Bins that an interval is cut into to find an order statistic in it: 32 kB."""


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
    values, pixels : two of (capacity + 1,) uint32
        The collected bits and where they lie in a flat (ny, columns) frame, left and right.
        Changed.
    ends : (n_integrations + 1, 2) int64
        How much is collected up to each integration. Changed.
    first : int
        Which integration this chunk begins with.
    """
    n, ny, nx = bits.shape
    columns = n_good.shape[1]
    row = np.empty(nx, np.uint32)
    limit = np.uint32(high[1] * BINS + BINS - 1)
    for i in range(n):
        left, right = ends[first + i]
        for y in range(ny):
            words, flags, good = bits[i, y], dq[i, y], n_good[y]
            for x in range(nx):
                word = words[x]
                bad = ((flags[x] & BAD) != 0) | ((word & EXPONENT) == EXPONENT)
                ordered = word ^ SIGN if word < SIGN else ~word
                row[x] = NOT_GOOD if bad else ordered
            for x in range(columns):
                good[x] += np.uint32(1) if row[x] != NOT_GOOD else np.uint32(0)
            for x in range(nx):
                if row[x] >> HALF == high[0]:
                    low_bins[0, row[x] & LOW] += 1
                elif row[x] >> HALF == high[1]:
                    low_bins[1, row[x] & LOW] += 1
            # Without branches: a wrong guess costs more than a write that is undone.
            for x in range(edges[0]):
                values[0][left], pixels[0][left] = words[x], y * columns + x
                left += row[x] <= limit
            for x in range(edges[1], columns):
                values[1][right], pixels[1][right] = words[x], y * columns + x
                right += row[x] <= limit
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
    values: Floats,
    pixels: Words,
    template: Floats,
    bounds: Floats,
    below: Counts,
    kept: Counts,
    near: Floats,
    out: Floats,
) -> int:
    """Count the ratios below each of three intervals and keep those inside.

    Parameters
    ----------
    values, pixels, template : (n,) float32, (n,) uint32, (n_pixels,) float32
        What to divide; ratios that are not finite do not count.
    bounds : (3, 2) float32
        Lowest and highest ratio of each interval, both inclusive; they may overlap.
    below, kept : (3,) int64
        How many are below each interval, how many inside; −1 inside the first one where some
        did not fit into ``near``. Changed.
    near : (capacity,) float32
        The ratios inside any interval. Changed.
    out : (3, capacity + 1) float32
        The ratios inside each. Changed.

    Returns
    -------
    int
        How many ratios are finite.
    """
    ratio, sky = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    flags = np.empty(BLOCK, np.uint8)
    nothing = np.float32(np.nan)
    below[:] = 0
    kept[:] = 0
    finite = total = 0
    (low0, high0), (low1, high1), (low2, high2) = bounds[0], bounds[1], bounds[2]
    for start in range(0, values.size, BLOCK):
        if total + BLOCK > near.size:
            kept[0] = -1
            return finite
        width = min(BLOCK, values.size - start)
        value, pixel = values[start : start + width], pixels[start : start + width]
        for t in range(width):  # apart from the division, which then takes many at once
            sky[t] = template[pixel[t]]
        for t in range(width):
            each = value[t] / sky[t]
            ratio[t] = each if abs(each) < np.float32(np.inf) else nothing
        ratio[width:] = nothing
        count = count0 = count1 = count2 = np.int32(0)
        for t in range(BLOCK):
            each = ratio[t]
            count += np.int32(1) if each == each else np.int32(0)  # noqa: PLR0124 - not NaN
            count0 += np.int32(1) if each < low0 else np.int32(0)
            count1 += np.int32(1) if each < low1 else np.int32(0)
            count2 += np.int32(1) if each < low2 else np.int32(0)
        finite += int(count)
        below[0] += count0
        below[1] += count1
        below[2] += count2
        for t in range(BLOCK):
            each = ratio[t]
            flags[t] = np.uint8(
                ((each >= low0) & (each <= high0))
                | ((each >= low1) & (each <= high1))
                | ((each >= low2) & (each <= high2))
            )
        for t in range(BLOCK):
            near[total] = ratio[t]
            total += flags[t]
    for k in range(total):
        each = near[k]
        out[0, kept[0]] = out[1, kept[1]] = out[2, kept[2]] = each
        kept[0] += (each >= low0) & (each <= high0)
        kept[1] += (each >= low1) & (each <= high1)
        kept[2] += (each >= low2) & (each <= high2)
    return finite


@compiled
def narrow(values: Floats, low: float, high: float, first: int, last: int, out: Floats) -> Any:
    """Keep the few of many values among which two order statistics lie.

    Parameters
    ----------
    values : (n,) float32
        All within ``low`` and ``high``.
    first, last : int
        Ranks from 0; the second is not below the first.
    out : (n,) float32
        What is kept. Changed.

    Returns
    -------
    (int, int)
        How many were kept, and the rank of the smallest of them.
    """
    bins = np.zeros(FINE_BINS + 1, np.int64)
    factor = FINE_BINS / (np.float64(high) - np.float64(low))
    for k in range(values.size):
        bins[np.int64((np.float64(values[k]) - low) * factor)] += 1
    start, begin = np.int64(0), 0
    while start + bins[begin] <= first:
        start += bins[begin]
        begin += 1
    stop, end = start + bins[begin], begin
    while stop <= last:
        end += 1
        stop += bins[end]
    kept = 0
    for k in range(values.size):
        place = np.int64((np.float64(values[k]) - low) * factor)
        out[kept] = values[k]
        kept += 1 if begin <= place <= end else 0
    return kept, start


@compiled
def pixel_moments(
    values: Floats, pixels: Words, count: Counts, mean: Doubles, squares: Doubles
) -> None:
    """Average the values at each pixel and sum their squared deviations; all (n_pixels,).

    ``count``, ``mean`` and ``squares`` hold zeros and are changed.
    """
    for k in range(values.size):
        count[pixels[k]] += 1
        mean[pixels[k]] += np.float64(values[k])
    for p in range(count.size):
        mean[p] /= max(count[p], 1)
    for k in range(values.size):
        deviation = np.float64(values[k]) - mean[pixels[k]]
        squares[pixels[k]] += deviation * deviation


@compiled
def side_sums(
    template: Floats,
    n_good: NDArray[np.uint32],
    count: Counts,
    mean: Doubles,
    squares: Doubles,
    scale: float,
) -> tuple[float, int, int]:
    """Sum squared residuals from the moments at each pixel, where the template is usable.

    All values at a pixel have one template: their squares are those about their own mean and
    those of the mean. Nothing but a pixel with a template of 0 or NaN is left out.

    Returns
    -------
    (float, int, int)
        The sum, the kept values and the good ones, sources too.
    """
    total, n_kept, n_all = 0.0, 0, 0
    for p in range(template.size):
        sky = np.float64(template[p])
        if sky == 0 or np.isnan(sky):
            continue
        gap = mean[p] - sky * scale
        if count[p]:
            total += squares[p] + count[p] * gap * gap
        n_kept += count[p]
        n_all += n_good[p]
    return total, n_kept, n_all


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
