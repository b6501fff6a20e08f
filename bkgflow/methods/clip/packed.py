"""Combined backgrounds as they are kept and sent: flags and counts that are mostly one number.

A background is held in memory until the last unit that waits for it is done, and goes from one
worker to another. Of its 14 bytes a pixel, six are flags and counts that say the same of nearly
every pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bkgflow.methods.arrays import Floats
from bkgflow.methods.clip.average import Combined

__all__ = ["Mostly", "Packed"]

Counts = NDArray[np.unsignedinteger]


class _Rows(NamedTuple):
    """Some rows: the values that are not as usual, and their places in them, row by row.

    Where these would take more room than all values, ``at`` is None and all are there, (rows, nx).
    """

    start: int
    stop: int
    at: NDArray[np.uint32] | None
    values: Counts


@dataclass(slots=True, eq=False)
class Mostly:
    """An array (ny, nx) most of whose values are the same, filled from its first row on.

    Attributes
    ----------
    usual : int
        That value.
    """

    shape: tuple[int, int]
    dtype: np.dtype[np.unsignedinteger]
    usual: int
    filled: list[_Rows] = field(default_factory=list)

    @classmethod
    def of(cls, array: Counts, usual: int) -> Mostly:
        """Return a whole array."""
        ny, nx = array.shape
        made = cls((ny, nx), array.dtype, usual)
        made.add(array)
        return made

    def add(self, rows: Counts) -> None:
        """Take the next rows; the array may be used for something else afterwards."""
        start = self.filled[-1].stop if self.filled else 0
        at = np.flatnonzero(rows != self.usual).astype(np.uint32)
        sparse = at.nbytes + len(at) * rows.itemsize < rows.nbytes
        part = _Rows(start, start + len(rows), at, rows.reshape(-1)[at])
        self.filled.append(part if sparse else part._replace(at=None, values=rows.copy()))

    def rows(self, part: slice) -> Counts:
        """Return some rows as an array of their own."""
        nx = self.shape[1]
        out = np.full((part.stop - part.start, nx), self.usual, self.dtype)
        flat = out.reshape(-1)
        for rows, low, at, values in self._unusual(part):
            if at is None:
                out[rows.start - part.start : rows.stop - part.start] = values
            else:
                flat[at.astype(np.intp) + low] = values
        return out

    def places(self, value: int, part: slice) -> NDArray[np.intp]:
        """Return where some rows have a value; of any but the usual one nothing is unpacked.

        Counted in these rows, pixel by pixel and row by row, in ascending order.
        """
        if value == self.usual:
            return np.flatnonzero(self.rows(part) == value)
        nx, found = self.shape[1], [np.empty(0, np.intp)]
        for rows, low, at, values in self._unusual(part):
            if at is None:
                found.append(np.flatnonzero(values == value) + (rows.start - part.start) * nx)
            else:
                found.append(at[values == value].astype(np.intp) + low)
        return np.concatenate(found)

    def join_to(self, flags: Counts, part: slice) -> None:
        """Set in ``flags`` the bits that some rows have, in place; they are as many rows."""
        if self.usual:
            np.bitwise_or(flags, self.rows(part), out=flags)
            return
        nx = self.shape[1]
        for rows, low, at, values in self._unusual(part):
            if at is None:
                those = flags[rows.start - part.start : rows.stop - part.start]
                np.bitwise_or(those, values, out=those)
            else:
                y, x = np.divmod(at.astype(np.intp) + low, nx)
                flags[y, x] |= values

    def _unusual(
        self, part: slice
    ) -> Iterator[tuple[slice, int, NDArray[np.uint32] | None, Counts]]:
        """Yield which of some rows were filled at once, and what is not as usual in them.

        Of a few pixels their places: what is added to them counts from the first of all the rows.
        """
        nx = self.shape[1]
        for start, stop, at, values in self.filled:
            first, last = max(start, part.start), min(stop, part.stop)
            if first >= last:
                continue
            if at is None:
                yield slice(first, last), 0, None, values[first - start : last - start]
            else:
                low, high = np.searchsorted(at, [(first - start) * nx, (last - start) * nx])
                yield slice(first, last), (start - part.start) * nx, at[low:high], values[low:high]

    def count(self, value: int) -> int:
        """Return how many pixels have a value."""
        others, unusual = 0, 0
        for start, stop, at, values in self.filled:
            others += int(np.count_nonzero(values == value))
            unusual += len(values) if at is not None else (stop - start) * self.shape[1]
        usual = self.shape[0] * self.shape[1] - unusual
        return others + (usual if value == self.usual else 0)


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """A `Combined`, or some rows of one, in less room.

    Attributes
    ----------
    sci, err : (ny, nx) float32
        As they are; err has no rows where ERR was not asked for.
    dq, n_used : Mostly
        Of uint32, mostly 0; of uint16, mostly the number of exposures.
    """

    sci: Floats
    err: Floats
    dq: Mostly
    n_used: Mostly

    @classmethod
    def empty(cls, shape: tuple[int, int], n_exposures: int, *, errors: bool) -> Packed:
        """Return room for a background that is to be filled from its first row on."""
        ny, nx = shape
        return cls(
            np.empty(shape, np.float32),
            np.empty((ny if errors else 0, nx), np.float32),
            Mostly(shape, np.dtype(np.uint32), 0),
            Mostly(shape, np.dtype(np.uint16), n_exposures),
        )

    @classmethod
    def of(cls, pixels: Combined) -> Packed:
        """Return a whole background."""
        most = int(pixels.n_used.max(initial=0))
        return cls(pixels.sci, pixels.err, Mostly.of(pixels.dq, 0), Mostly.of(pixels.n_used, most))

    def rows(self, part: slice) -> Combined:
        """Return some rows: views of sci and err, arrays of their own of dq and n_used."""
        return Combined(self.sci[part], self.err[part], self.dq.rows(part), self.n_used.rows(part))

    def whole(self) -> Combined:
        """Return all rows."""
        return self.rows(slice(0, len(self.sci)))
