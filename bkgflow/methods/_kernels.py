"""The compiled loops behind ``clip``: pixels in tiles, exposures in the outer loop.

A tile is a run of neighbouring pixels with all their exposures, small enough to stay in the
cache. Every inner loop runs along the tile, does the same to each pixel and has no branch, so
that the compiler turns it into SIMD. What a pixel gets depends on its own values alone, never
on its place in a tile: the result is the same, bit for bit, however an image is cut.

One vectorised pass finds the pixels of which a value may lie outside the first bounds. Only
those, a few percent, are clipped one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["average", "compiled", "sorting_network"]

Function = TypeVar("Function", bound=Callable[..., Any])
Reals = NDArray[Any]
Doubles = NDArray[np.float64]
Flags = NDArray[np.uint32]
Indices = NDArray[np.int64]

CACHED_VALUES = 2048
"""Values that a tile aims to hold: 8 or 16 kB, a fraction of any L1 data cache."""

NARROWEST, WIDEST = 64, 512
"""Tile widths, pixels: below, entering the loops costs time; above, nothing is gained."""

CAUTION = 1.0 - 1e-9
"""Shrinks the first bounds of the search for suspects well beyond rounding, so that it finds
too many rather than too few."""


def compiled(function: Function, **options: Any) -> Function:
    """Compile in numba's nopython mode, without the GIL, as IEEE 754 has it.

    The machine code is kept on disk: beside the source, else in ``NUMBA_CACHE_DIR`` or the
    user's cache folder, and where none of them can be written it is made anew in each process.
    """
    options |= {"nogil": True, "error_model": "numpy"}
    try:
        return cast(Function, njit(cache=True, **options)(function))
    except RuntimeError:  # numba found no place for a cache
        return cast(Function, njit(**options)(function))


def _reordered(function: Function) -> Function:
    """Compile with sums in any order (SIMD along one pixel's values); NaN and inf stay safe."""
    return compiled(function, fastmath={"reassoc", "nsz"})


def _inlined(function: Function) -> Function:
    """Compile into the caller: the calls would cost a third of the time of clipping a pixel."""
    return compiled(function, inline="always")


@lru_cache(maxsize=64)
def sorting_network(n: int) -> NDArray[np.int64]:
    """Return the pairs (i, j), i < j, to compare and swap in turn so that n values get sorted.

    (n_pairs, 2) int64. Batcher's merge exchange: Knuth, The Art of Computer Programming,
    volume 3, section 5.2.2, algorithm M. The order of comparisons does not depend on the
    values, which lets one instruction sort many pixels.
    """
    pairs = []
    half = 1
    while half < n:
        step = half
        while step:
            for first in range(step % half, n - step, 2 * step):
                for i in range(first, min(first + step, n - step)):
                    if i // (2 * half) == (i + step) // (2 * half):
                        pairs.append((i, i + step))
            step //= 2
        half *= 2
    network = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    network.flags.writeable = False
    return network


@compiled
def _load(
    sci: Reals, members: Indices, start: int, stop: int, values: Reals, mean: Doubles, count: Reals
) -> None:
    """Copy a tile, inf for what is not finite; average what is."""
    width = stop - start
    mean[:width] = 0.0
    count[:width] = 0.0
    for k in range(members.size):
        row, kept = sci[members[k], start:stop], values[k]
        for t in range(width):
            x = row[t]
            finite = abs(x) < np.inf
            kept[t] = x if finite else np.inf
            mean[t] += np.float64(x) if finite else 0.0
            count[t] += 1.0 if finite else 0.0
    for t in range(width):
        mean[t] /= count[t]


@compiled
def _scatter(values: Reals, width: int, mean: Doubles, squares: Doubles) -> None:
    """Sum the squared deviations from the mean: two passes, or large levels would cancel."""
    squares[:width] = 0.0
    for k in range(values.shape[0]):
        row = values[k]
        for t in range(width):
            x = row[t]
            deviation = np.float64(x) - mean[t]
            squares[t] += deviation * deviation if x < np.inf else 0.0


@compiled
def _sort(values: Reals, width: int, network: NDArray[np.int64], ordered: Reals) -> None:
    """Sort every pixel of a tile along the exposures; inf comes last."""
    for k in range(values.shape[0]):
        row, copy = values[k], ordered[k]
        for t in range(width):
            copy[t] = row[t]
    for p in range(network.shape[0]):
        low, high = ordered[network[p, 0]], ordered[network[p, 1]]
        for t in range(width):
            x, y = low[t], high[t]
            low[t] = x if x < y else y
            high[t] = y if x < y else x


@compiled
def _farthest(ordered: Reals, width: int, count: Reals, reach: Doubles) -> None:
    """Find how far the extreme values of each pixel are from its median."""
    n = ordered.shape[0]
    bottom, left, right, top = ordered[0], ordered[(n - 1) // 2], ordered[n // 2], ordered[n - 1]
    for t in range(width):
        median = 0.5 * (np.float64(left[t]) + np.float64(right[t]))
        below, above = median - np.float64(bottom[t]), np.float64(top[t]) - median
        reach[t] = below if below > above else above
    for t in range(width):
        m = int(count[t])
        if m < n:
            median = 0.5 * (np.float64(ordered[(m - 1) // 2, t]) + np.float64(ordered[m // 2, t]))
            below, above = median - np.float64(bottom[t]), np.float64(ordered[m - 1, t]) - median
            reach[t] = max(below, above) if m > 0 else 0.0


@compiled
def _suspect(
    width: int, sigma: float, count: Reals, squares: Doubles, reach: Doubles, found: NDArray[Any]
) -> bool:
    """Mark the pixels of which a value may be outside: reach > sigma * std, without a root."""
    limit = sigma * sigma * CAUTION
    some = False
    for t in range(width):
        beyond = reach[t] * reach[t] * count[t] > limit * squares[t]
        found[t] = beyond
        some |= beyond
    return some


@_reordered
def _mean(column: Doubles, first: int, last: int) -> float:
    """Average column[first:last], which is finite; NaN for none."""
    total = 0.0
    for i in range(np.uint64(first), np.uint64(last)):  # unsigned: no test for an index < 0
        total += column[i]
    return total / (last - first)


@_reordered
def _deviations(column: Doubles, first: int, last: int, mean: float) -> float:
    """Sum the squared deviations of column[first:last] from its mean."""
    squares = 0.0
    for i in range(np.uint64(first), np.uint64(last)):
        squares += (column[i] - mean) * (column[i] - mean)
    return squares


@_inlined
def _inside(column: Doubles, first: int, last: int, lower: float, upper: float) -> tuple[int, int]:
    """Shrink the range of sorted values to those that are not outside the bounds."""
    while first < last and column[first] < lower:
        first += 1
    while last > first and column[last - 1] > upper:
        last -= 1
    return first, last


@_inlined
def _final_bounds(
    column: Doubles, n: int, squares: float, sigma: float, maxiters: int
) -> tuple[float, float]:
    """Clip n sorted values until none is dropped; who survives is always a range of them."""
    first, last, iteration = 0, n, 0
    while True:
        size = last - first
        half = sigma * np.sqrt(squares / size)
        median = 0.5 * (column[first + (size - 1) // 2] + column[first + size // 2])
        lower, upper = median - half, median + half
        first, last = _inside(column, first, last, lower, upper)
        iteration += 1
        if last - first == size or last == first or iteration == maxiters:
            return lower, upper
        squares = _deviations(column, first, last, _mean(column, first, last))


@_inlined
def _clip_pixel(
    t: int, sigma: float, maxiters: int, squares: Doubles, ordered: Reals, column: Doubles,
    values: Reals, mean: Doubles, count: Reals,
) -> None:  # fmt: skip
    """Clip one pixel: inf for what is outside the final bounds, the mean of the others."""
    n = int(count[t])
    for i in range(n):
        column[i] = ordered[i, t]
    lower, upper = _final_bounds(column, n, squares[t], sigma, maxiters)
    first, last = _inside(column, 0, n, lower, upper)
    mean[t] = _mean(column, first, last)
    count[t] = last - first
    for k in range(values.shape[0]):
        x = values[k, t]
        values[k, t] = np.inf if (x < lower) | (x > upper) else x


@compiled
def _quadrature(
    values: Reals, err: Reals, dq: Flags, members: Indices, start: int, stop: int,
    variance: Doubles, bits: Flags,
) -> None:  # fmt: skip
    """Sum ERR² of what was kept, and join the DQ of all."""
    width = stop - start
    variance[:width] = 0.0
    bits[:width] = 0
    for k in range(values.shape[0]):
        m = members[k]
        row, sigmas, flags = values[k], err[m, start:stop], dq[m, start:stop]
        for t in range(width):
            e = np.float64(sigmas[t])
            variance[t] += e * e if row[t] < np.inf else 0.0
            bits[t] |= flags[t]


@compiled
def average(
    sci: Reals, err: Reals, dq: Flags, members: Indices, network: Indices,
    sigma: float, maxiters: int,
    mean_out: Reals, err_out: Reals, dq_out: Flags, n_out: NDArray[np.uint16],
) -> None:  # fmt: skip
    """Clip and average some members of (n, n_pixels) stacks into (n_pixels,) outputs.

    ``sigma`` = inf means no clip at all, ``maxiters`` = 0 to convergence. ``network`` is
    ``sorting_network(len(members))``.
    """
    n, n_pixels = members.size, sci.shape[1]
    tile = min(max(CACHED_VALUES // n, NARROWEST), WIDEST)
    values, ordered = np.empty((n, tile), sci.dtype), np.empty((n, tile), sci.dtype)
    mean, squares, reach = np.empty(tile), np.empty(tile), np.empty(tile)
    count, bits = np.empty(tile, np.float32), np.empty(tile, np.uint32)
    found, column = np.empty(tile, np.bool_), np.empty(n)
    for start in range(0, n_pixels, tile):
        stop = min(start + tile, n_pixels)
        width = stop - start
        _load(sci, members, start, stop, values, mean, count)
        if sigma < np.inf:
            _scatter(values, width, mean, squares)
            _sort(values, width, network, ordered)
            _farthest(ordered, width, count, reach)
            if _suspect(width, sigma, count, squares, reach, found):
                for t in range(width):
                    if found[t]:
                        _clip_pixel(
                            t, sigma, maxiters, squares, ordered, column, values, mean, count
                        )
        _quadrature(values, err, dq, members, start, stop, squares, bits)
        means, errs, flags, used = (
            mean_out[start:stop], err_out[start:stop], dq_out[start:stop], n_out[start:stop]
        )  # fmt: skip
        for t in range(width):
            means[t] = mean[t]
            errs[t] = np.sqrt(squares[t]) / np.float64(count[t])
        for t in range(width):
            flags[t] = bits[t]
            used[t] = count[t]
