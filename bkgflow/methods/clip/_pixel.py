"""The compiled loops that look for the outliers of one pixel, by any rule but the usual one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bkgflow.methods._compiled import inlined
from bkgflow.methods.arrays import Bools, Doubles, Integers, Reals, Words

__all__ = [
    "MAD", "MINMAX", "NOISE", "NORMAL", "NOTHING", "ROUNDING", "SPREAD", "Exposures", "Room",
    "Rule", "Tile", "drop_far", "drop_noisy", "middle_of",
]  # fmt: skip

SPREAD, MAD, NOISE, MINMAX, NOTHING = range(5)
"""What is clipped: `bkgflow.rules.ClipRule.method` as a number."""

FEW = 24
"""So many values are sorted by insertion; more by a method that needs fewer comparisons."""

NORMAL = 1.482602218505602
"""The standard deviation of normal values over their median absolute deviation."""

NORMAL_MEAN = 1.2533141373155003
"""The same over their mean absolute deviation, sqrt(pi / 2)."""

ROUNDING = 2.0**-21
"""Four units in the last place of float32: values that are nearer do not differ, for ``robust``."""

ALONE = 1e-12
"""The least that all others weigh, beside a value, for ``noise``."""


class Exposures(NamedTuple):
    """The stack, (n_exposures, n_pixels) each and read-only, and who of it counts."""

    sci: Reals
    err: Reals  # of no exposure where ERR is not asked for
    dq: Words
    members: Integers
    weights: Doubles  # (n_exposures,): exposure times, or ones


class Rule(NamedTuple):
    """A rule as the loops need it."""

    clip: int
    below: bool  # whether low values may be dropped, and high ones
    above: bool
    sigma: float  # inf for no clip at all
    maxiters: int  # 0 for until nothing changes
    reach: float  # how far from the mean, in standard deviations, an outlier is at least
    median: bool
    weighted: bool
    by_err: bool
    needs_err: bool
    bad_bits: np.uint32
    percent: float
    network: Integers  # what sorts one pixel: `sorting_network`
    mad: Doubles  # by the number of values: what the MAD is too small by
    variance: Doubles  # by the number of values: the variance over that of a mean of those kept


class Tile(NamedTuple):
    """The values of some pixels, (n_members, n_pixels), and what is known about each pixel."""

    value: Doubles
    error: Doubles
    kept: Bools  # at first: which take part
    ordered: Doubles
    number: Doubles  # how many take part; the others are (n_pixels,)
    used: Doubles  # how many are kept
    pivot: Doubles  # the first value
    total: Doubles
    weights: Doubles
    spread: Doubles
    lowest: NDArray[np.int32]
    highest: NDArray[np.int32]
    bits: Words
    found: Bools


class Room(NamedTuple):
    """Room for one pixel: (n_members,)."""

    ordered: Doubles


@inlined
def _sort(values: Doubles, n: int) -> None:
    if n > FEW:
        values[:n].sort()
        return
    for i in range(1, n):
        x, j = values[i], i
        while j > 0 and values[j - 1] > x:
            values[j] = values[j - 1]
            j -= 1
        values[j] = x


@inlined
def middle_of(values: Doubles, first: int, stop: int) -> float:
    """Return the median of some sorted values."""
    low, high = values[(first + stop - 1) // 2], values[(first + stop) // 2]
    return 0.5 * (float(low) + float(high))


@inlined
def _spread(rule: Rule, ordered: Doubles, first: int, stop: int) -> float:
    """Return how far sorted values scatter around their median, or mean."""
    m, total = stop - first, 0.0
    if rule.clip == SPREAD:
        for j in range(first, stop):
            total += ordered[j]
        mean, squares = total / m, 0.0
        for j in range(first, stop):  # a second pass, or high levels would cancel
            squares += (ordered[j] - mean) * (ordered[j] - mean)
        return float(np.sqrt(squares / m))
    middle = middle_of(ordered, first, stop)
    spread = float(NORMAL * rule.mad[m] * _middle_deviation(ordered, first, stop, middle))
    if spread > 0.0:
        return spread
    # Where more than half are equal the others still tell something of the scatter.
    for j in range(first, stop):
        total += abs(ordered[j] - middle)
    return NORMAL_MEAN * total / m


@inlined
def _middle_deviation(ordered: Doubles, first: int, stop: int, middle: float) -> float:
    """Return the median distance of sorted values from their median, from there to both sides."""
    lower = (first + stop - 1) // 2
    upper, last, before = lower + 1, 0.0, 0.0
    for _ in range((stop - first) // 2 + 1):
        below = middle - ordered[lower] if lower >= first else np.inf
        above = ordered[upper] - middle if upper < stop else np.inf
        before = last
        if below <= above:
            last, lower = below, lower - 1
        else:
            last, upper = above, upper + 1
    return float(0.5 * (last + (last if (stop - first) % 2 else before)))


@inlined
def _sorted_values(rule: Rule, n: int, t: int, tile: Tile, room: Room) -> int:
    """Sort the values of a pixel that take part, and return how many they are."""
    ordered, number = room.ordered, 0
    if rule.clip == MAD:  # the tile was sorted before
        number = int(tile.number[t])
        for i in range(number):
            ordered[i] = tile.ordered[i, t]
        return number
    for i in range(n):
        if tile.kept[i, t]:
            ordered[number] = tile.value[i, t]
            number += 1
    _sort(ordered, number)
    return number


@inlined
def drop_far(rule: Rule, n: int, t: int, tile: Tile, room: Room) -> None:
    """Drop what is outside the last bounds around the median of what is kept.

    Those of the last iteration hold for all values: one that was dropped early can come back.
    """
    ordered, number, iteration = room.ordered, _sorted_values(rule, n, t, tile, room), 0
    first, stop, low, high = 0, number, -np.inf, np.inf
    while stop > first and (iteration < rule.maxiters or rule.maxiters == 0):
        half = rule.sigma * _spread(rule, ordered, first, stop)
        middle = middle_of(ordered, first, stop)
        if rule.clip == MAD and half < ROUNDING * abs(middle):
            half = ROUNDING * abs(middle)
        low = middle - half if rule.below else -np.inf
        high = middle + half if rule.above else np.inf
        before = stop - first
        while first < stop and ordered[first] < low:
            first += 1
        while first < stop and ordered[stop - 1] > high:
            stop -= 1
        if stop - first == before:
            break
        iteration += 1
    for i in range(n):
        tile.kept[i, t] &= not (tile.value[i, t] < low or tile.value[i, t] > high)


@inlined
def drop_noisy(rule: Rule, n: int, t: int, tile: Tile, room: Room) -> None:
    """Drop the value that is farthest from the others in units of its error, again and again.

    Its distance from the weighted mean of all is that from the mean of the others, but for a
    factor: over sqrt(e² - 1/W), where W is the sum of all weights, it is a normal deviate if ERR
    is right. Of two values nobody can say which is wrong, unless one side alone is.
    """
    pivot, left, iteration = tile.pivot[t], int(tile.number[t]), 0
    fewest, limit = 3 if rule.below and rule.above else 2, rule.sigma * rule.sigma
    while left >= fewest and (iteration < rule.maxiters or rule.maxiters == 0):
        total, weights = 0.0, 0.0
        for i in range(n):
            if tile.kept[i, t]:
                w = 1.0 / (tile.error[i, t] * tile.error[i, t])
                total += w * (tile.value[i, t] - pivot)  # or high levels would cancel
                weights += w
        mean, share = total / weights, 1.0 / weights
        worst, farthest = -1, limit
        for i in range(n):
            away = (tile.value[i, t] - pivot) - mean
            if tile.kept[i, t] and ((away > 0 and rule.above) or (away < 0 and rule.below)):
                # Where one weight is nearly all, the others' may be lost in rounding.
                own = max(tile.error[i, t] * tile.error[i, t] - share, ALONE * share)
                if away * away > farthest * own:
                    worst, farthest = i, away * away / own
        if worst < 0:
            return
        tile.kept[worst, t] = False
        left -= 1
        iteration += 1
