"""The compiled loops over one tile of pixels: first sums, and the search for outliers.

The search errs only on the side of caution, and needs neither a median nor float64. Its first
test knows how far from the mean a value must be to be outside the first bounds at all
(``reach``). Where many pass it, a second one counts how many values are at least as far from
the highest (lowest) as a bound is from the median: unless these are half of all, the median is
nearer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bkgflow.methods._compiled import compiled

__all__ = ["Limits", "Tile", "choose", "copy_rest", "find", "find_limits", "load", "new_tile"]

Reals = NDArray[Any]
Doubles = NDArray[np.float64]
Flags = NDArray[np.uint32]
Indices = NDArray[np.int64]
Bools = NDArray[np.bool_]
Limits = tuple[float, float, float]

FEW_SUSPECTS = 1 / 32
"""Up to this share of a tile goes into the batch after the first test alone."""

CAUTION = 1e-3
"""Tightens the bounds of the search for suspects, far beyond the rounding of deviations."""


class Tile(NamedTuple):
    """What is known about each pixel of a tile."""

    total: Doubles
    valid: NDArray[np.float32]  # how many values are finite
    pivot: Reals  # the first finite value; the next four are of the deviations from it
    low: Reals
    high: Reals
    shifts: Reals  # their sum
    squares: Reals  # the sum of their squares
    variance: Doubles
    bits: Flags
    found: Bools
    chosen: Indices  # where ``found`` is set


@compiled
def new_tile(width: int, real: Any) -> Tile:
    """Return a tile of up to ``width`` pixels, a multiple of 8."""
    return Tile(
        np.empty(width), np.empty(width, np.float32), np.empty(width, real),
        np.empty(width, real), np.empty(width, real), np.empty(width, real),
        np.empty(width, real), np.empty(width), np.empty(width, np.uint32),
        np.zeros(width, np.bool_), np.empty(width + 1, np.int64),
    )  # fmt: skip


@compiled
def copy_rest(stack: Reals, members: Indices, start: int, stop: int, rest: Reals) -> None:
    """Copy what is left over when members are taken by fours; more rows of ``rest`` stay."""
    left = members.size % 4
    for k in range(left):
        row, copy = stack[members[members.size - left + k], start:stop], rest[k]
        for t in range(stop - start):
            copy[t] = row[t]


@compiled
def _clear(width: int, tile: Tile) -> None:
    total, count, variance, bits = tile.total, tile.valid, tile.variance, tile.bits
    pivot, low, high, shifts, squares = tile.pivot, tile.low, tile.high, tile.shifts, tile.squares
    zero, nan = low.dtype.type(0), low.dtype.type(np.nan)
    for t in range(width):
        total[t], variance[t], count[t], bits[t] = 0.0, 0.0, np.float32(0), np.uint32(0)
    for t in range(width):
        pivot[t], low[t], high[t], shifts[t], squares[t] = nan, zero, zero, zero, zero


@compiled
def _add(sci: Reals, members: Indices, start: int, stop: int, tile: Tile) -> None:
    """Sum what is finite, in float64, and its deviations from the pivot, in the input's type.

    The pivot is one of the values, so that the mean is at most sqrt(n - 1) standard deviations
    away from it: however high the level of a pixel, little of the deviations cancels.
    """
    total, count, pivot = tile.total, tile.valid, tile.pivot
    low, high, shifts, squares = tile.low, tile.high, tile.shifts, tile.squares
    inf, zero = sci.dtype.type(np.inf), sci.dtype.type(0)
    one, none = np.float32(1), np.float32(0)
    for k in range(0, members.size - 3, 4):
        row0, row1 = sci[members[k], start:stop], sci[members[k + 1], start:stop]
        row2, row3 = sci[members[k + 2], start:stop], sci[members[k + 3], start:stop]
        for t in range(stop - start):
            a, b, c, d, p = row0[t], row1[t], row2[t], row3[t], pivot[t]
            is_a, is_b, is_c, is_d = abs(a) < inf, abs(b) < inf, abs(c) < inf, abs(d) < inf
            some = (one if is_a else none) + (one if is_b else none)
            more = (one if is_c else none) + (one if is_d else none)
            count[t] += some + more
            subtotal = total[t] + np.float64(a if is_a else zero)
            subtotal += np.float64(b if is_b else zero)
            subtotal += np.float64(c if is_c else zero)
            total[t] = subtotal + np.float64(d if is_d else zero)
            first = a if is_a else (b if is_b else (c if is_c else d))
            p = p if abs(p) < inf else first
            pivot[t] = p
            a, b = a - p if is_a else zero, b - p if is_b else zero
            c, d = c - p if is_c else zero, d - p if is_d else zero
            low0, low1 = a if a < b else b, c if c < d else d
            low0 = low0 if low0 < low1 else low1
            low[t] = low0 if low0 < low[t] else low[t]
            high0, high1 = b if a < b else a, d if c < d else c
            high0 = high1 if high0 < high1 else high0
            high[t] = high0 if high0 > high[t] else high[t]
            shifts[t] += (a + b) + (c + d)
            squares[t] += (a * a + b * b) + (c * c + d * d)


@compiled
def load(
    sci: Reals, members: Indices, rest: Reals, four: Indices, start: int, stop: int, tile: Tile
) -> None:
    """Take the sums of a tile; ``rest`` has NaN where it has no member."""
    _clear(stop - start, tile)
    _add(sci, members, start, stop, tile)
    if members.size % 4:
        copy_rest(sci, members, start, stop, rest)
        _add(rest, four, 0, stop - start, tile)


@compiled
def find_limits(n: int, eps: float, tiny: float, largest: float) -> Limits:
    """Return what rounding may take from ``squares``, and between what these can be trusted.

    In units of ``squares`` S, with u = eps / 2: S is off by (n + 2) u, shifts² / n by 2 (n + 3) u.
    The farthest value is off by (n + 4) u sqrt(S); its square then by CAUTION of itself, which
    ``_suspects`` allows for, and the last term. Outside the other two, squares may have under-
    or overflown.
    """
    rounding = (n + 4) * eps
    return 4 * rounding + n * rounding * rounding / CAUTION, tiny * 2.0**26, largest * 2.0**-26


@compiled
def _suspects(width: int, reach: float, limits: Limits, tile: Tile) -> int:
    """Find pixels with a value that may be ``reach`` standard deviations from their mean."""
    count, found = tile.valid, tile.found
    low, high, shifts, squares = tile.low, tile.high, tile.shifts, tile.squares
    real = low.dtype.type
    share, least, most = real(1.0 - limits[0]), real(limits[1]), real(limits[2])
    limit = real(reach * reach * (1.0 - CAUTION))
    number = 0
    for t in range(width):
        m = real(count[t])
        mean = shifts[t] / m
        scatter = squares[t] * share - mean * shifts[t]
        below, above = mean - low[t], high[t] - mean
        farthest = below if below > above else above
        trusted = (squares[t] > least) & (squares[t] < most)
        near = trusted & (farthest * farthest * m <= limit * scatter)
        found[t] = (low[t] < high[t]) & (not near)
        number += 1 if found[t] else 0
    return number


@compiled
def _prepare_count(width: int, sigma: float, limits: Limits, tile: Tile) -> None:
    """Turn ``low`` and ``high`` into the levels that a median must reach to be far from them.

    The highest value is outside if the median is below it by more than sigma * std: then half
    of the values, or more, are. Both levels are a little too near to their extremes; where the
    squares cannot be trusted they are the extremes themselves, and all values count.
    """
    count, pivot = tile.valid, tile.pivot
    low, high, shifts, squares = tile.low, tile.high, tile.shifts, tile.squares
    real = low.dtype.type
    share, least, most = real(1.0 - limits[0]), real(limits[1]), real(limits[2])
    times, zero = real(sigma - CAUTION * (1.0 + sigma)), real(0)
    for t in range(width):
        m = real(count[t])
        scatter = squares[t] * share - shifts[t] / m * shifts[t]
        trusted = (squares[t] > least) & (squares[t] < most) & (scatter > zero)
        half = times * np.sqrt(scatter / m) if trusted else zero
        low[t], high[t] = pivot[t] + (low[t] + half), pivot[t] + (high[t] - half)
    for t in range(width):
        shifts[t], squares[t] = zero, zero


@compiled
def _count(sci: Reals, members: Indices, start: int, stop: int, tile: Tile) -> None:
    """Count the values up to ``high``, and those from ``low`` on."""
    low, high, below, above = tile.low, tile.high, tile.shifts, tile.squares
    one, none = sci.dtype.type(1), sci.dtype.type(0)
    for k in range(0, members.size - 3, 4):
        row0, row1 = sci[members[k], start:stop], sci[members[k + 1], start:stop]
        row2, row3 = sci[members[k + 2], start:stop], sci[members[k + 3], start:stop]
        for t in range(stop - start):
            a, b, c, d, lower, upper = row0[t], row1[t], row2[t], row3[t], low[t], high[t]
            some = (one if a <= upper else none) + (one if b <= upper else none)
            more = (one if c <= upper else none) + (one if d <= upper else none)
            below[t] += some + more
            some = (one if a >= lower else none) + (one if b >= lower else none)
            more = (one if c >= lower else none) + (one if d >= lower else none)
            above[t] += some + more


@compiled
def _confirm(width: int, tile: Tile) -> int:
    """Keep the suspects with half of the values, and so maybe the median, on the far side."""
    below, above, found, count = tile.shifts, tile.squares, tile.found, tile.valid
    number = 0
    for t in range(width):
        most = below[t] if below[t] > above[t] else above[t]
        found[t] &= most + most >= count[t]
        number += 1 if found[t] else 0
    return number


@compiled
def find(
    sci: Reals, members: Indices, rest: Reals, four: Indices, start: int, stop: int,
    sigma: float, reach: float, limits: Limits, tile: Tile,
) -> int:  # fmt: skip
    """Find the pixels of a loaded tile that may have a value outside; return how many."""
    width = stop - start
    number = _suspects(width, reach, limits, tile)
    if number > FEW_SUSPECTS * width:
        _prepare_count(width, sigma, limits, tile)
        _count(sci, members, start, stop, tile)
        if members.size % 4:
            _count(rest, four, 0, width, tile)
        number = _confirm(width, tile)
    return number


@compiled
def choose(width: int, found: Bools, chosen: Indices) -> int:
    """List the pixels found: eight at a time, as most often there are none."""
    eights = found.view(np.uint64)
    number = 0
    for first in range(0, width, 8):
        if eights[first // 8]:
            for t in range(first, min(first + 8, width)):
                chosen[number] = t
                number += 1 if found[t] else 0
    return number
