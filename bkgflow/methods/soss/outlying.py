"""Integrations that are far from the others of a time series, and must not move their fit.

One integration gone wrong, such as one with an offset, changes the percentile that is the source
threshold, and with it the scales of all others. What is compared is the faint side of each
integration: its 10 and 25 percent quantiles, which sky makes, and hardly the star.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bkgflow.methods.arrays import Bools, Doubles
from bkgflow.methods.soss.sky import SossFit

__all__ = ["FRACTIONS", "name_outlying", "outlying"]

FRACTIONS = (0.10, 0.25)
"""The quantiles of an integration that are looked at."""

SIGMAS = 5.0
"""Standard deviations from the median integration, by the median absolute deviation."""

TO_SIGMA = 1.482602218505602
"""Standard deviation over median absolute deviation of a normal distribution."""

WIDTHS = 2.0
"""Distances between the two quantiles; with few integrations, a deviation says little alone.
Noise moves a quantile by a hundredth of that, a transit or a drifting sky by a tenth."""

LEAST = 0.1
"""Of the level: where all pixels of an integration are alike, the quantiles have no distance."""


def outlying(quantiles: Doubles) -> Bools:
    """Return which integrations are far from the others: (n,) bool; of one or two, none is.

    Parameters
    ----------
    quantiles : (n, 2) float64
        Of each integration's good pixels, at `FRACTIONS`; NaN where it has none.
    """
    known = np.isfinite(quantiles).all(axis=1)
    far = np.zeros(len(quantiles), bool)
    if known.sum() < 3:
        return far
    level = np.median(quantiles[known], axis=0)
    gap = np.abs(quantiles - level)
    spread = TO_SIGMA * np.median(gap[known], axis=0)
    width = np.median(quantiles[known, 1] - quantiles[known, 0])
    floor = np.maximum(WIDTHS * width, LEAST * np.abs(level))
    far[known] = (gap[known] > np.maximum(SIGMAS * spread, floor)).any(axis=1)
    return far


def name_outlying(
    fits: Sequence[SossFit], lengths: Sequence[int], levels: Doubles, far: Bools
) -> tuple[SossFit, ...]:
    """Return the fits, one for each segment, with the integrations that took no part in them.

    Parameters
    ----------
    lengths : sequence of int
        Integrations of each segment.
    levels, far : (n,) float64, (n,) bool
        Of every integration, its 25 percent quantile, and whether it is far from the others.
    """
    if not far.any():
        return tuple(fits)
    level, named, start = float(np.nanmedian(levels[~far])), [], 0
    for fit, length in zip(fits, lengths, strict=True):
        here = np.flatnonzero(far[start : start + length]).tolist()
        words = [
            f"integration {k + 1} is far from the others: its faint side is at "
            f"{levels[start + k]:.4g}, theirs at {level:.4g}; it took no part in the fit, and "
            "has the scales of the whole exposure"
            for k in here
        ]
        named.append(replace(fit, notes=(*fit.notes, *words), outlying=tuple(here)))
        start += length
    return tuple(named)
