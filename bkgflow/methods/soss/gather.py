"""The pixels that matter for a SOSS fit, gathered out of a stream of integrations.

The source threshold is a percentile over all good pixels of all integrations. It is found in
two looks at the stream, which may lie in files: the first counts, the second finds the exact
value and collects at once what may be below. No cube is held.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bkgflow.errors import ShapeError
from bkgflow.methods._compiled import read_only
from bkgflow.methods.arrays import Doubles, Flags, Floats, Integers, Reals, Words
from bkgflow.methods.soss._stream import BINS, collect_sky, count_high, drop_sources, pixel_moments
from bkgflow.methods.soss.ranks import interpolate, neighbours
from bkgflow.methods.soss.regions import LAST_FIT_COLUMN

__all__ = ["ArraySegment", "Gathered", "Segment", "Side", "gather_sky"]

Chunk = tuple[Reals, Flags]


class Segment(Protocol):
    """A file's integrations, to be read more than once, a few at a time."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n_integrations, ny, nx)."""
        ...

    def chunks(self) -> Iterator[Chunk]:
        """Yield SCI (float) and DQ (uint32), both (n, ny, nx), until all integrations are seen.

        A chunk is done with before the next one is asked for.
        """
        ...


@dataclass(frozen=True, slots=True)
class ArraySegment:
    """Integrations in memory, (ny, nx) or (n_integrations, ny, nx), left as they are."""

    sci: Reals
    dq: Flags

    @property
    def shape(self) -> tuple[int, int, int]:
        """As of one integration where it is an image."""
        ny, nx = self.sci.shape[-2:]
        return (len(self.sci) if self.sci.ndim == 3 else 1), ny, nx

    def chunks(self) -> Iterator[Chunk]:
        """Yield integrations one by one: views."""
        sci, dq = self.sci.reshape(self.shape), self.dq.reshape(self.shape)
        for i in range(len(sci)):
            yield sci[i : i + 1], dq[i : i + 1]


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """Pixels below the source threshold that may lie on one side of the step.

    ``values``, ``pixels`` (their places in a flat frame of (ny, columns), the columns that are
    fitted) and ``ends`` go on from integration to integration; the rest is of each pixel.
    """

    values: Floats
    pixels: Words
    ends: Integers  # (n_integrations + 1,): where each one's begin, and the last one's end
    count: Integers  # how many of them lie there
    mean: Doubles  # 0 without any
    squares: Doubles  # their sum, about the mean


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """What the fit works on."""

    sides: tuple[Side, Side]  # they overlap in the columns where templates differ in their steps
    threshold: float  # the source threshold; NaN where no pixel is good
    n_good: Words  # (ny, columns): good pixels, sources too
    lengths: tuple[int, ...]  # integrations of each segment


def gather_sky(segments: Sequence[Segment], percentile: float, edges: tuple[int, int]) -> Gathered:
    """Find the source threshold of all segments together and collect what is below.

    Parameters
    ----------
    segments : sequence of Segment
        At least one; each is read twice.
    percentile : float
        Of all good pixels: finite, neither DO_NOT_USE nor REFERENCE_PIXEL.
    edges : (int, int)
        Column behind the last one of the left side, first column of the right side.

    Raises
    ------
    ShapeError
        The segments do not fit each other, or a chunk is not as its segment said.
    """
    ny, nx = _frame(segments)
    bins = np.zeros((2, BINS + 1), np.int64)
    for _, sci, dq in _stream(segments):
        count_high(sci.reshape(-1), dq.reshape(-1), bins)
    counts = bins.sum(axis=0)[:BINS]
    n_good = int(counts.sum())
    lengths = tuple(segment.shape[0] for segment in segments)
    columns = min(nx, LAST_FIT_COLUMN + 1)
    good = np.zeros((ny, columns), np.uint32)
    if not n_good:
        none, ends = np.empty(0, np.uint32), np.zeros(sum(lengths) + 1, np.int64)
        nothing = _side(none, none, ends, 0.0, good.size)
        return Gathered((nothing, nothing), float("nan"), good, lengths)
    first, last, weight = neighbours(n_good, percentile / 100)
    below = np.cumsum(counts)
    high = np.searchsorted(below, (first, last), side="right")
    widths = edges[0], max(0, columns - edges[1])
    room = [min(int(below[high[1]]), sum(lengths) * ny * width) + 1 for width in widths]
    values = np.empty(room[0], np.uint32), np.empty(room[1], np.uint32)
    pixels = np.empty(room[0], np.uint32), np.empty(room[1], np.uint32)
    ends = np.zeros((sum(lengths) + 1, 2), np.int64)
    low_bins = np.zeros((2, BINS), np.int64)
    for start, sci, dq in _stream(segments):
        collect_sky(sci, dq, high, low_bins, good, np.asarray(edges), values, pixels, ends, start)
    if high[0] == high[1]:
        low_bins[1] = low_bins[0]
    before = below[high] - counts[high]
    low, top = (_value(high[i], low_bins[i], k - before[i]) for i, k in enumerate((first, last)))
    threshold = float(interpolate(low, top, weight))
    sides = (_side(values[i], pixels[i], ends[:, i].copy(), threshold, good.size) for i in (0, 1))
    return Gathered((next(sides), next(sides)), threshold, good, lengths)


def _side(bits: Words, pixels: Words, ends: Integers, threshold: float, n_pixels: int) -> Side:
    values = bits.view(np.float32)
    drop_sources(values, pixels, ends, np.float32(threshold))
    values, pixels = values[: ends[-1]], pixels[: ends[-1]]
    count = np.zeros(n_pixels, np.int64)
    mean, squares = np.zeros(n_pixels), np.zeros(n_pixels)
    pixel_moments(values, pixels, count, mean, squares)
    return Side(values, pixels, ends, count, mean, squares)


def _value(high: int, low_bins: Integers, rank: int) -> np.float32:
    """Return the float32 of a rank within a bin of the upper halves."""
    low = int(np.searchsorted(np.cumsum(low_bins), rank, side="right"))
    ordered = int(high) << 16 | low
    bits = ordered ^ (0x80000000 if ordered & 0x80000000 else 0xFFFFFFFF)
    return np.float32(np.uint32(bits).view(np.float32))


def _frame(segments: Sequence[Segment]) -> tuple[int, int]:
    frames = {segment.shape[1:] for segment in segments}
    if len(frames) != 1:
        raise ShapeError(
            "The segments of one time series must have the same rows and columns",
            value=sorted(frames),
            cure="Fit only segments of one exposure together",
        )
    return frames.pop()


def _stream(segments: Sequence[Segment]) -> Iterator[tuple[int, Words, Words]]:
    """Yield chunks of all segments: the first integration's number, SCI's bits, DQ."""
    start = 0
    for segment in segments:
        stop, (n, *frame) = start, segment.shape
        for sci, dq in segment.chunks():
            if sci.shape != dq.shape or list(sci.shape[1:]) != frame:
                raise ShapeError(
                    "SCI and DQ must have one shape, that of their segment",
                    value=f"SCI {sci.shape}, DQ {dq.shape}",
                    cure=f"Give chunks of (n, {frame[0]}, {frame[1]})",
                )
            yield stop, read_only(sci, np.float32).view(np.uint32), read_only(dq, np.uint32)
            stop += len(sci)
        if stop - start != n:
            raise ShapeError(
                "The chunks of a segment must hold all of its integrations, each time it is read",
                value=f"{stop - start} of {n}",
                cure="Check the file: it changed or was cut",
            )
        start = stop
