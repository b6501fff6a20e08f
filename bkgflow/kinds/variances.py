"""Where a background's variance goes, so that the steps after this one keep it.

The pipeline's flat field and photometry make ERR anew: the root of VAR_POISSON + VAR_RNOISE +
VAR_FLAT, the last of which they replace. What is added to ERR alone is lost there.
"""

from __future__ import annotations

import numpy as np

from bkgflow.detector import Window
from bkgflow.io.exposures.facts import ExposureFacts

__all__ = ["VARIANCE_TAKERS", "array_for_variance", "error_notes"]

VARIANCE_TAKERS = ("VAR_RNOISE", "VAR_POISSON")
"""The first that a target has takes its background's variance (see docs/decisions/)."""

SAMPLED_ROWS = 16
"""From the middle of a target, to see whether ERR² is the sum of its variances."""

TOLERANCE = 0.01
"""By which the median of their ratio may differ from 1."""


def array_for_variance(target: ExposureFacts) -> str | None:
    """Return the EXTNAME of the variance that a background's is added to; None without one."""
    return next((name for name in VARIANCE_TAKERS if name in target.variances), None)


def error_notes(target: ExposureFacts) -> tuple[str, ...] | None:
    """Say where a background's variance does not go all the way; None where it does.

    Raises
    ------
    FileError
        If the target cannot be read.
    """
    takes = array_for_variance(target)
    if takes is None:
        return (
            f"there is neither {' nor '.join(VARIANCE_TAKERS)} in the shape of SCI: the "
            "background's uncertainty is in ERR alone, and is lost where a later step makes ERR "
            "of variances",
        )
    notes = []
    if takes != VARIANCE_TAKERS[0]:
        notes.append(f"there is no {VARIANCE_TAKERS[0]}: the background's variance is in {takes}")
    ratio, pixels = _sum_over_square(target)
    if pixels and abs(ratio - 1) > TOLERANCE:
        notes.append(
            f"the sum of the variances is {ratio:.3g} of ERR² (median of {pixels} pixels): the "
            "background's was added to both, and their difference stays what it was"
        )
    return tuple(notes) or None


def _sum_over_square(target: ExposureFacts) -> tuple[float, int]:
    """Return the median of ΣVAR/ERR² over some rows, and of how many pixels it is."""
    window = target.window
    rows = min(SAMPLED_ROWS, window.ny)
    middle = Window(window.x0, window.y0 + (window.ny - rows) // 2, window.nx, rows)
    depth = () if target.n_integrations is None else (1,)
    err = np.empty((*depth, *middle.shape), np.float32)
    with target.source.reader() as reader:
        reader.read("err", middle, err)
    square = np.square(err.reshape(middle.shape), dtype=np.float64)
    total = np.zeros(middle.shape)
    for variance in target.source.variances(middle).values():
        total += variance
    good = np.isfinite(total) & np.isfinite(square) & (square > 0)
    if not good.any():
        return 1.0, 0
    return float(np.median(total[good] / square[good])), int(np.count_nonzero(good))
