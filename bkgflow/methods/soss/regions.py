"""Where a SOSS sky template steps, and the two sides of the step.

The columns are those of the reference step (jwst 3.0.0).
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from bkgflow.methods.arrays import Floats, Integers, Reals

__all__ = ["LAST_FIT_COLUMN", "STEP_STOP", "discontinuity", "fit_regions", "side_templates"]

FIRST_STEP_COLUMN, STEP_STOP = 685, 725  # the step is looked for in columns 685 to 724
LAST_FIT_COLUMN = 950
"""Beyond it the traces contaminate the sky: it is subtracted there, but not fitted."""

SMOOTHING = 3.0  # standard deviation of the filter that is applied before the gradient, in pixels
REACH = 13
"""Columns around those of the step that their smoothed gradient depends on: scipy's filter
ends at 4 standard deviations, and the gradient looks one pixel further."""


def discontinuity(template: Floats) -> Integers:
    """Return the first column right of the step, for every row.

    (ny,) int64: where the smoothed ``template``, (ny, nx) float32 of nx > 725, rises most
    steeply in columns 685 to 724.
    """
    first = FIRST_STEP_COLUMN - REACH
    near = gaussian_filter(template[:, first : STEP_STOP + REACH], SMOOTHING)
    steepness = np.gradient(near, axis=1)[:, REACH : REACH + STEP_STOP - FIRST_STEP_COLUMN]
    return np.asarray(np.argmax(steepness, axis=1) + FIRST_STEP_COLUMN, np.int64)


def side_templates(template: Floats, steps: Integers) -> tuple[Floats, Floats]:
    """Return a template's two sides as they are fitted, flat, NaN elsewhere.

    Two of (ny × columns,) float32: the columns up to 950.
    """
    fitted = template[:, : LAST_FIT_COLUMN + 1]
    left = np.arange(fitted.shape[1]) < steps[:, None]
    nothing = np.full_like(fitted, np.nan)
    sides = np.where(left, fitted, nothing), np.where(left, nothing, fitted)
    return sides[0].reshape(-1), sides[1].reshape(-1)


def fit_regions(share: Reals, sky: Reals) -> Reals:
    """Return where the sky was fitted, by side: ``share``, negative left of the step, 0 beyond
    the columns that are fitted.

    Parameters
    ----------
    share : (ny, nx)
        Of the integrations in which a pixel is good and below the source threshold.
    sky : (ny, nx)
        What was subtracted; where it is NaN the rest of its row stands in.
    """
    columns = np.arange(sky.shape[1])
    filled = np.zeros(sky.shape, np.float32)
    for row, values in zip(filled, sky, strict=True):
        known = np.isfinite(values)
        if known.any():
            row[:] = np.interp(columns, columns[known], values[known])
    left = columns < discontinuity(filled)[:, None]
    return np.where(columns <= LAST_FIT_COLUMN, np.where(left, -share, share), 0.0)
