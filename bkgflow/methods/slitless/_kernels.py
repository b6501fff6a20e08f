"""The compiled loops behind ``scale``: background pixels gathered once, summed, and cut.

All arrays are one-dimensional over the background pixels. A rejected pixel's SCI becomes NaN,
which every comparison and sum passes over, so that a round of rejection costs one pass to find
the tails and a look at these alone. Sums are in float64.
"""

from __future__ import annotations

import numpy as np

from bkgflow.methods._compiled import compiled, inlined
from bkgflow.methods.arrays import Bools, Doubles, Integers, Reals, Words

__all__ = [
    "add_dropped", "drop", "normal_sums", "profile_squares", "residuals", "subtract_one", "tails",
    "take_far", "take_pixels",
]  # fmt: skip


BLOCK = 1024
"""Pixels whose residuals are looked at together: they stay in a core's nearest cache."""


@compiled
def take_pixels(
    sci: Reals, err: Reals, mask: Bools, templates: Reals, by_columns: bool, start: int, stop: int,
    s: Reals, b: Reals, v: Reals, counts: Integers,
) -> int:  # fmt: skip
    """Copy the usable pixels into s, b (k, n) and v = ERR²; return how many there are.

    They come row by row, or column by column, from the line ``start`` up to ``stop``, without
    it; ``counts`` gets how many each of these lines gave. A pixel
    is usable where SCI and all templates are finite and ERR is not 0. Where ERR is not finite,
    v is infinite: it takes part in the percentiles, as in the reference step, but in no sum.
    """
    n = 0
    ny, nx = sci.shape
    if by_columns:
        for column in range(start, stop):
            before = n
            for row in range(ny):
                variance = err[row, column] * err[row, column]
                good = mask[row, column] and np.isfinite(sci[row, column]) and variance != 0.0
                for k in range(templates.shape[0]):
                    good = good and np.isfinite(templates[k, row, column])
                if good:
                    s[n] = sci[row, column]
                    v[n] = variance if variance > 0.0 else np.inf
                    for k in range(templates.shape[0]):
                        b[k, n] = templates[k, row, column]
                    n += 1
            counts[column - start] = n - before
        return n
    places, usable = np.empty(nx, np.uint32), np.empty(nx, np.bool_)
    for row in range(start, stop):
        # Along the SIMD, and then without a branch: nobody foretells which one comes next.
        _mark(sci[row], err[row], mask[row], templates, row, usable)
        found = 0
        for column in range(nx):
            places[found] = column
            found += usable[column]
        _gather(
            sci[row], err[row], templates, row, places[:found],
            s[n : n + found], b, v[n : n + found], n,
        )  # fmt: skip
        counts[row - start] = found
        n += found
    return n


@inlined
def _mark(
    sci: Reals, err: Reals, mask: Bools, templates: Reals, row: int, usable: Bools
) -> None:  # fmt: skip
    """Say which pixels of a row are usable."""
    for i in range(sci.size):
        usable[i] = mask[i] & (abs(sci[i]) < np.inf) & (err[i] * err[i] != 0.0)
    for k in range(templates.shape[0]):
        template = templates[k, row]
        for i in range(sci.size):
            usable[i] &= abs(template[i]) < np.inf


@inlined
def _gather(
    sci: Reals, err: Reals, templates: Reals, row: int, places: Words,
    s: Reals, b: Reals, v: Reals, first: int,
) -> None:  # fmt: skip
    """Copy the usable pixels of a row, of one array after the other: the cache holds a row."""
    for i in range(places.size):
        s[i] = sci[places[i]]
    for i in range(places.size):
        variance = err[places[i]] * err[places[i]]
        v[i] = variance if variance > 0.0 else np.inf
    for k in range(templates.shape[0]):
        template, taken = templates[k, row], b[k, first : first + places.size]
        for i in range(places.size):
            taken[i] = template[places[i]]


def _normal_sums(s: Reals, b: Reals, v: Reals, n: int, matrix: Doubles, vector: Doubles) -> int:
    """Fill the normal equations from the first n pixels; return how many have a weight."""
    used = 0
    for i in range(n):
        used += v[i] < np.inf and not np.isnan(s[i])
    for k in range(b.shape[0]):
        total = 0.0
        for i in range(n):
            kept = not np.isnan(s[i])
            total += b[k, i] / np.float64(v[i]) * s[i] if kept else 0.0
        vector[k] = total
        for j in range(k + 1):
            total = 0.0
            for i in range(n):
                kept = not np.isnan(s[i])
                total += b[k, i] / np.float64(v[i]) * b[j, i] if kept else 0.0
            matrix[k, j] = total
            matrix[j, k] = total
    return used


normal_sums = compiled(_normal_sums, fastmath={"reassoc", "nsz"})


@inlined
def _residual(s: Reals, b: Reals, factors: Doubles, i: int) -> float:
    model = factors[0] * b[0, i]
    for k in range(1, b.shape[0]):
        model += factors[k] * b[k, i]
    residual: float = s[i] - model
    return residual


@compiled
def residuals(
    s: Reals, b: Reals, start: int, stop: int, step: int, factors: Doubles, out: Doubles
) -> int:
    """Write every ``step``-th residual s - factors·b, if not rejected; return how many."""
    found = 0
    for i in range(start, stop, step):
        residual = _residual(s, b, factors, i)
        if not np.isnan(residual):
            out[found] = residual
            found += 1
    return found


@compiled
def tails(
    s: Reals, b: Reals, n: int, factors: Doubles, low: float, high: float,
    values: Doubles, where: Integers,
) -> tuple[int, int]:  # fmt: skip
    """Collect residuals ≤ low from the front on and those ≥ high from the back, with indices.

    Returns how many there are of each; -1 and -1 if they do not fit into ``values``.
    """
    below, above = 0, 0
    size = values.size
    block, outer = np.empty(BLOCK, np.float64), np.empty(BLOCK, np.int64)
    for first in range(0, n, BLOCK):
        found = _find_outer(s, b, factors, first, min(BLOCK, n - first), low, high, block, outer)
        if below + above + found > size:
            return -1, -1
        for i in outer[:found]:
            if block[i] <= low:
                slot = below
                below += 1
            else:
                above += 1
                slot = size - above
            values[slot] = block[i]
            where[slot] = first + i
    return below, above


@compiled
def take_far(
    s: Reals, b: Reals, v: Reals, n: int, factors: Doubles, low: float, high: float,
    far_s: Reals, far_b: Reals, far_v: Reals, where: Integers,
) -> int:  # fmt: skip
    """Copy the pixels with residuals ≤ low or ≥ high, with their indices, one after the other.

    Returns how many there are; -1 if they do not fit.
    """
    taken, size = 0, where.size
    block, outer = np.empty(BLOCK, np.float64), np.empty(BLOCK, np.int64)
    for first in range(0, n, BLOCK):
        found = _find_outer(s, b, factors, first, min(BLOCK, n - first), low, high, block, outer)
        if taken + found > size:
            return -1
        for j in range(found):
            i = first + outer[j]
            where[taken + j] = i
            far_s[taken + j] = s[i]
            far_v[taken + j] = v[i]
            for k in range(b.shape[0]):
                far_b[k, taken + j] = b[k, i]
        taken += found
    return taken


@inlined
def _find_outer(
    s: Reals, b: Reals, factors: Doubles, first: int, count: int, low: float, high: float,
    block: Doubles, outer: Integers,
) -> int:  # fmt: skip
    """Write residuals of a block, and which are ≤ low or ≥ high; return how many these are.

    All residuals along the SIMD, then the outer ones without a branch.
    """
    _fill(s, b, factors, first, count, block)
    found = 0
    for i in range(count):
        outer[found] = i
        found += (block[i] <= low) | (block[i] >= high)
    return found


@inlined
def _fill(s: Reals, b: Reals, factors: Doubles, first: int, count: int, out: Doubles) -> None:
    """Write the residuals of so many pixels from one on: the numbers of `_residual`.

    Along views, with factors at hand: only then the compiler sees that they may be computed
    side by side.
    """
    data, sky, factor, left = s[first : first + count], b[0, first : first + count], factors[0], out
    if b.shape[0] == 1:
        for i in range(count):
            left[i] = data[i] - factor * sky[i]
        return
    for i in range(count):
        left[i] = factor * sky[i]
    for k in range(1, b.shape[0]):
        sky, factor = b[k, first : first + count], factors[k]
        for i in range(count):
            left[i] += factor * sky[i]
    for i in range(count):
        left[i] = data[i] - left[i]


@compiled
def drop(
    s: Reals, b: Reals, v: Reals, values: Doubles, where: Integers, below: int, above: int,
    low: float, high: float, data: Reals, sky: Reals, shares: Doubles,
) -> tuple[int, int]:  # fmt: skip
    """Reject residuals below low or above high, of the first and the last of ``values``.

    What they were is left in data, sky (k, n) and shares = sky / v, one after the other: sums
    over these take no time, while to find them in memory does, and can be done side by side.
    Returns how many were rejected, and how many of these had a weight.
    """
    size, number = values.size, b.shape[0]
    # First which ones, without a branch: then none of the reads waits for another.
    rejected, gone = np.empty(below + above, np.int64), 0
    for slot in range(below):
        rejected[gone] = where[slot]
        gone += (values[slot] < low) | (values[slot] > high)
    for slot in range(size - above, size):
        rejected[gone] = where[slot]
        gone += (values[slot] < low) | (values[slot] > high)
    weighted = 0
    for slot in range(gone):
        i = rejected[slot]
        weighted += v[i] < np.inf
        data[slot] = s[i]
        for k in range(number):
            sky[k, slot] = b[k, i]
            shares[k, slot] = b[k, i] / np.float64(v[i])
    for i in rejected[:gone]:
        s[i] = np.nan
    return gone, weighted


@compiled
def add_dropped(
    data: Reals, sky: Reals, shares: Doubles, gone: int, matrix: Doubles, vector: Doubles
) -> None:
    """Add what was rejected to the sums."""
    number = vector.size
    for slot in range(gone):
        for k in range(number):
            vector[k] += shares[k, slot] * data[slot]
            for j in range(number):
                matrix[k, j] += shares[k, slot] * sky[j, slot]


@compiled
def subtract_one(sci: Reals, sky: Reals, factor: float) -> None:
    """Subtract a scaled sky in place, (ny, nx) each, computed in float64."""
    for y in range(sci.shape[0]):
        row, away = sci[y], sky[y]
        for x in range(row.size):
            row[x] = np.float64(row[x]) - factor * np.float64(away[x])


@compiled
def profile_squares(
    s: Reals, b: Reals, counts: Integers, factors: Doubles
) -> tuple[float, int]:  # fmt: skip
    """Return the sum of the squared medians of the residuals of each line, and of how many."""
    most = 0
    for line in range(counts.size):
        most = max(most, counts[line])
    scratch = np.empty(most, np.float64)
    total, lines, first = 0.0, 0, 0
    for line in range(counts.size):
        n = 0
        for i in range(first, first + counts[line]):
            residual = _residual(s, b, factors, i)
            if not np.isnan(residual):
                scratch[n] = residual
                n += 1
        first += counts[line]
        if n > 0:
            total += np.median(scratch[:n]) ** 2
            lines += 1
    return total, lines
