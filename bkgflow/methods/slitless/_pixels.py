"""The background pixels of one exposure: gathered, summed, solved, and trimmed.

In two parts of the image side by side, each in a thread of its own. They are always two, and
added up in their order, so that the numbers do not depend on how many threads there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np

from bkgflow.methods._compiled import read_only
from bkgflow.methods.arrays import Bools, Doubles, Integers, Reals
from bkgflow.methods.slitless._kernels import (
    add_dropped,
    drop,
    normal_sums,
    profile_squares,
    residuals,
    tails,
    take_pixels,
)
from bkgflow.scratch import Scratch

__all__ = ["SINGULAR", "BackgroundPixels", "Outer", "Part"]

P = TypeVar("P")
T = TypeVar("T")

PARTS = 2

SAMPLE = 1 << 14  # residuals looked at to guess where a percentile lies before it is found exactly
NOISE_SAMPLE = 1 << 15
"""Pixels whose residuals say by how much ERR is too small: good to half a percent."""

SINGULAR = 1e-10
"""Templates whose normalised normal matrix has a smaller eigenvalue are taken as one."""

CANCELLED = 1e4
"""Sums are added up anew where what a round rejected was this much more than what it left."""


@dataclass(slots=True)
class Part:
    """The background pixels of some lines of the image.

    Attributes
    ----------
    s, v : (≥ n,) float
        SCI, NaN once it is rejected; and ERR².
    b : (n_templates, ≥ n) float
        The reference skies.
    counts : (n_lines,) int64
        How many pixels each line gave.
    first : int
        How many pixels the parts before have.
    """

    s: Reals
    b: Reals
    v: Reals
    counts: Integers
    n: int
    first: int = 0

    @classmethod
    def of(
        cls, sci: Reals, err: Reals, mask: Bools, templates: Reals, lines: slice,
        by_columns: bool, scratch: Scratch,
    ) -> Part:  # fmt: skip
        """Copy the pixels of the mask out of some lines: row by row or column by column."""
        size = len(templates)
        most = int(np.count_nonzero(mask[:, lines] if by_columns else mask[lines]))
        start, stop, real = int(lines.start), int(lines.stop), sci.dtype
        s, b, v = (scratch.array(shape, real) for shape in ((most,), (size, most), (most,)))
        counts = np.empty(stop - start, np.int64)
        n = take_pixels(sci, err, mask, templates, by_columns, start, stop, s, b, v, counts)
        return cls(s, b, v, counts, n)

    def sums(self) -> tuple[int, Doubles, Doubles]:
        """Return how many pixels have a weight, and their normal equations."""
        matrix, vector = np.empty((len(self.b), len(self.b))), np.empty(len(self.b))
        used = normal_sums(self.s, self.b, self.v, self.n, matrix, vector)
        return used, matrix, vector

    def every(self, step: int) -> slice:
        """Return which pixels an even choice takes that goes through all parts."""
        return slice(-self.first % step, self.n, step)

    def outer(self, factors: Doubles, low: float, high: float, room: int) -> Outer:
        """Return the residuals below and above two bounds, as far as there is room for them."""
        values, where = np.empty(room), np.empty(room, np.int64)
        below, above = tails(self.s, self.b, self.n, factors, low, high, values, where)
        return Outer(values, where, below, above)

    def drop(self, far: Outer, low: float, high: float) -> Dropped:
        """Reject the residuals outside two bounds, which are among those that are far out."""
        most, size = far.below + far.above, len(self.b)
        data, sky = np.empty(most, self.s.dtype), np.empty((size, most), self.b.dtype)
        shares = np.empty((size, most))
        found = drop(
            self.s, self.b, self.v, far.values, far.where, far.below, far.above,
            low, high, data, sky, shares,
        )  # fmt: skip
        return Dropped(data, sky, shares, *found)


@dataclass(slots=True)
class Dropped:
    """Pixels of one part that were rejected in a round.

    Attributes
    ----------
    data, sky, shares : (≥ number,), (n_templates, ≥ number) and the same float64
        SCI, the reference skies, and these over ERR².
    number, weighted : int
        How many there are, and how many of them have a weight.
    """

    data: Reals
    sky: Reals
    shares: Doubles
    number: int
    weighted: int


@dataclass(slots=True)
class Outer:
    """Residuals that are far out in one part: the low ones first, the high ones last.

    Attributes
    ----------
    values, where : (room,) float64, int64
        The residuals and their indices; what is between is not filled.
    below, above : int
        How many there are; -1 where there was no room.
    """

    values: Doubles
    where: Integers
    below: int
    above: int

    @property
    def lows(self) -> Doubles:
        """Those at the lower end."""
        return self.values[: self.below]

    @property
    def highs(self) -> Doubles:
        """Those at the upper end."""
        return self.values[self.values.size - self.above :]


@dataclass(slots=True)
class BackgroundPixels:
    """The background pixels, and the sums over those that are not rejected yet."""

    parts: list[Part]
    pool: ThreadPoolExecutor
    n: int  # how many were gathered
    left: int  # how many of these are not rejected
    used: int  # how many of those have a weight
    matrix: Doubles
    vector: Doubles

    @classmethod
    @contextmanager
    def of(
        cls, sci: Reals, err: Reals, mask: Bools, templates: Reals, *, by_columns: bool
    ) -> Iterator[BackgroundPixels]:
        """Copy the pixels of the mask out of the images, row by row or column by column.

        They are there for the time of a ``with``.
        """
        narrow = np.result_type(sci.dtype, err.dtype, templates.dtype).itemsize <= 4
        real: np.dtype[np.floating] = np.dtype(np.float32 if narrow else np.float64)
        sci, err, templates = (read_only(array, real) for array in (sci, err, templates))
        mask = read_only(mask, np.bool_)

        with Scratch() as scratch, ThreadPoolExecutor(PARTS - 1) as pool:

            def part(lines: slice) -> Part:
                return Part.of(sci, err, mask, templates, lines, by_columns, scratch)

            parts = _each(pool, part, _parts(mask.shape[1 if by_columns else 0]))
            for before, after in pairwise(parts):
                after.first = before.first + before.n
            n, size = sum(each.n for each in parts), len(templates)
            pixels = cls(parts, pool, n, n, 0, np.empty((size, size)), np.empty(size))
            pixels.add_up()
            yield pixels

    def add_up(self) -> None:
        """Fill the normal equations from all pixels that are left."""
        found = _each(self.pool, Part.sums, self.parts)
        self.used = sum(used for used, _, _ in found)
        self.matrix = np.sum([matrix for _, matrix, _ in found], axis=0)
        self.vector = np.sum([vector for _, _, vector in found], axis=0)

    def solve(self) -> tuple[Doubles, Doubles, str | None]:
        """Return the factors, their covariance, and why there are none."""
        norm = np.sqrt(np.diagonal(self.matrix))
        sums_good = np.isfinite(norm).all() and np.isfinite(self.vector).all()
        if not self.used:
            reason = "No finite factor: no background pixel with a weight is left"
        elif not (sums_good and norm.all()):
            reason = "No finite factor: a template has no weight at the background pixels"
        else:
            scaled = self.matrix / np.outer(norm, norm)
            if np.linalg.eigvalsh(scaled)[0] >= SINGULAR:
                inverse = np.linalg.inv(scaled)
                return inverse @ (self.vector / norm) / norm, inverse / np.outer(norm, norm), None
            reason = "No unique factors: a template is a combination of the others"
        return self.vector, self.matrix, reason

    def reject(self, factors: Doubles, percent: float) -> None:
        """Drop the residuals below the given percentile and above its counterpart."""
        if not self.left:
            return
        outer, low, high = self._outer(factors, percent)
        matrix, vector = np.zeros_like(self.matrix), np.zeros_like(self.vector)
        pairs = list(zip(self.parts, outer, strict=True))
        for dropped in _each(self.pool, lambda pair: pair[0].drop(pair[1], low, high), pairs):
            add_dropped(
                dropped.data, dropped.sky, dropped.shares, dropped.number, matrix, vector
            )  # in order, as all sums
            self.left -= dropped.number
            self.used -= dropped.weighted
        self.matrix -= matrix
        self.vector -= vector
        cancelled = np.abs(matrix) > CANCELLED * np.abs(self.matrix)
        if cancelled.any() or (np.abs(vector) > CANCELLED * np.abs(self.vector)).any():
            self.add_up()

    def _outer(self, factors: Doubles, percent: float) -> tuple[list[Outer], float, float]:
        """Return the outer residuals of each part, and the two percentiles among all."""
        last = self.left - 1
        ends = percent / 100 * last, (100 - percent) / 100 * last
        low, high, room = self._guess(factors, percent / 100)
        outer = _each(self.pool, lambda part: part.outer(factors, low, high, room), self.parts)
        above = sum(each.above for each in outer)
        enough = sum(each.below for each in outer) >= int(ends[0]) + 2
        if min(each.below for each in outer) >= 0 and enough and self.left - above <= int(ends[1]):
            upper = _ranked([each.highs for each in outer], ends[1] - (self.left - above))
            lower = _ranked([each.lows for each in outer], ends[0])
            return outer, lower, upper
        outer = _each(
            self.pool, lambda part: part.outer(factors, np.inf, np.inf, part.n), self.parts
        )
        lows = [each.lows for each in outer]
        return outer, _ranked(lows, ends[0]), _ranked(lows, ends[1])

    def _guess(self, factors: Doubles, share: float) -> tuple[float, float, int]:
        """Return bounds a little inside the two percentiles, and room for what lies beyond."""
        step = -(-self.n // SAMPLE) | 1
        found = []
        for part in self.parts:
            start, sample = part.every(step).start, np.empty(-(-part.n // step))
            size = residuals(part.s, part.b, start, part.n, step, factors, sample)
            found.append(sample[:size])
        sample = np.concatenate(found)
        if step == 1 or not sample.size:
            return np.inf, np.inf, 0
        share = min(0.5, share + 5 * np.sqrt(share / sample.size) + 5 / sample.size)
        low, high = np.quantile(sample, (share, 1 - share))
        return float(low), float(high), min(self.left, int(2.5 * share * self.left))

    def sample(self) -> tuple[Reals, Reals, Reals]:
        """Return an even choice of s, b and v, copied."""
        step = -(-self.n // NOISE_SAMPLE) | 1
        chosen = [(part, part.every(step)) for part in self.parts]
        return (
            np.concatenate([part.s[those] for part, those in chosen]),
            np.concatenate([part.b[:, those] for part, those in chosen], axis=1),
            np.concatenate([part.v[those] for part, those in chosen]),
        )

    def profile_rms(self, factors: Doubles) -> float:
        """Return the rms of the medians of the residuals in each line; NaN without any."""
        found = _each(self.pool, lambda p: profile_squares(p.s, p.b, p.counts, factors), self.parts)
        lines = sum(each for _, each in found)
        return float(np.sqrt(sum(total for total, _ in found) / lines)) if lines else np.nan


def _parts(lines: int) -> list[slice]:
    """Return where the parts of an image lie, along its lines."""
    edges = [lines * each // PARTS for each in range(PARTS + 1)]
    return [slice(*each) for each in pairwise(edges)]


def _each(pool: ThreadPoolExecutor, function: Callable[[P], T], parts: Sequence[P]) -> list[T]:
    """Call a kernel for every part, each in a thread: kernels need no interpreter."""
    others = pool.map(function, parts[1:])
    return [function(parts[0]), *others]


def _ranked(values: Sequence[Doubles], position: float) -> float:
    """Return the value at a fractional rank, between two ranks by numpy's own rule."""
    together = np.concatenate(values)
    lower = int(position)
    upper = min(lower + 1, together.size - 1)
    together = np.partition(together, (lower, upper))
    a, b, t = float(together[lower]), float(together[upper]), position - lower
    return b - (b - a) * (1 - t) if t >= 0.5 else a + (b - a) * t
