"""Parts of the pixels, each worked on in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from bkgflow.methods._compiled import read_only
from bkgflow.methods.arrays import Bools, Doubles, Integers, Reals
from bkgflow.methods.slitless._kernels import (
    drop,
    mark_pixels,
    normal_sums,
    residuals,
    tails,
    take_far,
)
from bkgflow.scratch import Scratch

__all__ = ["Dropped", "Far", "Outer", "Part", "each_of", "ranked"]

P = TypeVar("P")
T = TypeVar("T")


@dataclass(slots=True)
class Part:
    """The pixels of some lines of the image.

    Attributes
    ----------
    s, v : (≥ n,) float
        SCI, NaN where it is no background and once it is rejected; and ERR².
    b : (n_templates, ≥ n) float
        The reference skies, read-only: kernels are compiled for such.
    n, usable : int
        How many pixels there are, and how many of them are background, rejected or not.
    first : int
        How many pixels the parts before have.
    """

    s: Reals
    b: Reals
    v: Reals
    n: int
    usable: int
    first: int = 0

    @classmethod
    def of(
        cls, sci: Reals, err: Reals, mask: Bools, templates: Reals, lines: slice, scratch: Scratch
    ) -> tuple[Part, Doubles]:
        """Take some lines; return beside them the largest value of each sky, whatever its sign."""
        start, stop, length, real = int(lines.start), int(lines.stop), sci.shape[1], sci.dtype
        s, v = (scratch.array((stop - start, length), real) for _ in range(2))
        largest = np.zeros((len(templates), length), real)
        usable = mark_pixels(sci, err, mask, templates, start, stop, s, v, largest)
        b = read_only(templates[:, lines].reshape(len(templates), -1), real)
        most = largest.max(axis=1, initial=0).astype(np.float64)
        return cls(s.reshape(-1), b, v.reshape(-1), s.size, usable, start * length), most

    def sums(self) -> tuple[int, Doubles, Doubles]:
        """Return how many pixels have a weight, and their normal equations."""
        matrix, vector = np.empty((len(self.b), len(self.b))), np.empty(len(self.b))
        used = normal_sums(self.s, self.b, self.v, self.n, matrix, vector)
        return used, matrix, vector

    def every(self, step: int) -> slice:
        """Return which pixels an even choice takes that goes through all parts."""
        return slice(-self.first % step, self.n, step)

    def sample(self, step: int) -> tuple[Reals, Reals, Reals]:
        """Return every ``step``-th of s, b and v that is background, copied."""
        those = self.every(step)
        good = ~np.isnan(self.s[those])
        return self.s[those][good], self.b[:, those][:, good], self.v[those][good]

    def residuals(self, factors: Doubles, step: int) -> Doubles:
        """Return every ``step``-th residual, counted through all parts, of what is not rejected."""
        sample = np.empty(-(-self.n // step))
        start = self.every(step).start
        return sample[: residuals(self.s, self.b, start, self.n, step, factors, sample)]

    def far(self, factors: Doubles, low: float, high: float, room: int, scratch: Scratch) -> Far:
        """Copy the pixels with residuals below or above two bounds, as far as there is room."""
        s, b, v = (
            scratch.array(shape, self.s.dtype) for shape in ((room,), (len(self.b), room), (room,))
        )
        where = scratch.array((room,), np.dtype(np.int64))
        n = take_far(self.s, self.b, self.v, self.n, factors, low, high, s, b, v, where)
        return Far(s, read_only(b, b.dtype), v, n, n, where=where)

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


@dataclass(slots=True, kw_only=True)
class Far(Part):
    """Pixels of a part that alone can be far out; ``n`` is -1 where there was no room for them.

    Attributes
    ----------
    where : (≥ n,) int64
        Their indices in the part.
    """

    where: Integers

    def hand_back(self, part: Part) -> None:
        """Have the part know what was rejected."""
        part.s[self.where[: self.n][np.isnan(self.s[: self.n])]] = np.nan


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


def each_of(pool: ThreadPoolExecutor, function: Callable[[P], T], parts: Sequence[P]) -> list[T]:
    """Call a kernel for every part, each in a thread: kernels need no interpreter."""
    others = pool.map(function, parts[1:])
    return [function(parts[0]), *others]


def ranked(values: Sequence[Doubles], position: float) -> float:
    """Return the value at a fractional rank, between two ranks by numpy's own rule."""
    together = np.concatenate(values)
    lower = int(position)
    upper = min(lower + 1, together.size - 1)
    together = np.partition(together, (lower, upper))
    a, b, t = float(together[lower]), float(together[upper]), position - lower
    return b - (b - a) * (1 - t) if t >= 0.5 else a + (b - a) * t
