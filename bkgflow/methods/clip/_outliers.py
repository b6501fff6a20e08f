"""The compiled loops that clip a batch of pixels: exposures outside, pixels along the SIMD.

A pixel's values are sorted once. Those that are kept are then always a range of them, and each
iteration makes two passes over all: one that counts and sums what is within the bounds so far,
one that sums squared deviations from that mean, for the next bounds. Once nothing is dropped
from a pixel, another iteration finds the same bounds again, bit for bit, so that a pixel may
have to wait for its neighbours in the batch but never gets another result for it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bkgflow.methods._compiled import inlined
from bkgflow.methods.arrays import Doubles, Floats, Integers, Reals, Words

__all__ = ["Batch", "Output", "append", "clip_batch", "new_batch", "write_kept"]

LARGEST = float(np.finfo(np.float64).max)
"""Bounds that let through all but what is not finite."""


class Batch(NamedTuple):
    """Pixels that may be clipped: their numbers, values in exposure order and sorted, and sums."""

    pixel: Integers
    values: Reals
    errors: Reals
    ordered: Reals
    total: Doubles
    squares: Doubles
    size: Doubles
    first: Doubles  # so many of the sorted are below ``low``
    low: Doubles  # what is still kept is within these
    high: Doubles
    lower: Doubles  # the bounds of the last iteration
    upper: Doubles


class Output(NamedTuple):
    """Where the averages go, (n_pixels,) each; what is not wanted has no pixel.

    Single and double precision side by side: one compiled loop does for both.
    """

    sci: Floats
    err: Floats
    fine_sci: Doubles
    fine_err: Doubles
    dq: Words
    n_used: NDArray[np.uint16]


def new_batch(n: int, room: int, real: DTypeLike) -> Batch:
    """Return a batch for up to ``room`` pixels of n values each."""
    return Batch(
        np.empty(room, np.int64), np.empty((n, room), real), np.empty((n, room), real),
        np.empty((n, room), real), np.empty(room), np.empty(room), np.empty(room),
        np.empty(room), np.empty(room), np.empty(room), np.empty(room), np.empty(room),
    )  # fmt: skip


@inlined
def append(
    stack: Reals,
    members: Integers,
    start: int,
    chosen: Integers,
    number: int,
    used: int,
    into: Reals,
) -> None:
    """Append the chosen pixels of a tile that begins at ``start``."""
    for k in range(members.size):
        row, to = stack[members[k], start:], into[k, used:]
        for j in range(number):
            to[j] = row[np.uint64(chosen[j])]  # unsigned: no test for an index < 0


@inlined
def _sort(batch: Batch, used: int, network: Integers) -> None:
    """Sort every pixel along the exposures; what is not finite comes last, as inf."""
    values, ordered = batch.values, batch.ordered
    inf = values.dtype.type(np.inf)
    for k in range(values.shape[0]):
        row, copy = values[k], ordered[k]
        for j in range(used):
            copy[j] = row[j] if abs(row[j]) < inf else inf
    for p in range(network.shape[0]):
        low, high = ordered[network[p, 0]], ordered[network[p, 1]]
        for j in range(used):
            x, y = low[j], high[j]
            low[j] = x if x < y else y
            high[j] = y if x < y else x


@inlined
def _sum_kept(batch: Batch, used: int) -> bool:
    """Sum and count what is kept; return whether that is another number than before."""
    ordered, total, before = batch.ordered, batch.total, batch.squares
    size, first, low, high = batch.size, batch.first, batch.low, batch.high
    for j in range(used):
        before[j] = size[j]
        total[j], size[j], first[j] = 0.0, 0.0, 0.0
    for k in range(ordered.shape[0]):
        row = ordered[k]
        for j in range(used):
            x = np.float64(row[j])
            inside = (x >= low[j]) & (x <= high[j])
            total[j] += x if inside else 0.0
            size[j] += 1.0 if inside else 0.0
            first[j] += 1.0 if x < low[j] else 0.0
    changed = False
    for j in range(used):
        changed |= size[j] != before[j]
    return changed


@inlined
def _move_bounds(batch: Batch, used: int, sigma: float) -> None:
    """Set the bounds around the median; a pixel that has lost all its values keeps its own."""
    ordered, mean, squares, first = batch.ordered, batch.total, batch.squares, batch.first
    size, low, high, lower, upper = batch.size, batch.low, batch.high, batch.lower, batch.upper
    for j in range(used):
        squares[j] = 0.0
        mean[j] /= size[j]
    for k in range(ordered.shape[0]):  # a second pass, or high levels would cancel
        row = ordered[k]
        for j in range(used):
            x = np.float64(row[j])
            inside = (x >= low[j]) & (x <= high[j])
            deviation = x - mean[j]
            squares[j] += deviation * deviation if inside else 0.0
    for j in range(used):
        squares[j] = sigma * np.sqrt(squares[j] / size[j])
    for j in range(used):
        m, i = int(size[j]), int(first[j])
        if m > 0:
            left, right = ordered[i + (m - 1) // 2, j], ordered[i + m // 2, j]
            median = 0.5 * (np.float64(left) + np.float64(right))
            lower[j], upper[j] = median - squares[j], median + squares[j]
            low[j] = lower[j] if lower[j] > low[j] else low[j]
            high[j] = upper[j] if upper[j] < high[j] else high[j]


@inlined
def clip_batch(batch: Batch, used: int, network: Integers, sigma: float, maxiters: int) -> None:
    """Find the final bounds of the pixels; ``sigma`` = inf for none, ``maxiters`` = 0 for all."""
    for j in range(used):
        batch.size[j] = -1.0
        batch.low[j], batch.high[j] = -LARGEST, LARGEST
        batch.lower[j], batch.upper[j] = -LARGEST, LARGEST
    if sigma == np.inf:
        return
    _sort(batch, used, network)
    iteration = 0
    while _sum_kept(batch, used) and (iteration < maxiters or maxiters == 0):
        _move_bounds(batch, used, sigma)
        iteration += 1


@inlined
def write_kept(batch: Batch, used: int, out: Output) -> None:
    """Average what is within the final bounds, also what an earlier iteration had dropped."""
    values, errors, lower, upper = batch.values, batch.errors, batch.lower, batch.upper
    total, variance, size, pixel = batch.total, batch.squares, batch.size, batch.pixel
    for j in range(used):
        total[j], variance[j], size[j] = 0.0, 0.0, 0.0
    for k in range(values.shape[0]):
        row, sigmas = values[k], errors[k]
        for j in range(used):
            x, e = np.float64(row[j]), np.float64(sigmas[j])
            outside = (x < lower[j]) | (x > upper[j])
            kept = (abs(x) < np.inf) & (not outside)
            total[j] += x if kept else 0.0
            variance[j] += e * e if kept else 0.0
            size[j] += 1.0 if kept else 0.0
    for j in range(used):
        total[j] /= size[j]
        variance[j] = np.sqrt(variance[j]) / size[j]
    single, fine = out.sci.size > 0, out.fine_sci.size > 0
    single_err, fine_err = out.err.size > 0, out.fine_err.size > 0
    for j in range(used):
        p = pixel[j]
        out.n_used[p] = size[j]
        if single:
            out.sci[p] = total[j]
        if fine:
            out.fine_sci[p] = total[j]
        if single_err:
            out.err[p] = variance[j]
        if fine_err:
            out.fine_err[p] = variance[j]
