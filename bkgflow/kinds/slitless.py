"""Slitless exposures: mask the sources, scale the reference skies, subtract."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bkgflow.io.models import native
from bkgflow.io.references.slitless import SlitlessInputs, slitless_inputs
from bkgflow.kinds.inputs import FitInputs
from bkgflow.methods.slitless import (
    ScaleFit,
    boxes_to_mask,
    enough_background,
    fit_background,
    grism_boxes,
    residual_mask,
    subtract_scaled,
)
from bkgflow.outcome import Outcome
from bkgflow.settings import StepSettings

__all__ = ["apply_wfss"]

Mask = NDArray[np.bool_]


def apply_wfss(
    model: Any, inputs: FitInputs, settings: StepSettings
) -> tuple[Outcome, str, dict[str, Any]]:
    """Fit and subtract the reference skies from an open data model, in place.

    Parameters
    ----------
    model : ImageModel
        Gets ``mask`` (uint32, 1 = background) and ``meta.background.scaling_factor``: the first
        component's, 0 where there is no fit. SCI stays as it is then.
    inputs : FitInputs
        The files.
    settings : StepSettings
        The ``wfss_`` arguments.

    Returns
    -------
    outcome, reason, record
        COMPLETE, or FAILED with the reason; what to write into the product's metadata.

    Raises
    ------
    InputError
        If a file is bad, or ``wfss_rms_stop`` lacks the exposure's dispersion axis.
    """
    found = slitless_inputs(
        model,
        inputs.background,
        wavelengthrange=inputs.wavelengthrange,
        catalog=inputs.catalog,
        user_mask=inputs.mask,
        mmag_extract=settings.wfss_mmag_extract,
        orders=settings.wfss_orders,
    )
    rule = settings.scale_rule
    rule.check_axis(found.dispersion_axis, model.meta.filename)  # before the mask, which is dear
    sci, err = native(model.data, np.float32), native(model.err, np.float32)
    dq = native(model.dq, np.uint32)
    mask, kind = _mask(found, sci, err, dq, settings)
    fit = fit_background(
        sci,
        err,
        dq,
        mask,
        found.templates.sci,
        rule,
        users=found.mask is not None,
        dispersion_axis=found.dispersion_axis,
    )
    model.mask = mask.astype(np.uint32)
    model.meta.background.scaling_factor = float(fit.coefficients[0])
    record = {"mask": kind, "masked_fraction": float(1 - mask.mean()), **_record(fit)}
    if fit.reason is not None:
        return Outcome.FAILED, fit.reason, record
    subtract_scaled(sci, dq, found.templates.sci, fit.coefficients, found.templates.dq)
    model.data, model.dq = sci, dq
    return Outcome.COMPLETE, "", record


def _mask(
    found: SlitlessInputs,
    sci: NDArray[Any],
    err: NDArray[Any],
    dq: NDArray[Any],
    settings: StepSettings,
) -> tuple[Mask, str]:
    """Return the mask, True for background, and how it was made."""
    if found.mask is not None:
        return found.mask, "user"
    boxes: Mask | None = None
    if found.corners is not None and settings.wfss_mask_mode != "residual":
        corners = found.corners
        edges = grism_boxes(corners.x, corners.y, sci.shape, found.dispersion_axis)
        boxes = boxes_to_mask(edges, sci.shape)
        enough = enough_background(boxes, dq, found.templates.sci) is None
        if settings.wfss_mask_mode == "boxes" or enough:
            return boxes, "boxes"
    made = residual_mask(sci, err, dq, found.templates.sci, dispersion_axis=found.dispersion_axis)
    return made.mask, "residual" if made.stable else "residual, not settled"


def _record(fit: ScaleFit) -> dict[str, Any]:
    """What the product says of the fit: plain numbers, NaN where there is none."""
    record: dict[str, Any] = {
        "scaling_factors": fit.coefficients.tolist(),
        "scaling_factor_errors": fit.standard_errors.tolist(),
        "fit_pixels": fit.n_used,
        "fit_fraction": fit.fraction,
        "fit_iterations": fit.iterations,
        "noise_scale": fit.noise_scale,
    }
    if fit.reason is None and len(fit.coefficients) > 1:
        record["scaling_factor_covariance"] = fit.covariance.tolist()
    return record
