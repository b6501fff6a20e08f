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

__all__ = ["KEPT_BYTES", "OWN", "Scratch", "Store"]

KEPT_BYTES = 128 << 20
"""Most bytes that a process keeps while nobody uses them: what a full frame of a slitless exposure
takes with its fit."""

Number = TypeVar("Number", bound=np.generic)


class Store:
    """Pieces of memory that nobody uses, in the order in which they were given back.

    Parameters
    ----------
    most : int
        Bytes that are kept.
    """

    def __init__(self, most: int = KEPT_BYTES) -> None:
        self._most, self._lock = most, threading.Lock()
        self._free: list[NDArray[np.uint8]] = []

    @property
    def kept(self) -> int:
        """Bytes that are kept now."""
        return sum(each.nbytes for each in self._free)

    def take(self, size: int) -> NDArray[np.uint8]:
        """Return at least so many bytes; not more than twice as many."""
        with self._lock:
            fitting = [i for i, each in enumerate(self._free) if size <= each.nbytes <= 2 * size]
            best = min(fitting, key=lambda i: self._free[i].nbytes, default=None)
            return np.empty(size, np.uint8) if best is None else self._free.pop(best)

    def give_back(self, pieces: Sequence[NDArray[np.uint8]]) -> None:
        """Keep pieces, as far as there is room; what has lain there longest makes it."""
        with self._lock:
            self._free.extend(pieces)
            kept = self.kept
            while kept > self._most:
                kept -= self._free.pop(0).nbytes


OWN = Store()
"""This process's."""


class Scratch:
    """Arrays for the time of a ``with``; afterwards they are somebody else's.

    What is in them at first is what was left there.
    """

    def __init__(self, store: Store = OWN) -> None:
        self._store = store
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
        self._store.give_back(self._taken)
        self._taken = []

    def array(self, shape: Sequence[int], dtype: np.dtype[Number]) -> NDArray[Number]:
        """Return an array that nobody else has meanwhile."""
        size = prod(shape) * dtype.itemsize
        piece = self._store.take(size)
        self._taken.append(piece)
        return piece[:size].view(dtype).reshape(shape)
