"""What is known beforehand about the outliers of a clip, and how to sort a pixel.

Where outliers have a bound, few pixels need to be sorted. Of the rules of a stack this is about
the usual one: sigma, on both sides.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bkgflow.rules import ClipRule, can_clip

__all__ = ["bound", "sorting_network"]


def bound(rule: ClipRule, n: int) -> float:
    """Return how far from the mean an outlier among up to n values is at least.

    In standard deviations; 0 if it may be anywhere, inf where there can be none.
    """
    return _least_reach(n, rule.sigma) if can_clip(n, rule.sigma) else math.inf


@lru_cache(maxsize=64)
def _least_reach(n: int, sigma: float) -> float:
    """How far from the mean, in standard deviations, a value outside the first bounds must be.

    Of any up to n values; 0 if it may be anywhere. Let m values have the mean 0 and the standard
    deviation 1, and the highest, v, be sigma or more above the median -a; if a < 0, v > sigma.
    The lowest h = m // 2 + 1 values average to some -b, b >= a, so their squares sum to h b² or
    more; those of the other r = m - h - 1, whose sum is h b - v, to (h b - v)² / r or more.
    Together with v² this is m at most, and v >= sigma - b. The lowest such v is where both are
    equal, at the larger root of a quadratic in b. 2.36 for eight values at 3 sigma, 2.11 for up
    to sixteen, sigma - 1 for very many.
    """
    if sigma <= 1.0:  # v may be below the mean, and the bound is nothing to go by
        return 0.0
    least = math.inf
    for m in range(3, n + 1):
        if can_clip(m, sigma):
            h = m // 2 + 1
            root = sigma**2 - (h + 1) * (sigma**2 * (m - h) / m - (m - h - 1))
            b = (sigma + math.sqrt(max(root, 0.0))) / (h + 1)
            least = min(least, sigma - max(b, 0.0))
    return least if least > 1.0 else 0.0


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
