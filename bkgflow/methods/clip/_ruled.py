"""The compiled loops for every rule but the usual one, in float64.

A tile is a run of neighbouring pixels with all their exposures. What is done to each pixel alike
runs along the tile, so that the compiler turns it into SIMD; a pixel that may have an outlier is
looked at by itself. Sums run in the order of the exposures: a result does not depend on how an
image is cut, and the usual rule gets here what the loops of ``_kernels`` give, bit for bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bkgflow.methods._compiled import compiled, inlined
from bkgflow.methods.clip._outliers import Output
from bkgflow.methods.clip._pixel import (
    MAD,
    MINMAX,
    NOISE,
    NORMAL,
    NOTHING,
    ROUNDING,
    Exposures,
    Room,
    Rule,
    Tile,
    drop_far,
    drop_noisy,
    middle_of,
)

__all__ = ["by_rule"]

CAUTION = 1e-6
"""Tightens the search for pixels with outliers, beyond the rounding of sums."""


@inlined
def _load(stack: Exposures, rule: Rule, start: int, width: int, tile: Tile) -> None:
    """Copy a tile; what takes no part becomes 0."""
    inf, with_err = np.inf, stack.err.shape[0] > 0
    for t in range(width):
        tile.number[t], tile.bits[t], tile.pivot[t] = 0.0, np.uint32(0), 0.0
    for i in range(stack.members.size):
        k = stack.members[i]
        sci, dq = stack.sci[k, start : start + width], stack.dq[k, start : start + width]
        value, error, part = tile.value[i], tile.error[i], tile.kept[i]
        for t in range(width):
            x = np.float64(sci[t])
            takes_part = (abs(x) < inf) & ((dq[t] & rule.bad_bits) == 0)
            value[t], part[t] = x if takes_part else 0.0, takes_part
            tile.bits[t] |= dq[t]
        if with_err:
            err = stack.err[k, start : start + width]
            for t in range(width):
                error[t] = np.float64(err[t])
        if rule.needs_err:  # or nobody can say how far from the others a value may be
            for t in range(width):
                inverse = 1.0 / (error[t] * error[t])
                part[t] &= (error[t] > 0.0) & (inverse > 0.0) & (inverse < inf)
        for t in range(width):
            tile.pivot[t] = value[t] if part[t] & (tile.number[t] == 0.0) else tile.pivot[t]
            tile.number[t] += 1.0 if part[t] else 0.0


@inlined
def _find_noisy(rule: Rule, n: int, width: int, tile: Tile) -> None:
    """Find the pixels of which a value may be too far from the others for its error."""
    total, weights, worst = tile.total, tile.weights, tile.spread
    for t in range(width):
        total[t], weights[t], worst[t] = 0.0, 0.0, 0.0
    for i in range(n):
        value, error, part = tile.value[i], tile.error[i], tile.kept[i]
        for t in range(width):
            w = 1.0 / (error[t] * error[t])
            total[t] += w * (value[t] - tile.pivot[t]) if part[t] else 0.0
            weights[t] += w if part[t] else 0.0
    for t in range(width):
        total[t] /= weights[t]
        weights[t] = 1.0 / weights[t]
    limit = rule.sigma * rule.sigma * (1.0 - CAUTION)
    for i in range(n):
        value, error, part = tile.value[i], tile.error[i], tile.kept[i]
        for t in range(width):
            away = (value[t] - tile.pivot[t]) - total[t]
            own = error[t] * error[t] - weights[t]
            near = away * away < limit * own  # turned round: NaN counts as found
            worst[t] += 1.0 if part[t] & (not near) else 0.0
    for t in range(width):
        tile.found[t] = worst[t] > 0.0


@inlined
def _find_far(rule: Rule, n: int, width: int, tile: Tile) -> None:
    """Find the pixels of which a value may be outside the first bounds around the median.

    By how far from the mean it must be at least: see `bkgflow.methods.clip.search.bound`.
    """
    total, squares, farthest = tile.total, tile.weights, tile.spread
    for t in range(width):
        total[t], squares[t], farthest[t] = 0.0, 0.0, 0.0
    for i in range(n):
        value, part = tile.value[i], tile.kept[i]
        for t in range(width):
            total[t] += value[t] - tile.pivot[t] if part[t] else 0.0
    for t in range(width):
        total[t] /= tile.number[t]
    for i in range(n):
        value, part = tile.value[i], tile.kept[i]
        for t in range(width):
            away = (value[t] - tile.pivot[t]) - total[t] if part[t] else 0.0
            square = away * away
            squares[t] += square
            farthest[t] = square if square > farthest[t] else farthest[t]
    limit = rule.reach * rule.reach * (1.0 - CAUTION)
    for t in range(width):
        trusted = (squares[t] > 1e-280) & (squares[t] < 1e280)
        near = trusted & (farthest[t] * tile.number[t] < limit * squares[t])
        tile.found[t] = not near


@inlined
def _sort_tile(rule: Rule, n: int, width: int, tile: Tile) -> None:
    """Sort the values of every pixel that are kept; those that are not are infinite."""
    network = rule.network
    for i in range(n):
        value, kept, row = tile.value[i], tile.kept[i], tile.ordered[i]
        for t in range(width):
            row[t] = value[t] if kept[t] else np.inf
    for p in range(network.shape[0]):
        low, high = tile.ordered[network[p, 0]], tile.ordered[network[p, 1]]
        for t in range(width):
            x, y = low[t], high[t]
            low[t] = x if x < y else y
            high[t] = y if x < y else x


@inlined
def _find_apart(rule: Rule, n: int, width: int, tile: Tile) -> None:
    """Find the pixels of which a value may be outside the first robust bounds.

    Along sorted values the distance from their median falls, then rises: the k-th smallest is the
    least that k neighbours have at the farther one of their ends.
    """
    _sort_tile(rule, n, width, tile)
    ordered, middle, low, high = tile.ordered, tile.total, tile.weights, tile.spread
    for t in range(width):
        middle[t] = 0.5 * (ordered[(n - 1) // 2, t] + ordered[n // 2, t])
        low[t], high[t] = np.inf, np.inf
    for k, least in ((n + 1) // 2, low), (n // 2 + 1, high):
        for i in range(n - k + 1):
            left, right = ordered[i], ordered[i + k - 1]
            for t in range(width):
                below, above = middle[t] - left[t], right[t] - middle[t]
                away = below if below > above else above
                least[t] = away if away < least[t] else least[t]
    lowest, highest = ordered[0], ordered[n - 1]
    for t in range(width):
        spread = NORMAL * rule.mad[n] * (0.5 * (low[t] + high[t]))
        half = max(rule.sigma * spread, ROUNDING * abs(middle[t])) * (1.0 - CAUTION)
        near_below = (lowest[t] > middle[t] - half) | (not rule.below)
        near_above = (highest[t] < middle[t] + half) | (not rule.above)
        near = (tile.number[t] == n) & (spread > 0.0) & near_below & near_above
        tile.found[t] = (tile.number[t] > 1.0) & (not near)


@inlined
def _drop_ends(rule: Rule, n: int, width: int, tile: Tile) -> None:
    """Drop the first of the lowest and the last of the highest; at least one value is left."""
    low, high, lowest, highest = tile.total, tile.weights, tile.lowest, tile.highest
    fewest = 3.0 if rule.below and rule.above else 2.0
    for t in range(width):
        low[t], high[t], lowest[t], highest[t] = np.inf, -np.inf, -1, -1
    for i in range(n):
        value, part = tile.value[i], tile.kept[i]
        for t in range(width):
            x, counts = value[t], part[t] & (tile.number[t] >= fewest)
            lower, higher = counts & (x < low[t]), counts & (x >= high[t])
            low[t], lowest[t] = x if lower else low[t], i if lower else lowest[t]
            high[t], highest[t] = x if higher else high[t], i if higher else highest[t]
    for i in range(n):
        kept = tile.kept[i]
        for t in range(width):
            gone = (rule.below & (lowest[t] == i)) | (rule.above & (highest[t] == i))
            kept[t] &= not gone


@inlined
def _drop(rule: Rule, n: int, width: int, tile: Tile, room: Room) -> None:
    if rule.clip == MINMAX:
        _drop_ends(rule, n, width, tile)
    if rule.clip in (MINMAX, NOTHING) or rule.sigma == np.inf:
        return
    if rule.clip == NOISE:
        _find_noisy(rule, n, width, tile)
    elif rule.clip == MAD:
        _find_apart(rule, n, width, tile)
    else:
        if rule.reach == np.inf:
            return
        _find_far(rule, n, width, tile)
    for t in range(width):
        if tile.found[t]:
            if rule.clip == NOISE:
                drop_noisy(rule, n, t, tile, room)
            else:
                drop_far(rule, n, t, tile, room)


@inlined
def _average(stack: Exposures, rule: Rule, n: int, width: int, tile: Tile) -> None:
    """Find the mean of what is kept, weighted or not, and its error."""
    total, variance, weights, count = tile.total, tile.spread, tile.weights, tile.used
    for t in range(width):
        total[t], variance[t], weights[t], count[t] = 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        kept = tile.kept[i]
        for t in range(width):
            count[t] += 1.0 if kept[t] else 0.0
    for i in range(n):
        value, error, kept = tile.value[i], tile.error[i], tile.kept[i]
        time = stack.weights[stack.members[i]]
        if rule.weighted:
            for t in range(width):
                w = 1.0 / (error[t] * error[t]) if rule.by_err else time
                w = w if count[t] > 1.0 else 1.0  # one value is as it is, whatever it weighs
                total[t] += w * value[t] if kept[t] else 0.0
                variance[t] += (w * error[t]) * (w * error[t]) if kept[t] else 0.0
                weights[t] += w if kept[t] else 0.0
        else:
            for t in range(width):
                total[t] += value[t] if kept[t] else 0.0
                variance[t] += error[t] * error[t] if kept[t] else 0.0
    for t in range(width):
        w = weights[t] if rule.weighted else count[t]
        total[t], variance[t] = total[t] / w, np.sqrt(variance[t]) / w


@inlined
def _medians(rule: Rule, n: int, width: int, tile: Tile) -> None:
    """Find the medians of what is kept, of three values and more, and the errors to be scaled.

    A median is decided by the values with small errors: it has the error of their harmonic mean.
    """
    inverse, ordered = tile.weights, tile.ordered
    for t in range(width):
        inverse[t] = 0.0
    for i in range(n):
        error, kept = tile.error[i], tile.kept[i]
        for t in range(width):
            inverse[t] += 1.0 / abs(error[t]) if kept[t] else 0.0
    _sort_tile(rule, n, width, tile)
    for t in range(width):
        if tile.used[t] > 2.0:
            tile.total[t] = middle_of(ordered[:, t], 0, int(tile.used[t]))
            tile.spread[t] = np.sqrt(tile.used[t]) / inverse[t]


@inlined
def _flags_of_used(stack: Exposures, rule: Rule, p: int, t: int, tile: Tile) -> np.uint32:
    """Return the flags that enough of the used exposures have."""
    found = np.uint32(0)
    for bit in range(32):
        flag = np.uint32(1) << np.uint32(bit)
        if (tile.bits[t] & flag) != 0:
            number = 0
            for i in range(stack.members.size):
                has = (stack.dq[stack.members[i], p] & flag) != 0
                number += 1 if tile.kept[i, t] and has else 0
            if number > 0 and 100.0 * number >= rule.percent * tile.used[t]:
                found |= flag
    return found


@inlined
def _store(stack: Exposures, rule: Rule, start: int, width: int, tile: Tile, out: Output) -> None:
    """Write the results of a tile; of outputs that are not wanted there is no pixel."""
    for t in range(width):
        m = int(tile.number[t] if rule.clip == MINMAX else tile.used[t])
        tile.spread[t] *= np.sqrt(rule.variance[m])
    single, single_err = out.sci[start : start + width], out.err[start : start + width]
    fine, fine_err = out.fine_sci[start : start + width], out.fine_err[start : start + width]
    for t in range(single.size):
        single[t] = tile.total[t]
    for t in range(fine.size):
        fine[t] = tile.total[t]
    for t in range(single_err.size):
        single_err[t] = tile.spread[t]
    for t in range(fine_err.size):
        fine_err[t] = tile.spread[t]
    flags, used = out.dq[start : start + width], out.n_used[start : start + width]
    for t in range(flags.size):
        flags[t] = tile.bits[t]
        used[t] = tile.used[t]
        if rule.percent > 0.0 and tile.bits[t] != 0 and tile.used[t] > 0.0:
            flags[t] = _flags_of_used(stack, rule, start + t, t, tile)


@compiled
def by_rule(
    stack: Exposures, rule: Rule, tile: Tile, room: Room, out: Output, dropped: NDArray[np.bool_]
) -> None:
    """Clip and combine the members of a stack into (n_pixels,) outputs.

    ``dropped`` gets which values were, (n_members, n_pixels); it has no row where nobody asks.
    """
    n, n_pixels, wide = stack.members.size, stack.sci.shape[1], tile.number.size
    for start in range(0, n_pixels, wide):
        width = min(wide, n_pixels - start)
        _load(stack, rule, start, width, tile)
        for i in range(dropped.shape[0]):
            for t in range(width):  # slices would compile the words of an error for other shapes
                dropped[i, start + t] = tile.kept[i, t]
        _drop(rule, n, width, tile, room)
        for i in range(dropped.shape[0]):
            for t in range(width):
                dropped[i, start + t] &= not tile.kept[i, t]
        _average(stack, rule, n, width, tile)
        if rule.median:
            _medians(rule, n, width, tile)
        _store(stack, rule, start, width, tile, out)
