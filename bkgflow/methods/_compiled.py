"""How numba is asked to compile, and the order of comparisons that sorts."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["compiled", "sorting_network"]

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function, **options: Any) -> Function:
    """Compile in numba's nopython mode, without the GIL, as IEEE 754 has it.

    The machine code is kept on disk: beside the source, else in ``NUMBA_CACHE_DIR`` or the
    user's cache folder, and where none of them can be written it is made anew in each process.
    Numba also makes it anew when the file of a function changes, but not when only that of a
    function it calls does: whoever edits such a file touches the callers' as well.
    """
    options |= {"nogil": True, "error_model": "numpy"}
    try:
        return cast(Function, njit(cache=True, **options)(function))
    except RuntimeError:  # numba found no place for a cache
        return cast(Function, njit(**options)(function))


@lru_cache(maxsize=64)
def sorting_network(n: int) -> NDArray[np.int64]:
    """Return the pairs (i, j), i < j, to compare and swap in turn so that n values get sorted.

    (n_pairs, 2) int64. Batcher's merge exchange: Knuth, The Art of Computer Programming,
    volume 3, section 5.2.2, algorithm M. The order of comparisons does not depend on the
    values, which lets one instruction sort many pixels.
    """
    pairs = []
    half = 1
    while half < n:
        step = half
        while step:
            for first in range(step % half, n - step, 2 * step):
                for i in range(first, min(first + step, n - step)):
                    if i // (2 * half) == (i + step) // (2 * half):
                        pairs.append((i, i + step))
            step //= 2
        half *= 2
    network = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    network.flags.writeable = False
    return network
