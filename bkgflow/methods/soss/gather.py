"""The pixels that matter for a SOSS fit, gathered out of a stream of integrations.

The source threshold is a percentile over all good pixels of all integrations, but for those that
are far from the others. It is found in two looks at the stream, which may lie in files: the first
counts, the second finds the exact value and collects at once what may be below. No cube is held.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from bkgflow.methods.arrays import Bools, Doubles, Floats, Integers, Words
from bkgflow.methods.soss._stream import (
    BINS,
    add_up,
    collect_sky,
    count_high,
    drop_sources,
    pixel_moments,
)
from bkgflow.methods.soss.outlying import FRACTIONS, outlying
from bkgflow.methods.soss.ranks import interpolate, neighbours, sampled
from bkgflow.methods.soss.regions import LAST_FIT_COLUMN
from bkgflow.methods.soss.segments import OnlyColumns, Segment, common_frame, stream

__all__ = ["Gathered", "Side", "gather_sky"]

SIDES = 0, 1
"""Left and right of the step."""


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """Pixels below the source threshold that may lie on one side of the step.

    ``values``, ``pixels`` (their places in a flat frame of (ny, columns), the columns that are
    fitted) and ``ends`` go on from integration to integration; the rest is of each pixel.
    """

    values: Floats
    pixels: Words
    ends: Integers  # (n_integrations + 1,): where each one's begin, and the last one's end
    sample: tuple[Floats, Words]  # some of the values, and their pixels
    count: Integers  # how many of them lie there
    mean: Doubles  # 0 without any
    squares: Doubles  # their sum, about the mean


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """What the fit works on."""

    sides: tuple[Side, Side]  # they overlap in the columns where templates differ in their steps
    threshold: float | tuple[float, float]  # of sources, or one a side; NaN: no pixel is good
    n_good: Words  # (ny, columns): good pixels, sources too
    lengths: tuple[int, ...]  # integrations of each segment
    levels: Doubles  # of each integration, the 25 percent quantile of its good pixels
    outlying: Bools  # (n_integrations,): nothing is taken from these


def gather_sky(
    segments: Sequence[Segment],
    percentile: float | tuple[float, float],
    edges: tuple[int, int],
    *,
    threads: int = 1,
) -> Gathered:
    """Find the source threshold of all segments together and collect what is below.

    Integrations that are far from the others (`outlying`) take no part in it.

    Parameters
    ----------
    segments : sequence of Segment
        At least one; each is read twice, five times with two percentiles, once more where an
        integration is outlying.
    percentile : float, or (float, float)
        Of all good pixels: finite, neither DO_NOT_USE nor REFERENCE_PIXEL. Two are of the
        columns that are fitted left and right of the step, each side for itself.
    edges : (int, int)
        Column behind the last one of the left side, first column of the right side.
    threads : int
        That count side by side. The result is the same.

    Raises
    ------
    ShapeError
        The segments do not fit each other, or a chunk is not as its segment said.
    """
    ny, nx = common_frame(segments)
    columns = min(nx, LAST_FIT_COLUMN + 1)
    lengths = tuple(segment.shape[0] for segment in segments)
    counts, quantiles = _look(segments, np.ones(sum(lengths), bool), threads)
    far = outlying(quantiles)
    if isinstance(percentile, tuple):
        sides, limits = list[Side](), list[float]()
        good = np.zeros((ny, columns), np.uint32)
        # Twice what the two looks take, and no second way to count.
        for i, part in enumerate((slice(0, edges[0]), slice(edges[1], columns))):
            own = [OnlyColumns(segment, part) for segment in segments]
            counts, _ = _look(own, ~far, threads)
            both, threshold, n_good = _collect(own, counts, ~far, percentile[i], edges, columns)
            sides.append(both[i])
            limits.append(threshold)
            np.maximum(good, n_good, out=good)
        two = (sides[0], sides[1]), (limits[0], limits[1])
        return Gathered(*two, good, lengths, quantiles[:, -1], far)
    if far.any():
        counts, _ = _look(segments, ~far, threads)
    both, threshold, good = _collect(segments, counts, ~far, percentile, edges, columns)
    return Gathered(both, threshold, good, lengths, quantiles[:, -1], far)


def _look(segments: Sequence[Segment], used: Bools, threads: int) -> tuple[Integers, Doubles]:
    """Count the good pixels by the upper half of their bits; return quantiles of integrations.

    (65536,) int64, and (n_integrations, 2) float64: the lower ends of the quantiles' bins.
    """
    # What each thread counts, from scratch for each integration and in all.
    own = [(np.zeros((2, BINS + 1), np.int64), np.zeros(BINS, np.int64)) for _ in range(threads)]
    fractions, places = np.array(FRACTIONS), np.full((used.size, len(FRACTIONS)), -1, np.int64)

    def count(start: int, sci: Words, dq: Words, thread: int) -> None:
        for i in range(thread, len(sci), threads):
            if used[start + i]:
                count_high(sci[i].reshape(-1), dq[i].reshape(-1), own[thread][0])
                add_up(*own[thread], fractions, places[start + i])

    with ThreadPoolExecutor(threads) as pool:
        for start, sci, dq in stream(segments):
            list(pool.map(partial(count, start, sci, dq), range(min(threads, len(sci)))))
    quantiles = np.where(places < 0, np.nan, _values(np.maximum(places, 0) << 16))
    return np.sum([total for _, total in own], axis=0), quantiles


def _collect(
    segments: Sequence[Segment],
    counts: Integers,
    used: Bools,
    percentile: float,
    edges: tuple[int, int],
    columns: int,
) -> tuple[tuple[Side, Side], float, Words]:
    """Return both sides, the threshold, and how often each pixel of the fit is good."""
    ny, _ = common_frame(segments)
    n_good, n = int(counts.sum()), used.size
    good = np.zeros((ny, columns), np.uint32)
    if not n_good:
        none, ends = np.empty(0, np.uint32), np.zeros(n + 1, np.int64)
        nothing = _side(none, none, ends, 0.0, good.size)
        return (nothing, nothing), float("nan"), good
    first, last, weight = neighbours(n_good, percentile / 100)
    below = np.cumsum(counts)
    high = np.searchsorted(below, (first, last), side="right")
    widths = edges[0], max(0, columns - edges[1])
    room = [min(int(below[high[1]]), n * ny * width) + 1 for width in widths]
    values = np.empty(room[0], np.uint32), np.empty(room[1], np.uint32)
    pixels = np.empty(room[0], np.uint32), np.empty(room[1], np.uint32)
    marks = [np.zeros(n + 1, np.int64) for _ in SIDES]
    bins = [np.zeros((2, BINS), np.int64) for _ in SIDES]
    counted, taken = _columns(edges, columns, common_frame(segments)[1])

    def collect(start: int, sci: Words, dq: Words, side: int) -> None:
        collect_sky(
            sci, dq, high, bins[side], good, counted[side], taken[side],
            values[side], pixels[side], marks[side], start, used,
        )  # fmt: skip

    with ThreadPoolExecutor(len(SIDES)) as pool:
        for start, sci, dq in stream(segments):
            list(pool.map(partial(collect, start, sci, dq), SIDES))
    low_bins = bins[0] + bins[1]
    if high[0] == high[1]:
        low_bins[1] = low_bins[0]
    before = below[high] - counts[high]
    low, top = (_value(high[i], low_bins[i], k - before[i]) for i, k in enumerate((first, last)))
    threshold = float(interpolate(low, top, weight))
    with ThreadPoolExecutor(2) as pool:
        one, other = (
            pool.submit(_side, values[i], pixels[i], marks[i], threshold, good.size) for i in SIDES
        )
        return (one.result(), other.result()), threshold, good


def _columns(
    edges: tuple[int, int], columns: int, nx: int
) -> tuple[tuple[Integers, Integers], tuple[Integers, Integers]]:
    """Return the columns that are counted with each side, every one once, and those it takes."""
    left, right = edges
    middle = min(max((left + right) // 2, 0), nx)
    taken = np.array([0, left]), np.array([min(right, columns), columns])
    return (np.array([0, middle]), np.array([middle, nx])), taken


def _side(bits: Words, pixels: Words, ends: Integers, threshold: float, n_pixels: int) -> Side:
    values = bits.view(np.float32)
    drop_sources(values, pixels, ends, np.float32(threshold))
    values, pixels = values[: ends[-1]], pixels[: ends[-1]]
    count = np.zeros(n_pixels, np.int64)
    mean, squares = np.zeros(n_pixels), np.zeros(n_pixels)
    pixel_moments(values, pixels, count, mean, squares)
    return Side(values, pixels, ends, sampled(values, pixels), count, mean, squares)


def _value(high: int, low_bins: Integers, rank: int) -> np.float32:
    """Return the float32 of a rank within a bin of the upper halves."""
    low = int(np.searchsorted(np.cumsum(low_bins), rank, side="right"))
    return np.float32(_values(np.array([int(high) << 16 | low]))[0])


def _values(ordered: Integers) -> Floats:
    """Return the float32 values of ordered bits."""
    words = ordered.astype(np.uint32)
    return np.where(words >> 31, words ^ np.uint32(1 << 31), ~words).view(np.float32)
