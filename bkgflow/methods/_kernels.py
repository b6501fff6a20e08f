"""The compiled loops behind ``clip``: pixels in tiles, exposures in the outer loop.

A tile is a run of neighbouring pixels with all their exposures, small enough to stay in the
cache. Every inner loop runs along the tile, does the same to each pixel and has no branch, so
that the compiler turns it into SIMD; it takes four exposures at once, so that sums are read
and written once for the four. What a pixel gets depends on its own values alone, never on its
place in a tile: the result is the same, bit for bit, however an image is cut.

All pixels are averaged as if nothing were clipped. Two cheap tests, neither of which needs a
median, find the few of which a value may lie outside the first bounds: too many rather than too
few. Those are gathered from the tiles into a batch, sorted and clipped there, in SIMD again, and
written over what was found at first. Sums run in the order of the exposures in both places.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bkgflow.methods._compiled import compiled
from bkgflow.methods._outliers import clip, gather, new_batch, note, write_kept
from bkgflow.methods._tiles import Tile, choose, copy_rest, find, find_limits, load, new_tile

__all__ = ["average"]

Reals = NDArray[Any]
Doubles = NDArray[np.float64]
Flags = NDArray[np.uint32]
Indices = NDArray[np.int64]
Bools = NDArray[np.bool_]

CACHED_VALUES = 65536
"""Values that a tile aims to hold: 256 or 512 kB, which come from the L2 or L3 data cache when
they are read again. The stacks come from memory: long runs of each exposure matter more."""

NARROWEST, WIDEST = 64, 8192
"""Tile widths, pixels (both multiples of 8): below, entering the loops costs time; above,
nothing is gained."""

BATCH = 256
"""So many pixels are clipped at once, if a tile does not bring more: they stay in L1 or L2."""

FEW_INCOMPLETE = 1 / 16
"""Up to this share of a tile may have lost a value before the slower loop that masks takes
over from the batch."""


@compiled
def _incomplete(width: int, n: int, valid: NDArray[np.float32]) -> int:
    number = 0
    for t in range(width):
        number += 1 if valid[t] < n else 0
    return number


@compiled
def _mark_incomplete(width: int, n: int, valid: NDArray[np.float32], found: Bools) -> int:
    number = 0
    for t in range(width):
        found[t] |= valid[t] < n
        number += 1 if found[t] else 0
    return number


@compiled
def _add_incomplete(width: int, n: int, number: int, tile: Tile) -> tuple[int, bool]:
    """Mark pixels that lack a value too, unless they are many; return how many are marked now.

    Either their ERR is summed in the batch, or that of the whole tile is to be masked.
    """
    incomplete = _incomplete(width, n, tile.valid)
    masked = incomplete > FEW_INCOMPLETE * width
    if incomplete > 0 and not masked:
        if number == 0:
            tile.found[:width] = False
        number = _mark_incomplete(width, n, tile.valid, tile.found)
    return number, masked


@compiled
def _add_squares(err: Reals, members: Indices, start: int, stop: int, variance: Doubles) -> None:
    for k in range(0, members.size - 3, 4):
        row0, row1 = err[members[k], start:stop], err[members[k + 1], start:stop]
        row2, row3 = err[members[k + 2], start:stop], err[members[k + 3], start:stop]
        for t in range(stop - start):
            a, b = np.float64(row0[t]), np.float64(row1[t])
            c, d = np.float64(row2[t]), np.float64(row3[t])
            variance[t] = (((variance[t] + a * a) + b * b) + c * c) + d * d


@compiled
def _add_masked_variances(
    sci: Reals, err: Reals, members: Indices, start: int, stop: int, variance: Doubles
) -> None:
    """Sum ERR² where SCI is finite."""
    inf = sci.dtype.type(np.inf)
    for k in range(members.size):
        row, errors = sci[members[k], start:stop], err[members[k], start:stop]
        for t in range(stop - start):
            e = np.float64(errors[t])
            variance[t] += e * e if abs(row[t]) < inf else 0.0


@compiled
def _or(dq: Flags, members: Indices, start: int, stop: int, bits: Flags) -> None:
    for k in range(0, members.size - 3, 4):
        row0, row1 = dq[members[k], start:stop], dq[members[k + 1], start:stop]
        row2, row3 = dq[members[k + 2], start:stop], dq[members[k + 3], start:stop]
        for t in range(stop - start):
            bits[t] |= (row0[t] | row1[t]) | (row2[t] | row3[t])


@compiled
def _add_variances(
    err: Reals, members: Indices, rest: Reals, four: Indices, start: int, stop: int,
    variance: Doubles,
) -> None:  # fmt: skip
    """Sum ERR² of all members."""
    _add_squares(err, members, start, stop, variance)
    if members.size % 4:
        copy_rest(err, members, start, stop, rest)
        _add_squares(rest, four, 0, stop - start, variance)


@compiled
def _join_flags(
    dq: Flags, members: Indices, rest: Flags, four: Indices, start: int, stop: int, bits: Flags
) -> None:
    """Join the DQ of all members."""
    _or(dq, members, start, stop, bits)
    if members.size % 4:
        copy_rest(dq, members, start, stop, rest)
        _or(rest, four, 0, stop - start, bits)


@compiled
def _store(
    start: int, stop: int, tile: Tile,
    mean_out: Reals, err_out: Reals, dq_out: Flags, n_out: NDArray[np.uint16],
) -> None:  # fmt: skip
    total, variance, count, bits = tile.total, tile.variance, tile.valid, tile.bits
    means, errs = mean_out[start:stop], err_out[start:stop]
    flags, used = dq_out[start:stop], n_out[start:stop]
    for t in range(stop - start):
        means[t] = total[t] / np.float64(count[t])
    for t in range(errs.size):
        errs[t] = np.sqrt(variance[t]) / np.float64(count[t])
    for t in range(stop - start):
        flags[t] = bits[t]
        used[t] = count[t]


@compiled
def average(
    sci: Reals, err: Reals, dq: Flags, members: Indices, network: Indices,
    sigma: float, reach: float, maxiters: int,
    mean_out: Reals, err_out: Reals, dq_out: Flags, n_out: NDArray[np.uint16],
) -> None:  # fmt: skip
    """Clip and average some members of (n, n_pixels) stacks into (n_pixels,) outputs.

    ``sigma`` = inf means no clip at all, ``maxiters`` = 0 to convergence. ``network`` is
    ``sorting_network(len(members))``. ``reach``: no value nearer to the mean than so many
    standard deviations can be outside the first bounds. Without ERR, ``err`` has no members and
    ``err_out`` no pixels.
    """
    with_err = err.shape[0] > 0
    n, n_pixels, info = members.size, sci.shape[1], np.finfo(sci.dtype)
    wide = min(max(CACHED_VALUES // n // 8 * 8, NARROWEST), WIDEST)
    tile, batch = new_tile(wide, sci.dtype), new_batch(n, wide + BATCH, sci.dtype, err.dtype)
    limits = find_limits(n, info.eps, info.tiny, info.max)
    four, sci_rest = np.arange(4), np.full((4, wide), np.nan).astype(sci.dtype)
    err_rest, dq_rest = np.zeros((4, wide), err.dtype), np.zeros((4, wide), np.uint32)
    used = 0
    for start in range(0, n_pixels, wide):
        stop = min(start + wide, n_pixels)
        load(sci, members, sci_rest, four, start, stop, tile)
        number = 0
        if sigma < np.inf:
            number = find(sci, members, sci_rest, four, start, stop, sigma, reach, limits, tile)
        masked = False
        if with_err:
            number, masked = _add_incomplete(stop - start, n, number, tile)
        if number > 0:
            number = choose(stop - start, tile.found, tile.chosen)
            gather(sci, members, start, tile.chosen, number, used, batch.values)
        if masked:
            _add_masked_variances(sci, err, members, start, stop, tile.variance)
        elif with_err:
            _add_variances(err, members, err_rest, four, start, stop, tile.variance)
        if number > 0:
            if with_err:
                gather(err, members, start, tile.chosen, number, used, batch.errors)
            note(start, tile.chosen, number, used, batch.place)
            used += number
        _join_flags(dq, members, dq_rest, four, start, stop, tile.bits)
        _store(start, stop, tile, mean_out, err_out, dq_out, n_out)
        if used > BATCH or stop == n_pixels:
            clip(batch, used, network, sigma, maxiters)
            write_kept(batch, used, mean_out, err_out, n_out)
            used = 0
