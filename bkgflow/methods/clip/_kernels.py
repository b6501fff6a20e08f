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

import numpy as np

from bkgflow.methods._compiled import compiled, inlined
from bkgflow.methods.arrays import Doubles, Integers, Reals, Words
from bkgflow.methods.clip._outliers import Batch, Output, append, clip_batch, write_kept
from bkgflow.methods.clip._tiles import Clip, Layer, Stack, Tile, choose, find, four_rows, load

__all__ = ["BATCH", "average_stack", "tile_width"]

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


def tile_width(n: int) -> int:
    """Return how many pixels of n exposures make a tile."""
    return min(max(CACHED_VALUES // n // 8 * 8, NARROWEST), WIDEST)


@inlined
def _add_squares(
    err: Layer[np.floating], members: Integers, start: int, stop: int, variance: Doubles
) -> None:
    """Sum ERR² of all members."""
    for k in range(0, members.size, 4):
        row0, row1, row2, row3 = four_rows(err, members, k, start, stop)
        for t in range(stop - start):
            a, b = np.float64(row0[t]), np.float64(row1[t])
            c, d = np.float64(row2[t]), np.float64(row3[t])
            # One after the other, as the batch does: the order of a sum is part of its result.
            variance[t] = (((variance[t] + a * a) + b * b) + c * c) + d * d


@inlined
def _add_masked_squares(
    sci: Reals, err: Reals, members: Integers, start: int, stop: int, variance: Doubles
) -> None:
    """Sum ERR² where SCI is finite."""
    inf = sci.dtype.type(np.inf)
    for k in range(members.size):
        row, errors = sci[members[k], start:stop], err[members[k], start:stop]
        for t in range(stop - start):
            e = np.float64(errors[t])
            variance[t] += e * e if abs(row[t]) < inf else 0.0


@inlined
def _join_flags(
    dq: Layer[np.uint32], members: Integers, start: int, stop: int, bits: Words
) -> None:
    """Join the DQ of all members."""
    for k in range(0, members.size, 4):
        row0, row1, row2, row3 = four_rows(dq, members, k, start, stop)
        for t in range(stop - start):
            bits[t] |= (row0[t] | row1[t]) | (row2[t] | row3[t])


@inlined
def _add_variances(stack: Stack, start: int, stop: int, number: int, tile: Tile) -> int:
    """Sum ERR² of what is finite; return how many pixels are now left to the batch.

    Pixels that lack a value go there too, unless they are many: then the whole tile is masked.
    """
    width, n, valid, found = stop - start, stack.members.size, tile.valid, tile.found
    incomplete = 0
    for t in range(width):
        incomplete += 1 if valid[t] < n else 0
    if incomplete > FEW_INCOMPLETE * width:
        sci, err = stack.sci.rows, stack.err.rows
        _add_masked_squares(sci, err, stack.members, start, stop, tile.variance)
        return number
    _add_squares(stack.err, stack.members, start, stop, tile.variance)
    if incomplete > 0:
        if number == 0:  # nobody has cleared what the tile before left there
            found[:width] = False
        number = 0
        for t in range(width):
            found[t] |= valid[t] < n
            number += 1 if found[t] else 0
    return number


@inlined
def _store(start: int, stop: int, tile: Tile, out: Output) -> None:
    """Write the averages of a tile; of outputs that are not wanted there is no pixel."""
    total, variance, count, bits = tile.total, tile.variance, tile.valid, tile.bits
    means, fine_means = out.sci[start:stop], out.fine_sci[start:stop]
    errs, fine_errs = out.err[start:stop], out.fine_err[start:stop]
    flags, used = out.dq[start:stop], out.n_used[start:stop]
    for t in range(means.size):
        means[t] = total[t] / np.float64(count[t])
    for t in range(fine_means.size):
        fine_means[t] = total[t] / np.float64(count[t])
    for t in range(errs.size):
        errs[t] = np.sqrt(variance[t]) / np.float64(count[t])
    for t in range(fine_errs.size):
        fine_errs[t] = np.sqrt(variance[t]) / np.float64(count[t])
    for t in range(stop - start):
        flags[t] = bits[t]
        used[t] = count[t]


@compiled
def average_stack(stack: Stack, clip: Clip, tile: Tile, batch: Batch, out: Output) -> None:
    """Clip and average the members of a stack into (n_pixels,) outputs.

    ``tile`` and ``batch`` are room to work in: for ``tile_width(n)`` pixels, and for BATCH more.
    """
    members, sci, err = stack.members, stack.sci.rows, stack.err.rows
    with_err, n_pixels, wide = err.shape[0] > 0, sci.shape[1], tile.total.size
    used = int(np.int64(0))  # a literal is another type: kernels would be compiled twice
    for start in range(0, n_pixels, wide):
        stop = min(start + wide, n_pixels)
        load(stack, start, stop, tile)
        number = 0
        if clip.sigma < np.inf:
            number = find(stack, start, stop, clip, tile)
        if with_err:
            number = _add_variances(stack, start, stop, number, tile)
        if number > 0:
            number = choose(stop - start, tile.found, tile.eights, tile.chosen)
            append(sci, members, start, tile.chosen, number, used, batch.values)
            if with_err:
                append(err, members, start, tile.chosen, number, used, batch.errors)
            for j in range(number):
                batch.pixel[used + j] = start + tile.chosen[j]
            used += number
        _join_flags(stack.dq, stack.flagged, start, stop, tile.bits)
        _store(start, stop, tile, out)
        # After the tile was stored: the batch writes over it.
        if used > BATCH or stop == n_pixels:
            clip_batch(batch, used, clip.network, clip.sigma, clip.maxiters)
            write_kept(batch, used, out)
            used = int(np.int64(0))
