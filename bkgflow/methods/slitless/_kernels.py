"""The compiled loops behind ``scale``: background pixels marked once, summed, and cut.

All arrays are one-dimensional over the pixels. SCI is NaN where a pixel is not background, and
becomes NaN where it is rejected: every comparison and sum passes over it, so that a round of
rejection costs one pass to find the tails and a look at these alone. Sums are in float64.
"""

from __future__ import annotations

import numpy as np

from bkgflow.methods._compiled import compiled, inlined
from bkgflow.methods.arrays import Bools, Doubles, Integers, Reals, Words

__all__ = [
    "add_dropped", "drop", "leave_out", "mark_pixels", "normal_sums", "profile_squares",
    "residuals", "subtract_one", "tails", "take_far",
]  # fmt: skip


SIDE_BY_SIDE = frozenset({"reassoc", "nsz"})
"""What a compiler must be allowed before it adds up in several lanes."""

BLOCK = 1024
"""Pixels whose residuals are looked at together: they stay in a core's nearest cache."""


@compiled
def leave_out(usable: Bools, dq: Words, bits: int) -> None:
    """Take the pixels with some flags out of a mask."""
    for i in range(usable.size):
        usable[i] &= (dq[i] & bits) == 0


@compiled
def mark_pixels(
    sci: Reals, err: Reals, mask: Bools, templates: Reals, start: int, stop: int,
    s: Reals, v: Reals, largest: Reals,
) -> int:  # fmt: skip
    """Copy some rows into s, NaN where a pixel is not usable, and v = ERR²; count the usable.

    A pixel is usable where SCI and all templates are finite and ERR is not 0. Where ERR is not
    finite, v is infinite: it takes part in the percentiles, as in the reference step, but in no
    sum. ``largest`` (k, nx), given as zeros, gets the largest value of each template in a column,
    whatever its sign.

    Unusable pixels keep their places: to move the others together takes longer than to pass
    over them, for as many as a usual mask leaves out.
    """
    n, nx = 0, sci.shape[1]
    usable = np.empty(nx, np.bool_)
    for row in range(start, stop):
        _mark(sci[row], err[row], mask[row], templates, row, usable)
        _keep(sci[row], err[row], usable, s[row - start], v[row - start])
        for k in range(templates.shape[0]):
            _enlarge(templates[k, row], usable, largest[k])
        for i in range(nx):
            n += usable[i]
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
def _keep(sci: Reals, err: Reals, usable: Bools, s: Reals, v: Reals) -> None:
    """Copy a row."""
    for i in range(sci.size):
        s[i] = sci[i] if usable[i] else np.nan
    for i in range(sci.size):
        variance = err[i] * err[i]
        v[i] = variance if variance > 0.0 else np.inf


@inlined
def _enlarge(template: Reals, usable: Bools, largest: Reals) -> None:
    """Have each column know the largest value so far: a single one could not go along the SIMD."""
    for i in range(template.size):
        value = abs(template[i]) if usable[i] else largest[i]
        largest[i] = value if value > largest[i] else largest[i]


def _sums_of_one_sky(s: Reals, b: Reals, v: Reals, n: int) -> tuple[int, float, float]:
    """Return how many pixels have a weight, and the sums with and of one sky, in one pass."""
    used, data, square = 0, 0.0, 0.0
    for i in range(n):
        kept = not np.isnan(s[i])
        share = b[i] / np.float64(v[i])
        data += share * s[i] if kept else 0.0
        square += share * b[i] if kept else 0.0
        used += kept and v[i] < np.inf
    return used, data, square


_sums_of_one = inlined(_sums_of_one_sky, SIDE_BY_SIDE)


def _normal_sums(s: Reals, b: Reals, v: Reals, n: int, matrix: Doubles, vector: Doubles) -> int:
    """Fill the normal equations from the first n pixels; return how many have a weight."""
    used = 0
    for k in range(b.shape[0]):
        used, vector[k], matrix[k, k] = _sums_of_one(s, b[k], v, n)
        for j in range(k):
            total = 0.0
            for i in range(n):
                kept = not np.isnan(s[i])
                total += b[k, i] / np.float64(v[i]) * b[j, i] if kept else 0.0
            matrix[k, j] = total
            matrix[j, k] = total
    return used


normal_sums = compiled(_normal_sums, SIDE_BY_SIDE)


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
def profile_squares(s: Reals, b: Reals, length: int, factors: Doubles) -> tuple[float, int]:
    """Return the sum of the squared medians of the residuals of each line, and of how many."""
    scratch = np.empty(length, np.float64)
    total, lines = 0.0, 0
    for first in range(0, s.size, length):
        n = 0
        for i in range(first, first + length):
            residual = _residual(s, b, factors, i)
            if not np.isnan(residual):
                scratch[n] = residual
                n += 1
        if n > 0:
            total += np.median(scratch[:n]) ** 2
            lines += 1
    return total, lines
