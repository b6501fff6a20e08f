"""The arrays that a band's strips are read into, one strip after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bkgflow.io.exposures.source import Layer
from bkgflow.io.products.writer import Plane
from bkgflow.scratch import Scratch

__all__ = ["Buffers"]


class Buffers:
    """Memory for one strip after the other.

    Parameters
    ----------
    layers : sequence of str
        What is read of each exposure.
    scratch : Scratch
        Where it is taken from; what was taken is held for the next strip.
    """

    def __init__(self, layers: Sequence[Layer], scratch: Scratch) -> None:
        self.layers = layers
        self._scratch = scratch
        self._held: dict[str, Plane] = {}

    def take(
        self,
        name: str,
        shape: tuple[int, ...],
        real: type[np.floating],
        *,
        flags: int | None = None,
    ) -> dict[Layer, Plane]:
        """Return arrays for the time of one strip; they hold what was there before.

        Of DQ there are so many as ``flags`` says, instead of as many as the first axis has.
        """
        taken = dict[Layer, Plane]()
        for layer in self.layers:
            kind = np.dtype(np.uint32 if layer == "dq" else real)
            its = (flags, *shape[1:]) if flags is not None and layer == "dq" else shape
            taken[layer] = self._array(f"{name} {layer}", math.prod(its), kind).reshape(its)
        return taken

    def take_output(self, shape: tuple[int, int]) -> tuple[NDArray[np.uint32], NDArray[np.uint16]]:
        """Return arrays for the flags and the counts of one background after the other."""
        size = math.prod(shape)
        flags = self._array("flags", size, np.dtype(np.uint32))
        counts = self._array("counts", size, np.dtype(np.uint16))
        return flags.reshape(shape), counts.reshape(shape)

    def _array(self, key: str, size: int, dtype: np.dtype[np.generic]) -> Plane:
        held = self._held.get(key)
        if held is None or held.size < size:
            held = self._held[key] = self._scratch.array((size,), dtype)
        return held[:size]
