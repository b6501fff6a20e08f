"""What a SOSS fit finds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["SossFit"]


@dataclass(frozen=True, slots=True, eq=False)
class SossFit:
    """The sky of one segment of a time series: a template and its two scales.

    The first axis of ``scales``, ``errors`` and ``random_errors`` is the side of the template's
    step: left, right. The second is time: one entry for all integrations, or one for each.

    Attributes
    ----------
    template : int or None
        Which of the library; None where nothing can be subtracted.
    reason : str
        Why ``template`` is None; else empty.
    scales : (2, n) float64
        Sky over template, no unit where the library is in the unit of the data.
    errors : (2, n) float64
        Their uncertainties (1 sigma), what the selection of dark pixels does included.
    random_errors : (2, n) float64
        The part that changes from draw to draw: what to weigh scales of a time series with.
    rms : (n_templates, 2) float64
        Residuals of every template on both sides, the unit of the data; inf where a template
        cannot be fitted.
    n_kept : (2,) int64
        Pixels below the source threshold on each side that have a ratio.
    n_used : (2,) int64
        Those of them between the two percentiles: the scales are their medians.
    threshold : float
        Pixels from here on are sources; NaN without any good pixel. The unit of the data.
    notes : tuple of str
        Templates that could not be fitted, integrations that have no fit of their own.
    """

    template: int | None
    reason: str
    scales: NDArray[np.float64]
    errors: NDArray[np.float64]
    random_errors: NDArray[np.float64]
    rms: NDArray[np.float64]
    n_kept: NDArray[np.int64]
    n_used: NDArray[np.int64]
    threshold: float
    notes: tuple[str, ...] = ()

    def at(self, first: int, stop: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the left and right scales of integrations ``first`` to ``stop - 1``."""
        if self.scales.shape[1] == 1:
            left, right = np.broadcast_to(self.scales, (2, stop - first))
        else:
            left, right = self.scales[:, first:stop]
        return left, right
