"""Which values a clip drops: the same rule as `average`, pixel by pixel and plainly.

Nothing that is subtracted comes from here: it shows people what the compiled loops decide.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bkgflow.methods.arrays import Reals
from bkgflow.rules import ClipRule

__all__ = ["rejected"]


def rejected(sci: Reals, rule: ClipRule) -> NDArray[np.bool_]:
    """Return which values of a stack a clip rejects.

    Parameters
    ----------
    sci : (n, ...) float32 or float64
        Values along the first axis; what is not finite takes no part and is not rejected.

    Returns
    -------
    (n, ...) bool
        Outside the bounds of the last iteration, which are inclusive.
    """
    values = np.where(np.isfinite(sci), sci, np.nan).astype(np.float64)
    valid = ~np.isnan(values)
    kept, rounds = valid.copy(), 0
    outside = np.zeros(values.shape, bool)
    if math.isinf(rule.sigma):
        return outside
    while rule.maxiters in (None, 0) or rounds < rule.maxiters:
        low, high = _bounds(np.where(kept, values, np.nan), rule.sigma)
        # Without a value that is left there are no bounds, and nothing is within them.
        outside = valid & ~((values >= low) & (values <= high))
        inside = kept & ~outside
        if np.array_equal(inside, kept):
            break
        kept, rounds = inside, rounds + 1
    return outside


def _bounds(values: NDArray[np.float64], sigma: float) -> tuple[Reals, Reals]:
    """Return median ± sigma standard deviations along the first axis; NaN where all are NaN."""
    ordered = np.sort(values, axis=0)  # NaN last
    number = np.sum(~np.isnan(ordered), axis=0)
    empty = number == 0
    between = [np.where(empty, 0, place)[None] for place in ((number - 1) // 2, number // 2)]
    middle = sum(np.take_along_axis(ordered, place, 0)[0] for place in between) / 2
    some = np.maximum(number, 1)
    mean = np.nansum(values, axis=0) / some
    spread = np.sqrt(np.nansum(np.square(values - mean), axis=0) / some)
    return middle - sigma * spread, middle + sigma * spread
