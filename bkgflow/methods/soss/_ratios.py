"""The compiled loops over ratios of data to template."""

from __future__ import annotations

import numpy as np

from bkgflow.methods._compiled import compiled
from bkgflow.methods.arrays import Doubles, Floats, Integers, Words

__all__ = ["bracket_ratios", "finite_ratios", "narrow", "side_sums", "square_residuals"]

BLOCK = 512  # ratios worked on at a time: 2 kB, which stay in the first cache
FINE_BINS = 1 << 12  # bins that an interval is cut into to find an order statistic in it: 32 kB


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
    values: Floats, pixels: Words, template: Floats, bounds: Floats,
    below: Integers, kept: Integers, near: Floats, out: Floats,
) -> int:  # fmt: skip
    """Count the finite ratios of values to template, and for each of three intervals those below.

    ``bounds`` are the lowest and the highest ratio of each, (3, 2), both inclusive; they may
    overlap. The ratios inside any go to ``near``, those of each to ``out``, (3, capacity + 1),
    and their numbers to ``kept``: −1 first where ``near`` is too small.
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
def narrow(
    values: Floats, low: np.float32, high: np.float32, first: int, last: int, out: Floats
) -> tuple[int, int]:
    """Keep the few of many values among which two order statistics lie.

    All lie within ``low`` and ``high``; ranks count from 0, and the second is not below the first.
    Returns how many were kept, and the rank of the smallest of them.
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
    return kept, int(start)


@compiled
def side_sums(
    template: Floats, n_good: Words, count: Integers, mean: Doubles, squares: Doubles, scale: float
) -> tuple[float, int, int]:
    """Sum squared residuals from the moments at each pixel, where the template is usable.

    All values at a pixel have one template: their squares are those about their own mean and
    those of the mean. Nothing but a pixel with a template of 0 or NaN is left out. Also returns
    the number of values that were kept, and of good ones, sources too.
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


def _square_residuals(
    values: Floats, pixels: Words, template: Floats, scale: float
) -> tuple[float, int]:
    """Sum squared residuals where the ratio is finite, in any order; also return how many."""
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
