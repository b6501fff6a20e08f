"""How far a SOSS scale may be from the truth.

The scale is biased low by construction: only dark pixels count, and only the darker part of
their ratios. The uncertainty covers that. Were all good pixels of a side sky with Gaussian
noise, the kept fraction f would be the lowest f of them, and the scale the f × p quantile, p
being midway between the two percentiles; how far that lies below the centre follows from the
distance between the percentiles' values. This offset is added in quadrature to the random
error, but not less than the ratios' standard deviation, if they were spread evenly.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from bkgflow.methods.soss.ranks import Middle

__all__ = ["uncertainty"]


def uncertainty(
    middle: Middle, fraction: float, percentiles: tuple[float, float]
) -> tuple[float, float]:
    """Return a scale's random error, and its error with the bias of the selection in it.

    The random error is that of a quantile, sqrt(p (1 − p) / n) over the density of the ratios;
    the density is the mean one between the percentiles.

    Parameters
    ----------
    middle : Middle
        The scale and the percentiles' values.
    fraction : float
        Kept pixels over good ones on this side.
    percentiles : (float, float)
        From 0 to 100.
    """
    low, high = (each / 100 for each in percentiles)
    centre, n = (low + high) / 2, middle.n_kept
    spread = (middle.upper - middle.lower) / (high - low)
    random = spread * math.sqrt(centre * (1 - centre) / n)

    def normal(share: float) -> float:
        """The Gaussian quantile of a share of the kept pixels, the outermost half a pixel in."""
        share = min(max(share, 0.5 / n), 1 - 0.5 / n) * min(fraction, 1.0)
        return NormalDist().inv_cdf(min(share, 1 - 1e-12))

    offset = spread * (high - low) * abs(normal(centre)) / (normal(high) - normal(low))
    return random, math.hypot(random, max(offset, spread / math.sqrt(12)))
