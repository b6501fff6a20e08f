"""Memory that is used again and again: new pages cost more than what is done with them.

A process keeps a few pieces between its tasks, whichever thread they run in.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from math import prod
from types import TracebackType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Scratch"]

KEPT_BYTES = 96 << 20
"""Most bytes that a process keeps while nobody uses them."""

Number = TypeVar("Number", bound=np.generic)

_lock = threading.Lock()

_free: list[NDArray[np.uint8]] = []
"""The pieces that nobody uses, in the order in which they were given back."""


class Scratch:
    """Arrays for the time of a ``with``; afterwards they are somebody else's.

    What is in them at first is what was left there.
    """

    def __init__(self) -> None:
        self._taken: list[NDArray[np.uint8]] = []

    def __enter__(self) -> Scratch:
        """Nothing is taken yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give everything back."""
        with _lock:
            _free.extend(self._taken)
            kept = sum(each.nbytes for each in _free)
            while kept > KEPT_BYTES:  # what has lain there longest goes first
                kept -= _free.pop(0).nbytes
        self._taken.clear()

    def array(self, shape: Sequence[int], dtype: np.dtype[Number]) -> NDArray[Number]:
        """Return an array that nobody else has meanwhile."""
        size = prod(shape) * dtype.itemsize
        with _lock:
            fitting = [i for i, each in enumerate(_free) if size <= each.nbytes <= 2 * size]
            best = min(fitting, key=lambda i: _free[i].nbytes, default=None)
            piece = np.empty(size, np.uint8) if best is None else _free.pop(best)
        self._taken.append(piece)
        return piece[:size].view(dtype).reshape(shape)
