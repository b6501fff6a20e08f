"""The compiled loops over one tile of pixels: first sums, and the search for outliers.

The search errs only on the side of caution, and needs neither a median nor float64. Its first
test knows how far from the mean a value must be to be outside the first bounds at all
(``reach``). Where many pass it, a second one counts how many values are at least as far from
the highest (lowest) as a bound is from the median: unless these are half of all, the median is
nearer.
"""

from __future__ import annotations

import math
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from bkgflow.methods._compiled import inlined, read_only
from bkgflow.methods.arrays import Bools, Doubles, Floats, Integers, Reals, Words, placed

__all__ = [
    "CAUTION", "Clip", "Layer", "Stack", "Tile", "choose", "find", "four_rows", "load",
    "new_layer", "new_tile",
]  # fmt: skip

Number = TypeVar("Number", bound=np.generic)

FEW_SUSPECTS = 1 / 32  # up to this share of a tile goes into the batch after the first test alone
CAUTION = 1e-3
"""Tightens the bounds of the search for suspects, far beyond the rounding of deviations."""


class Layer(NamedTuple, Generic[Number]):
    """What the exposures hold of one sort; both read-only."""

    rows: NDArray[Number]  # (n_exposures, n_pixels)
    blank: NDArray[Number]  # a row that adds nothing


def new_layer(
    exposures: NDArray[Number], dtype: np.dtype[Number], width: int, nothing: float
) -> Layer[Number]:
    """Return the layer of (n_exposures, ny, nx), for tiles of up to ``width`` pixels."""
    shape = len(exposures), math.prod(exposures.shape[1:])
    blank = read_only(np.full(width, nothing), dtype)
    return Layer(read_only(exposures, dtype).reshape(shape), blank)


class Stack(NamedTuple):
    """The exposures, and which of them count."""

    sci: Layer[np.floating]
    err: Layer[np.floating]  # of no exposure where ERR is not asked for
    dq: Layer[np.uint32]
    members: Integers
    flagged: Integers  # whose DQ is joined: the members, or the one row that has all of theirs


class Clip(NamedTuple):
    """A rule as the loops need it."""

    sigma: float  # inf for no clip at all
    reach: float  # how far from the mean an outlier is at least; below 0 where nobody knows
    maxiters: int  # 0 for until nothing changes
    network: Integers  # what sorts one pixel: `sorting_network`
    rounding: float  # the last three: see `_limits`
    least: float
    most: float


class Tile(NamedTuple):
    """What is known about each pixel of a tile."""

    total: Doubles
    valid: Floats  # how many values are finite
    pivot: Reals  # the first finite value; the next four are of the deviations from it
    low: Reals
    high: Reals
    shifts: Reals  # their sum
    squares: Reals  # the sum of their squares
    variance: Doubles
    bits: Words
    found: Bools
    eights: NDArray[np.uint64]  # ``found`` again, eight pixels at a time
    chosen: Integers  # where ``found`` is set


def new_tile(width: int, real: np.dtype[np.floating]) -> Tile:
    """Return a tile of up to ``width`` pixels, a multiple of 8."""
    found = np.zeros(width, np.bool_)
    return Tile(
        placed(0, width, np.float64), placed(1, width, np.float32), placed(2, width, real),
        placed(3, width, real), placed(4, width, real), placed(5, width, real),
        placed(6, width, real), placed(7, width, np.float64), placed(8, width, np.uint32),
        found, found.view(np.uint64), np.empty(width + 1, np.int64),
    )  # fmt: skip


@inlined
def four_rows(
    layer: Layer[Number], members: Integers, k: int, start: int, stop: int
) -> tuple[NDArray[Number], NDArray[Number], NDArray[Number], NDArray[Number]]:
    """Return the parts in a tile of four members from the k-th on.

    Behind the last member come rows that add nothing: no number of members needs other loops.
    """
    n, rows, blank = members.size, layer.rows, layer.blank[: stop - start]
    return (
        rows[members[k], start:stop],
        rows[members[k + 1], start:stop] if k + 1 < n else blank,
        rows[members[k + 2], start:stop] if k + 2 < n else blank,
        rows[members[k + 3], start:stop] if k + 3 < n else blank,
    )


@inlined
def load(stack: Stack, start: int, stop: int, tile: Tile) -> None:
    """Sum what is finite, in float64, and its deviations from the pivot, in the input's type.

    The pivot is one of the values, so that the mean is at most sqrt(n - 1) standard deviations
    away from it: however high the level of a pixel, little of the deviations cancels.
    """
    total, count, pivot = tile.total, tile.valid, tile.pivot
    low, high, shifts, squares = tile.low, tile.high, tile.shifts, tile.squares
    inf, zero = low.dtype.type(np.inf), low.dtype.type(0)
    one, none = np.float32(1), np.float32(0)
    for t in range(stop - start):
        total[t], tile.variance[t], count[t], tile.bits[t] = 0.0, 0.0, none, np.uint32(0)
    for t in range(stop - start):
        pivot[t], low[t], high[t], shifts[t], squares[t] = inf, zero, zero, zero, zero
    for k in range(0, stack.members.size, 4):
        row0, row1, row2, row3 = four_rows(stack.sci, stack.members, k, start, stop)
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


@inlined
def find(stack: Stack, start: int, stop: int, clip: Clip, tile: Tile) -> int:
    """Find the pixels of a loaded tile that may have a value outside; return how many.

    That is, a value that may be ``reach`` standard deviations from their mean. The comparison
    is turned round, ``not near``, so that NaN counts as found.
    """
    count, found, width = tile.valid, tile.found, stop - start
    low, high, shifts, squares = tile.low, tile.high, tile.shifts, tile.squares
    if clip.reach < 0.0:  # nothing is known of such outliers: every pixel is sorted
        found[:width] = True
        return width
    real = low.dtype.type
    share, least, most = real(1.0 - clip.rounding), real(clip.least), real(clip.most)
    limit = real(clip.reach * clip.reach * (1.0 - CAUTION))
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
    # The second test reads the whole stack again: it pays only where the first found many.
    return _confirm(stack, start, stop, clip, tile) if number > FEW_SUSPECTS * width else number


@inlined
def _confirm(stack: Stack, start: int, stop: int, clip: Clip, tile: Tile) -> int:
    """Keep the suspects with half of the values, and so maybe the median, on the far side.

    The highest value is outside if the median is below it by more than sigma * std: then half
    of the values, or more, are. Both levels are a little too near to their extremes; where the
    squares cannot be trusted they are the extremes themselves, and all values count. What the
    tile knew of extremes and squares is lost.
    """
    count, pivot, found, width = tile.valid, tile.pivot, tile.found, stop - start
    low, high, shifts, squares = tile.low, tile.high, tile.shifts, tile.squares
    real = low.dtype.type
    share, least, most = real(1.0 - clip.rounding), real(clip.least), real(clip.most)
    times, none = real(clip.sigma - CAUTION * (1.0 + clip.sigma)), real(0)
    for t in range(width):
        m = real(count[t])
        scatter = squares[t] * share - shifts[t] / m * shifts[t]
        trusted = (squares[t] > least) & (squares[t] < most) & (scatter > none)
        half = times * np.sqrt(scatter / m) if trusted else none
        low[t], high[t] = pivot[t] + (low[t] + half), pivot[t] + (high[t] - half)
    below, above = shifts, squares  # their room, for values up to ``high`` and from ``low`` on
    for t in range(width):
        below[t], above[t] = none, none
    _count(stack, start, stop, tile)
    number = 0
    for t in range(width):
        farther = below[t] if below[t] > above[t] else above[t]
        found[t] &= farther + farther >= count[t]
        number += 1 if found[t] else 0
    return number


@inlined
def _count(stack: Stack, start: int, stop: int, tile: Tile) -> None:
    """Count the values up to ``high``, and those from ``low`` on."""
    low, high, below, above = tile.low, tile.high, tile.shifts, tile.squares
    one, none = low.dtype.type(1), low.dtype.type(0)
    for k in range(0, stack.members.size, 4):
        row0, row1, row2, row3 = four_rows(stack.sci, stack.members, k, start, stop)
        for t in range(stop - start):
            a, b, c, d, lower, upper = row0[t], row1[t], row2[t], row3[t], low[t], high[t]
            some = (one if a <= upper else none) + (one if b <= upper else none)
            more = (one if c <= upper else none) + (one if d <= upper else none)
            below[t] += some + more
            some = (one if a >= lower else none) + (one if b >= lower else none)
            more = (one if c >= lower else none) + (one if d >= lower else none)
            above[t] += some + more


@inlined
def choose(width: int, found: Bools, eights: NDArray[np.uint64], chosen: Integers) -> int:
    """List the pixels found: eight at a time, as most often there are none."""
    number = 0
    for first in range(0, width, 8):
        if eights[first // 8]:
            for t in range(first, min(first + 8, width)):
                chosen[number] = t  # without a branch: what is not found is written over
                number += 1 if found[t] else 0
    return number
