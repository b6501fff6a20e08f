"""The background pixels of one exposure: gathered, summed, solved, and trimmed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bkgflow.methods._compiled import read_only
from bkgflow.methods.arrays import Bools, Doubles, Integers, Reals
from bkgflow.methods.slitless._kernels import drop, normal_sums, residuals, tails, take_pixels

__all__ = ["BackgroundPixels"]

SAMPLE = 1 << 14
"""Residuals looked at to guess where a percentile lies before it is found exactly."""

NOISE_SAMPLE = 1 << 15
"""Pixels whose residuals say by how much ERR is too small: good to half a percent."""

SINGULAR = 1e-10
"""Templates whose normalised normal matrix has a smaller eigenvalue are taken as one."""

CANCELLED = 1e4
"""Sums are added up anew where what a round rejected was this much more than what it left."""


@dataclass(slots=True)
class BackgroundPixels:
    """The background pixels, and the sums over those that are not rejected yet."""

    s: Reals
    b: Reals
    v: Reals
    counts: Integers
    n: int  # how many were gathered: the first n of each array
    left: int  # how many of these are not rejected
    used: int  # how many of those have a weight
    matrix: Doubles
    vector: Doubles

    @classmethod
    def of(
        cls, sci: Reals, err: Reals, mask: Bools, templates: Reals, *, by_columns: bool
    ) -> BackgroundPixels:
        """Copy the pixels of the mask out of the images, row by row or column by column."""
        narrow = np.result_type(sci.dtype, err.dtype, templates.dtype).itemsize <= 4
        real: np.dtype[np.floating] = np.dtype(np.float32 if narrow else np.float64)
        size, most = len(templates), int(np.count_nonzero(mask))
        s, b, v = np.empty(most, real), np.empty((size, most), real), np.empty(most, real)
        counts = np.empty(mask.shape[1 if by_columns else 0], np.int64)
        sci, err, templates = (read_only(array, real) for array in (sci, err, templates))
        mask = read_only(mask, np.bool_)
        n = take_pixels(sci, err, mask, templates, by_columns, s, b, v, counts)
        pixels = cls(s, b, v, counts, n, n, 0, np.empty((size, size)), np.empty(size))
        pixels.add_up()
        return pixels

    def add_up(self) -> None:
        """Fill the normal equations from all pixels that are left."""
        self.used = normal_sums(self.s, self.b, self.v, self.n, self.matrix, self.vector)

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
        values, where, low, high = self._outer(factors, percent)
        matrix, vector = np.zeros_like(self.matrix), np.zeros_like(self.vector)
        gone, weighted = drop(self.s, self.b, self.v, values, where, low, high, matrix, vector)
        self.left -= gone
        self.used -= weighted
        self.matrix -= matrix
        self.vector -= vector
        cancelled = np.abs(matrix) > CANCELLED * np.abs(self.matrix)
        if cancelled.any() or (np.abs(vector) > CANCELLED * np.abs(self.vector)).any():
            self.add_up()

    def _outer(self, factors: Doubles, percent: float) -> tuple[Doubles, Integers, float, float]:
        """Return the outer residuals, their indices, and the two percentiles among all."""
        last = self.left - 1
        ends = percent / 100 * last, (100 - percent) / 100 * last
        low, high, room = self._guess(factors, percent / 100)
        values, where = np.empty(room), np.empty(room, np.int64)
        below, above = tails(self.s, self.b, self.n, factors, low, high, values, where)
        if below >= int(ends[0]) + 2 and self.left - above <= int(ends[1]):
            upper = _ranked(values[room - above :], ends[1] - (self.left - above))
            lower = _ranked(values[:below], ends[0])
            values[below : room - above] = lower  # room that was not needed: never rejected
            return values, where, lower, upper
        values, where = np.empty(self.left), np.empty(self.left, np.int64)
        tails(self.s, self.b, self.n, factors, np.inf, np.inf, values, where)
        return values, where, _ranked(values, ends[0]), _ranked(values, ends[1])

    def _guess(self, factors: Doubles, share: float) -> tuple[float, float, int]:
        """Return bounds a little inside the two percentiles, and room for what lies beyond."""
        step = -(-self.n // SAMPLE) | 1
        sample = np.empty(-(-self.n // step))
        sample = sample[: residuals(self.s, self.b, self.n, step, factors, sample)]
        if step == 1 or not sample.size:
            return np.inf, np.inf, 0
        share = min(0.5, share + 5 * np.sqrt(share / sample.size) + 5 / sample.size)
        low, high = np.quantile(sample, (share, 1 - share))
        return float(low), float(high), min(self.left, int(2.5 * share * self.left))

    def sample(self) -> tuple[Reals, Reals, Reals]:
        """Return an even choice of s, b and v, copied."""
        chosen = slice(None, self.n, -(-self.n // NOISE_SAMPLE) | 1)
        return self.s[chosen].copy(), self.b[:, chosen].copy(), self.v[chosen].copy()


def _ranked(values: Doubles, position: float) -> float:
    """Return the value at a fractional rank, between two ranks by numpy's own rule."""
    lower = int(position)
    upper = min(lower + 1, values.size - 1)
    values = np.partition(values, (lower, upper))
    a, b, t = float(values[lower]), float(values[upper]), position - lower
    return b - (b - a) * (1 - t) if t >= 0.5 else a + (b - a) * t
