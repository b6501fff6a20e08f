"""What a SOSS fit finds, and how the sky is subtracted, in place."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from bkgflow.errors import ShapeError
from bkgflow.methods._compiled import read_only
from bkgflow.methods.arrays import Doubles, Floats, Integers, Reals
from bkgflow.methods.soss._stream import subtract_sky
from bkgflow.methods.soss.regions import discontinuity

__all__ = ["FittedSky", "SossFit", "subtract_soss"]


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
    errors, random_errors : (2, n) float64
        Their uncertainties (1 sigma), what the selection of dark pixels does included; the part
        that changes from draw to draw, to weigh scales of a time series with.
    rms : (n_templates, 2) float64
        Residuals of every template on both sides, the unit of the data; inf where a template
        cannot be fitted.
    n_kept, n_used : (2,) int64
        Pixels below the source threshold on each side that have a ratio; those of them between
        the two percentiles: the scales are their medians.
    threshold : float, or (float, float)
        Pixels from here on are sources, on both sides or on each; NaN without any good pixel.
        The unit of the data.
    notes : tuple of str
        Templates that could not be fitted, integrations that have no fit of their own.
    outlying : tuple of int
        Integrations, from 0, that are far from the others: they took no part in the fit, and
        have the scales of the whole exposure.
    """

    template: int | None
    reason: str
    scales: Doubles
    errors: Doubles
    random_errors: Doubles
    rms: Doubles
    n_kept: Integers
    n_used: Integers
    threshold: float | tuple[float, float]
    notes: tuple[str, ...] = ()
    outlying: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class FittedSky:
    """A fitted SOSS sky, ready to be subtracted from any rows of any integrations."""

    template: Floats  # (ny, nx), the one that was chosen; NaN where it is not finite
    steps: Integers  # (ny,), the first column right of its step
    fit: SossFit

    @classmethod
    def of(cls, template: Floats, fit: SossFit) -> FittedSky:
        """Join a fit and the template that it chose, (ny, nx) float32."""
        usable = np.where(np.isfinite(template), template, np.float32(np.nan))
        return cls(usable, discontinuity(template), fit)

    def subtract(self, sci: Reals, first: int, rows: slice) -> None:
        """Subtract from (n, rows, nx) pixels, in place; the first is of integration ``first``."""
        scales = self.fit.scales
        if scales.shape[1] == 1:
            left, right = np.broadcast_to(scales, (2, len(sci)))
        else:
            left, right = scales[:, first : first + len(sci)]
        template = read_only(self.template[rows], np.float32)
        steps = read_only(self.steps[rows], np.int64)
        left, right = read_only(left, np.float64), read_only(right, np.float64)
        subtract_sky(sci, template, steps, left, right)


def subtract_soss(
    sci: Reals, library: Floats, fit: SossFit, first: int = 0, *, threads: int = 1
) -> None:
    """Subtract the fitted sky from some integrations of a segment, in place.

    Left of the template's step its left scale counts, from the step to the end of the row the
    right one. A pixel where the template is not finite gets NaN: its sky is unknown. Without a
    template nothing changes.

    Parameters
    ----------
    sci : (ny, nx) or (n, ny, nx) float32 or float64
        From integration ``first`` on. The difference is worked out in float64 and rounded once.
    library : (n_templates, ny, nx) float32
        What was fitted.
    threads : int
        That subtract side by side, each from some of the integrations. The result is the same.

    Raises
    ------
    ShapeError
        The array does not fit the library, or the fit has fewer integrations.
    """
    if fit.template is None:
        return
    cube = sci if sci.ndim == 3 else sci[None]
    n = fit.scales.shape[1]
    if cube.shape[1:] != library.shape[1:] or (n > 1 and first + len(cube) > n):
        raise ShapeError(
            "SCI must have the rows and columns of the library and no more integrations "
            "than the fit",
            value=f"SCI {sci.shape} from {first}, library {library.shape}, fit of {n}",
            cure="Fit the segment that is subtracted from, with the same library",
        )
    template = np.asarray(library[fit.template], np.float32)
    sky, ends = FittedSky.of(template, fit), np.linspace(0, len(cube), threads + 1).astype(int)

    def subtract(start: int, stop: int) -> None:
        sky.subtract(cube[start:stop], first + start, slice(None))

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(subtract, ends[:-1].tolist(), ends[1:].tolist()))
