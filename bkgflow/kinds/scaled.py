"""What fits of scaled skies do to an exposure, and what its product says of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bkgflow.io.products.writer import Edit, Plane
from bkgflow.io.references.skies import Templates
from bkgflow.methods.slitless import ScaleFit, subtract_scaled
from bkgflow.record import SlitlessFound

__all__ = ["fit_found", "joining", "scaled_sky", "subtracting"]


def subtracting(templates: Templates, fit: ScaleFit) -> Edit:
    """Return what the scaled skies do to SCI, some rows at a time."""

    def subtract(sci: Plane, _integration: int, rows: slice) -> None:
        subtract_scaled(sci, templates.sci[:, rows], fit.coefficients)

    return subtract


def joining(templates: Templates) -> Edit:
    """Return what skies do to DQ, however strong they are."""

    def join(dq: Plane, _integration: int, rows: slice) -> None:
        np.bitwise_or(dq, templates.dq[rows], out=dq)

    return join


def scaled_sky(templates: Templates, fit: ScaleFit) -> Edit:
    """Return what gives rows of the scaled skies: with the other sign, what is left of nothing."""

    def put(pixels: Plane, _integration: int, rows: slice) -> None:
        pixels[...] = 0
        subtract_scaled(pixels, templates.sci[:, rows], fit.coefficients)
        np.negative(pixels, out=pixels)

    return put


def fit_found(
    fit: ScaleFit,
    mask: NDArray[np.bool_],
    origin: str,
    *,
    notes: tuple[str, ...] = (),
    warnings: tuple[str, ...] = (),
) -> SlitlessFound:
    """Return what a product says of a fit: plain numbers, NaN where there is none.

    Parameters
    ----------
    mask : (ny, nx) bool
        True for background.
    origin : str
        How the mask was made.
    """
    several = fit.reason is None and len(fit.coefficients) > 1
    return SlitlessFound(
        mask=origin,
        masked_fraction=1 - int(np.count_nonzero(mask)) / mask.size,
        scaling_factors=tuple(fit.coefficients.tolist()),
        scaling_factor_errors=tuple(fit.standard_errors.tolist()),
        fit_pixels=fit.n_used,
        fit_fraction=fit.fraction,
        fit_iterations=fit.iterations,
        noise_scale=fit.noise_scale,
        scaling_factor_covariance=tuple(map(tuple, fit.covariance.tolist())) if several else None,
        fit_notes=notes,
        fit_warnings=warnings,
    )
