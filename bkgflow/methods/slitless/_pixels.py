"""The background pixels of one exposure: marked, summed, solved, and trimmed.

In two parts of the image side by side, each in a thread of its own. They are always two, and
added up in their order, so that the numbers do not depend on how many threads there are.

Factors move little from round to round: a pixel near the sky in the first will not be among the
farthest in the next. Those that may be are taken out, and the rest is not looked at again. That
costs nothing of the result: it is known how far a residual can have moved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bkgflow.methods._compiled import read_only
from bkgflow.methods.arrays import Bools, Doubles, Reals
from bkgflow.methods.slitless._kernels import add_dropped, profile_squares
from bkgflow.methods.slitless._parts import Far, Outer, Part, each_of, ranked
from bkgflow.scratch import Scratch

__all__ = ["SINGULAR", "BackgroundPixels", "FarOnes"]

PARTS = 2

SAMPLE = 1 << 14  # residuals looked at to guess where a percentile lies before it is found exactly
NOISE_SAMPLE = 1 << 15
"""Pixels whose residuals say by how much ERR is too small: good to half a percent."""

SINGULAR = 1e-10
"""Templates whose normalised normal matrix has a smaller eigenvalue are taken as one."""

CANCELLED = 1e4
"""Sums are added up anew where what was rejected since was this much more than what is left."""

ROUNDS_AHEAD, MOST_FAR = 6, 0.15
"""For so many rounds pixels at each end are taken out, but no more than this share of all."""


@dataclass(slots=True)
class FarOnes:
    """Pixels with residuals ≤ low or ≥ high, for the factors that they were found with.

    Attributes
    ----------
    left : int
        How many of them are not rejected.
    largest : (n_templates,) float64
        The largest value of each reference sky, of all pixels, whatever its sign.
    """

    parts: list[Far]
    left: int
    factors: Doubles
    low: float
    high: float
    largest: Doubles

    def sure(self, factors: Doubles) -> tuple[float, float]:
        """Return between which bounds all others are for other factors, these included."""
        moved = float(np.abs(factors - self.factors) @ self.largest)
        rounding = 1e-12 * (float(np.abs(factors) @ self.largest) + abs(self.low) + abs(self.high))
        return self.low - moved - rounding, self.high + moved + rounding


@dataclass(slots=True)
class BackgroundPixels:
    """The background pixels, and the sums over those that are not rejected yet."""

    parts: list[Part]
    pool: ThreadPoolExecutor
    n: int  # how many there are
    left: int  # how many of these are not rejected
    used: int  # how many of those have a weight
    matrix: Doubles
    vector: Doubles
    weight: Doubles  # the diagonal of the matrix when all was added up
    scratch: Scratch
    largest: Doubles  # value of each reference sky, whatever its sign
    length: int  # of a line
    rounds: int = 0  # of rejection
    far: FarOnes | None = None  # pixels outside all others, which do not know what was rejected
    takes: int = 3  # how often such may be taken out: each time takes memory

    @classmethod
    @contextmanager
    def of(
        cls, sci: Reals, err: Reals, mask: Bools, templates: Reals, *, by_columns: bool
    ) -> Iterator[BackgroundPixels]:
        """Take the pixels of the mask out of the images, along rows or columns.

        They are there for the time of a ``with``.
        """
        narrow = np.result_type(sci.dtype, err.dtype, templates.dtype).itemsize <= 4
        real: np.dtype[np.floating] = np.dtype(np.float32 if narrow else np.float64)
        if by_columns:
            sci, err, templates = (np.swapaxes(each, -1, -2) for each in (sci, err, templates))
            mask = mask.T
        sci, err, templates = (read_only(array, real) for array in (sci, err, templates))
        mask = read_only(mask, np.bool_)

        with Scratch() as scratch, ThreadPoolExecutor(PARTS - 1) as pool:

            def part(lines: slice) -> tuple[Part, Doubles]:
                return Part.of(sci, err, mask, templates, lines, scratch)

            parts, most = zip(*each_of(pool, part, _parts(len(mask))), strict=True)
            n, size, length = sum(each.usable for each in parts), len(templates), mask.shape[1]
            matrix, vector, weight = np.empty((size, size)), *np.empty((2, size))
            largest = np.max(most, axis=0)
            pixels = cls(
                list(parts), pool, n, n, 0, matrix, vector, weight, scratch, largest, length
            )
            pixels.add_up()
            yield pixels

    def add_up(self) -> None:
        """Fill the normal equations from all pixels that are left."""
        self._hand_back()
        found = each_of(self.pool, Part.sums, self.parts)
        self.used = sum(used for used, _, _ in found)
        self.matrix = np.sum([matrix for _, matrix, _ in found], axis=0)
        self.vector = np.sum([vector for _, _, vector in found], axis=0)
        self.weight = np.diagonal(self.matrix).copy()

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
            if self.used >= len(norm) and np.linalg.eigvalsh(scaled)[0] >= SINGULAR:
                inverse = np.linalg.inv(scaled)
                return inverse @ (self.vector / norm) / norm, inverse / np.outer(norm, norm), None
            reason = "No unique factors: a template is a combination of the others"
        return self.vector, self.matrix, reason

    def reject(self, factors: Doubles, percent: float) -> None:
        """Drop the residuals below the given percentile and above its counterpart."""
        if not self.left:
            return
        self.rounds += 1
        parts, outer, low, high = self._outer(factors, percent)
        matrix, vector = np.zeros_like(self.matrix), np.zeros_like(self.vector)
        pairs, before = list(zip(parts, outer, strict=True)), self.left
        for dropped in each_of(self.pool, lambda pair: pair[0].drop(pair[1], low, high), pairs):
            # In their order, as all sums.
            data, sky, shares, number = dropped.data, dropped.sky, dropped.shares, dropped.number
            add_dropped(data, sky, shares, number, matrix, vector)
            self.left -= number
            self.used -= dropped.weighted
        if self.far is not None:
            self.far.left -= before - self.left
        self.matrix -= matrix
        self.vector -= vector
        cancelled = np.abs(matrix) > CANCELLED * np.abs(self.matrix)
        cancelled |= self.weight > CANCELLED * np.diagonal(self.matrix)  # in several rounds
        if cancelled.any() or (np.abs(vector) > CANCELLED * np.abs(self.vector)).any():
            self.add_up()

    def _outer(
        self, factors: Doubles, percent: float
    ) -> tuple[Sequence[Part], list[Outer], float, float]:
        """Return the outer residuals of each part, and the two percentiles among all.

        The parts are pixels that alone can be outside them, if such are known, or all.
        """
        last = self.left - 1
        ends = percent / 100 * last, (100 - percent) / 100 * last
        if self.far and (found := self._beyond(self.far.parts, factors, ends, self.far)):
            return found
        self._hand_back()
        # The first round drops what does not belong to the sky, and moves the factors by more
        # than any margin: what is far out now need not be in the next.
        self.far = self._take_far(factors, percent / 100) if self.rounds > 1 else None
        if self.far and (found := self._beyond(self.far.parts, factors, ends, self.far)):
            return found
        self.far = None
        if found := self._beyond(self.parts, factors, ends):
            return found
        outer = each_of(
            self.pool, lambda part: part.outer(factors, np.inf, np.inf, part.n), self.parts
        )
        lows = [each.lows for each in outer]
        low, high = each_of(self.pool, lambda end: ranked(lows, end), ends)
        return self.parts, outer, low, high

    def _beyond(
        self,
        parts: Sequence[Part],
        factors: Doubles,
        ends: tuple[float, float],
        far: FarOnes | None = None,
    ) -> tuple[Sequence[Part], list[Outer], float, float] | None:
        """Return what lies beyond guessed bounds, if the percentiles do; None if they do not."""
        left = self.left if far is None else far.left
        low, high, room = self._guess(parts, factors, (ends[0] + 1) / max(left, 1), left)
        if far is not None:
            sure = far.sure(factors)
            low, high, room = min(low, sure[0]), max(high, sure[1]), room or left
        outer = each_of(self.pool, lambda part: part.outer(factors, low, high, room), parts)
        above = sum(each.above for each in outer)
        enough = sum(each.below for each in outer) >= int(ends[0]) + 2
        if min(each.below for each in outer) < 0 or not enough:
            return None
        if self.left - above > int(ends[1]):
            return None
        lows, highs = [each.lows for each in outer], [each.highs for each in outer]
        asked = (lows, ends[0]), (highs, ends[1] - (self.left - above))
        lower, upper = each_of(self.pool, lambda each: ranked(*each), asked)
        return parts, outer, lower, upper

    def _guess(
        self, parts: Sequence[Part], factors: Doubles, share: float, left: int
    ) -> tuple[float, float, int]:
        """Return bounds a little inside the two percentiles, and room for what lies beyond."""
        step, sample = self._sampled(parts, factors)
        if step == 1 or not sample.size:
            return np.inf, np.inf, 0
        share = min(0.5, share + 5 * np.sqrt(share / sample.size) + 5 / sample.size)
        low, high = np.quantile(sample, (share, 1 - share))
        return float(low), float(high), min(left, int(2.5 * share * left))

    def _sampled(self, parts: Sequence[Part], factors: Doubles) -> tuple[int, Doubles]:
        """Return an even choice of residuals, and of how many pixels it takes one."""
        step = -(-sum(part.usable for part in parts) // SAMPLE) | 1
        return step, np.concatenate([part.residuals(factors, step) for part in parts])

    def _take_far(self, factors: Doubles, share: float) -> FarOnes | None:
        """Take out the pixels that are far out, or will be in the next rounds; None if nothing is
        gained.
        """
        if not self.takes or share > MOST_FAR / 2:
            return None
        step, sample = self._sampled(self.parts, factors)
        share = min(MOST_FAR, ROUNDS_AHEAD * share)
        if step == 1 or not sample.size or not share:
            return None
        low, high = map(float, np.quantile(sample, (share, 1 - share)))
        rooms = [int(2.5 * share * part.usable) for part in self.parts]
        pairs = list(zip(self.parts, rooms, strict=True))
        taken = each_of(
            self.pool, lambda pair: pair[0].far(factors, low, high, pair[1], self.scratch), pairs
        )
        self.takes -= 1
        if min(each.n for each in taken) < 0:
            return None
        for before, after in pairwise(taken):
            after.first = before.first + before.n
        return FarOnes(taken, sum(each.n for each in taken), factors, low, high, self.largest)

    def _hand_back(self) -> None:
        """Have all pixels know what was rejected."""
        if self.far is not None:
            for part, far in zip(self.parts, self.far.parts, strict=True):
                far.hand_back(part)

    def sample(self) -> tuple[Reals, Reals, Reals]:
        """Return an even choice of s, b and v, copied."""
        step = -(-self.n // NOISE_SAMPLE) | 1
        chosen = [part.sample(step) for part in self.parts]
        return (
            np.concatenate([s for s, _, _ in chosen]),
            np.concatenate([b for _, b, _ in chosen], axis=1),
            np.concatenate([v for _, _, v in chosen]),
        )

    def profile_rms(self, factors: Doubles) -> float:
        """Return the rms of the medians of the residuals in each line; NaN without any."""
        self._hand_back()
        found = each_of(
            self.pool, lambda p: profile_squares(p.s, p.b, self.length, factors), self.parts
        )
        lines = sum(each for _, each in found)
        return float(np.sqrt(sum(total for total, _ in found) / lines)) if lines else np.nan


def _parts(lines: int) -> list[slice]:
    """Return where the parts of an image lie, along its lines."""
    edges = [lines * each // PARTS for each in range(PARTS + 1)]
    return [slice(*each) for each in pairwise(edges)]
