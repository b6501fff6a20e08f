"""Combined backgrounds whose gaps are filled: it needs the whole frame, so a unit does it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bkgflow.detector import FLUX_ESTIMATED
from bkgflow.kinds.bands import Band, join
from bkgflow.methods.clip import Combined, Packed
from bkgflow.methods.fill import fill_gaps

__all__ = ["FILL_BYTES", "filled", "without_gaps"]

FILL_BYTES = 64
"""Of a pixel, while gaps are filled: sums of neighbours in float64."""


def filled(bands: Sequence[Band]) -> list[Band]:
    """Return the bands of a whole frame, first row first, with all gaps filled that can be."""
    ordered = sorted(bands, key=lambda band: band.window.y0)
    whole, done, start = without_gaps(join(ordered)), list[Band](), 0
    for band in ordered:
        stop = start + band.window.ny
        done.append(replace(band, packed=Packed.of(whole.rows(slice(start, stop)))))
        start = stop
    return done


def without_gaps(background: Combined) -> Combined:
    """Return a whole frame whose pixels without a background got one from their neighbours.

    Those are flagged FLUX_ESTIMATED, and count as made of one exposure.
    """
    sci, err = background.sci.copy(), background.err.copy()
    here = fill_gaps(sci, err, background.n_used)
    dq = background.dq | np.where(here, np.uint32(FLUX_ESTIMATED), np.uint32(0))
    return Combined(sci, err, dq, np.where(here, np.uint16(1), background.n_used))
