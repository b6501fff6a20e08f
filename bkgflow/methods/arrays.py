"""Names for arrays by what they hold, and memory for those that are worked on side by side."""

from __future__ import annotations

from math import prod
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Bools", "Doubles", "Flags", "Floats", "Integers", "Places", "Reals", "Words", "placed",
]  # fmt: skip

Reals = NDArray[np.floating]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]
Places = NDArray[np.intp]
Words = NDArray[np.uint32]
Flags = NDArray[np.unsignedinteger]
Bools = NDArray[np.bool_]

Number = TypeVar("Number", bound=np.generic)

PAGE, GAP = 4096, 320  # bytes; the gap is of whole cache lines


def placed(
    number: int, shape: int | tuple[int, ...], dtype: type[Number] | np.dtype[Number]
) -> NDArray[Number]:
    """Return an empty array that begins at a cache line, and at its own place of a page.

    Where several begin at one place, the processor takes what is read from one for what was just
    written to another, and waits: a clip of 16 exposures takes 5 % longer.
    """
    size = prod(np.atleast_1d(shape).tolist()) * np.dtype(dtype).itemsize
    room = np.empty(size + PAGE, np.uint8)
    start = (number * GAP - room.ctypes.data) % PAGE
    return room[start : start + size].view(dtype).reshape(shape)
