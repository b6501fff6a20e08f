"""The compiled loops behind ``wfss``: pixels gathered once, then summed, cut and packed.

All arrays are one-dimensional over the background pixels; packing keeps their order, so that
pixels of one row (or column) stay together. Sums are in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bkgflow.methods._kernels import compiled

__all__ = ["gather", "normal_sums", "pack", "profile_rms", "residuals", "tails"]

Reals = NDArray[Any]
Doubles = NDArray[np.float64]


@compiled
def gather(
    sci: Reals,
    err: Reals,
    mask: NDArray[np.bool_],
    templates: Reals,
    s: Reals,
    b: Reals,
    w: Doubles,
    counts: NDArray[np.int64],
) -> int:
    """Copy the usable pixels into s, b (k, n) and w = 1 / ERR²; return how many there are.

    ``counts`` gets how many each row gave. A pixel is usable where SCI and all templates are
    finite and ERR is not 0. Where ERR is not finite, its weight is 0: it takes part in the
    percentiles, as in the reference step, but in no sum.
    """
    n = 0
    for row in range(sci.shape[0]):
        before = n
        for column in range(sci.shape[1]):
            value = sci[row, column]
            variance = err[row, column] * err[row, column]
            usable = mask[row, column] and np.isfinite(value) and variance != 0.0
            for k in range(templates.shape[0]):
                usable = usable and np.isfinite(templates[k, row, column])
            if usable:
                s[n] = value
                w[n] = 1.0 / np.float64(variance) if variance > 0.0 else 0.0
                for k in range(templates.shape[0]):
                    b[k, n] = templates[k, row, column]
                n += 1
        counts[row] = n - before
    return n


@compiled
def normal_sums(s: Reals, b: Reals, w: Doubles, n: int, matrix: Doubles, vector: Doubles) -> int:
    """Fill the normal equations from the first n pixels; return how many have a weight."""
    size = b.shape[0]
    matrix[:] = 0.0
    vector[:] = 0.0
    used = 0
    for i in range(n):
        used += w[i] > 0.0
        for k in range(size):
            weighted = w[i] * b[k, i]
            vector[k] += weighted * s[i]
            for j in range(k + 1):
                matrix[k, j] += weighted * b[j, i]
    for k in range(size):
        for j in range(k):
            matrix[j, k] = matrix[k, j]
    return used


@compiled
def residuals(s: Reals, b: Reals, n: int, step: int, factors: Doubles, out: Doubles) -> int:
    """Write every ``step``-th residual s - factors·b into ``out``; return how many."""
    found = 0
    for i in range(0, n, step):
        model = factors[0] * b[0, i]
        for k in range(1, b.shape[0]):
            model += factors[k] * b[k, i]
        out[found] = s[i] - model
        found += 1
    return found


@compiled
def tails(
    s: Reals, b: Reals, n: int, factors: Doubles, low: float, high: float, out: Doubles
) -> tuple[int, int]:
    """Collect residuals ≤ low from the front of ``out`` on, those ≥ high from its back."""
    below, above = 0, 0
    size = out.size
    for i in range(n):
        model = factors[0] * b[0, i]
        for k in range(1, b.shape[0]):
            model += factors[k] * b[k, i]
        residual = s[i] - model
        if residual <= low or residual >= high:
            if below + above >= size:
                return -1, -1
            if residual <= low:
                out[below] = residual
                below += 1
            else:
                above += 1
                out[size - above] = residual
    return below, above


@compiled
def pack(
    s: Reals,
    b: Reals,
    w: Doubles,
    counts: NDArray[np.int64],
    factors: Doubles,
    low: float,
    high: float,
) -> int:
    """Drop in place the pixels whose residual is below low or above high; return what is left."""
    kept, first = 0, 0
    for row in range(counts.size):
        before = kept
        for i in range(first, first + counts[row]):
            model = factors[0] * b[0, i]
            for k in range(1, b.shape[0]):
                model += factors[k] * b[k, i]
            residual = s[i] - model
            if not (residual < low or residual > high):
                s[kept] = s[i]
                w[kept] = w[i]
                for k in range(b.shape[0]):
                    b[k, kept] = b[k, i]
                kept += 1
        first += counts[row]
        counts[row] = kept - before
    return kept


@compiled
def profile_rms(s: Reals, b: Reals, counts: NDArray[np.int64], factors: Doubles) -> float:
    """Return the rms of the medians of the residuals in each row; NaN without any."""
    scratch = np.empty(max(1, counts.max()), np.float64)
    total, rows, first = 0.0, 0, 0
    for row in range(counts.size):
        n = counts[row]
        if n > 0:
            for i in range(n):
                model = factors[0] * b[0, first + i]
                for k in range(1, b.shape[0]):
                    model += factors[k] * b[k, first + i]
                scratch[i] = s[first + i] - model
            total += np.median(scratch[:n]) ** 2
            rows += 1
            first += n
    return np.sqrt(total / rows) if rows > 0 else np.nan
