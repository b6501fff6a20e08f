"""The compiled loops along a stream of integrations: one look at each pixel, no copy of a cube.

A float32 is ordered by its bits once the sign is taken care of. The upper 16 bits name one of
65536 bins, the lower 16 the place in it: two counts find any order statistic exactly.
"""

from __future__ import annotations

import numpy as np

from bkgflow.detector import DO_NOT_USE, REFERENCE_PIXEL
from bkgflow.methods._compiled import compiled
from bkgflow.methods.arrays import Bools, Doubles, Floats, Integers, Reals, Words

__all__ = [
    "BINS", "add_up", "collect_sky", "count_high", "drop_sources", "pixel_moments", "subtract_sky",
]  # fmt: skip

BINS = 1 << 16

BAD = np.uint32(DO_NOT_USE | REFERENCE_PIXEL)
SIGN = np.uint32(1 << 31)
EXPONENT = np.uint32(0x7F800000)
LOW = np.uint32(BINS - 1)
HALF = np.uint32(16)

NOT_GOOD = np.uint32(0xFFFFFFFF)
"""Stands in for the ordered bits of a pixel that is not good; no finite number has them."""


@compiled
def count_high(bits: Words, dq: Words, bins: Integers) -> None:
    """Count the good pixels by the upper half of their ordered bits.

    ``bins``, (2, 65537), are two counts to be added up: neighbours fall into one bin, and a bin
    that was just written must be waited for. The last place takes what is not good.
    """
    for k in range(bits.size):
        word = bits[k]
        good = (dq[k] & BAD) == 0 and (word & EXPONENT) != EXPONENT
        ordered = ~word if word & SIGN else word | SIGN
        bins[k & 1, np.int64(ordered >> HALF) if good else BINS] += 1


@compiled
def add_up(bins: Integers, total: Integers, fractions: Doubles, found: Integers) -> None:
    """Add an integration's counts to those of all, (65536,), and set them to 0.

    ``found`` gets the bin in which each of its quantiles lies, for fractions that rise: −1
    where nothing is counted.
    """
    n = 0
    for b in range(total.size):
        n += bins[0, b] + bins[1, b]
    below, which = 0, 0
    found[:] = -1
    for b in range(total.size):
        here = bins[0, b] + bins[1, b]
        total[b] += here
        below += here
        while which < fractions.size and n > 0 and below > fractions[which] * (n - 1):
            found[which] = b
            which += 1
    bins[:] = 0


@compiled
def collect_sky(
    bits: Words, dq: Words, high: Integers, low_bins: Integers, n_good: Words, counted: Integers,
    taken: Integers, values: Words, pixels: Words, ends: Integers, first: int, used: Bools,
) -> None:  # fmt: skip
    """Collect the pixels of the fit that may be sky on one side of the step, and count others.

    Parameters
    ----------
    bits, dq : (n, ny, nx) uint32
        SCI as its bits, and the flags, from integration ``first`` on.
    high : (2,) int64
        The bins of the two order statistics around the threshold; the first is not above the
        second. Pixels above the second bin are sources.
    low_bins, n_good : (2, 65536) int64, (ny, columns) uint32
        Counts within those bins, and of good pixels in the columns that are fitted. Changed.
    counted, taken : (2,) int64
        The first column that is counted, and the one behind the last; and of which pixels are
        collected.
    values, pixels : (capacity + 1,) uint32
        The collected bits, and where they lie in a flat frame. Changed.
    ends : (n_integrations + 1,) int64
        How much is collected up to each integration. Changed.
    used : (n_integrations,) bool
        Of the others nothing is collected or counted.
    """
    n, ny, _ = bits.shape
    columns = n_good.shape[1]
    start, stop = counted[0], counted[1]
    begin, width = min(start, taken[0]), max(stop, taken[1]) - min(start, taken[0])
    row = np.empty(width, np.uint32)
    near = np.zeros((stop - start + 7) // 8 * 8, np.uint8)
    eights = near.view(np.uint64)
    high0, high1 = np.uint32(high[0]), np.uint32(high[1])
    limit = np.uint32(high[1] * BINS + BINS - 1)
    own, sky = row[start - begin : stop - begin], row[taken[0] - begin : taken[1] - begin]
    for i in range(n):
        end = ends[first + i]
        for y in range(ny if used[first + i] else 0):
            words, flags = bits[i, y, begin : begin + width], dq[i, y, begin : begin + width]
            for x in range(width):
                word = words[x]
                bad = ((flags[x] & BAD) != 0) | ((word & EXPONENT) == EXPONENT)
                ordered = word ^ SIGN if word < SIGN else ~word
                row[x] = NOT_GOOD if bad else ordered
            good = n_good[y, start : min(stop, columns)]
            for x in range(good.size):
                good[x] += np.uint32(1) if own[x] != NOT_GOOD else np.uint32(0)
            for x in range(own.size):
                near[x] = (own[x] >> HALF == high0) | (own[x] >> HALF == high1)
            for eight in range(eights.size):
                if eights[eight]:
                    for x in range(8 * eight, min(8 * eight + 8, own.size)):
                        if own[x] >> HALF == high0:
                            low_bins[0, own[x] & LOW] += 1
                        elif own[x] >> HALF == high1:
                            low_bins[1, own[x] & LOW] += 1
            # Without branches: a wrong guess costs more than a write that is undone.
            place = y * columns + taken[0]
            mine = words[taken[0] - begin : taken[1] - begin]
            for x in range(sky.size):
                values[end], pixels[end] = mine[x], place + x
                end += sky[x] <= limit
        ends[first + i + 1] = end


@compiled
def drop_sources(values: Floats, pixels: Words, ends: Integers, threshold: np.float32) -> None:
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
def pixel_moments(
    values: Floats, pixels: Words, count: Integers, mean: Doubles, squares: Doubles
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
def subtract_sky(
    sci: Reals, template: Floats, steps: Integers, left: Doubles, right: Doubles
) -> None:
    """Subtract scaled sides of a template from (n, ny, nx), in place, rounded once.

    ``left`` and ``right`` are the scales of each integration, (n,) float64.
    """
    n, ny, nx = sci.shape
    for i in range(n):
        for y in range(ny):
            step = min(max(steps[y], 0), nx)
            for side in range(2):
                scale = right[i] if side else left[i]
                part = sci[i, y, step:] if side else sci[i, y, :step]
                sky = template[y, step:] if side else template[y, :step]
                for x in range(part.size):
                    part[x] -= np.float64(sky[x]) * scale
