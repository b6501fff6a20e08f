"""Subtracting a fitted SOSS sky, in place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bkgflow.errors import ShapeError
from bkgflow.methods._compiled import read_only
from bkgflow.methods.soss._stream import subtract_sky
from bkgflow.methods.soss.regions import discontinuity
from bkgflow.methods.soss.result import SossFit

__all__ = ["FittedSky", "subtract_soss"]


@dataclass(frozen=True, slots=True, eq=False)
class FittedSky:
    """A fitted SOSS sky, ready to be subtracted from any rows of any integrations.

    Attributes
    ----------
    template : (ny, nx) float32
        The template that was chosen; NaN where it is not finite.
    steps : (ny,) int64
        The first column right of its step.
    fit : SossFit
        Its scales.
    """

    template: NDArray[np.float32]
    steps: NDArray[np.int64]
    fit: SossFit

    @classmethod
    def of(cls, template: NDArray[np.float32], fit: SossFit) -> FittedSky:
        """Join a fit and the template that it chose, (ny, nx) float32."""
        usable = np.where(np.isfinite(template), template, np.float32(np.nan))
        return cls(usable, discontinuity(template), fit)

    def subtract(self, sci: NDArray[np.floating], first: int, rows: slice) -> None:
        """Subtract from (n, rows, nx) pixels, in place; the first is of integration ``first``."""
        left, right = self.fit.at(first, first + len(sci))
        subtract_sky(
            sci,
            read_only(self.template[rows], np.float32),
            read_only(self.steps[rows], np.int64),
            read_only(left, np.float64),
            read_only(right, np.float64),
        )


def subtract_soss(
    sci: NDArray[np.floating], library: NDArray[np.float32], fit: SossFit, first: int = 0
) -> None:
    """Subtract the fitted sky from some integrations of a segment, in place.

    Left of the template's step its left scale counts, from the step to the end of the row the
    right one. A pixel where the template is not finite gets NaN: its sky is unknown. Without a
    template nothing changes.

    Parameters
    ----------
    sci : (ny, nx) or (n, ny, nx) float32 or float64
        Changed. The difference is worked out in float64 and rounded once.
    library : (n_templates, ny, nx) float32
        What was fitted.
    fit : SossFit
        The segment's fit.
    first : int
        Which integration of the segment (from 0) ``sci`` begins with.

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
            "SCI has the rows and columns of the library and no more integrations than the fit",
            value=f"SCI {sci.shape} from {first}, library {library.shape}, fit of {n}",
            cure="Fit the segment that is subtracted from, with the same library",
        )
    template = np.asarray(library[fit.template], np.float32)
    FittedSky.of(template, fit).subtract(cube, first, slice(None))
