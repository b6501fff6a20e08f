"""Slitless exposures: mask the sources, scale the reference skies, subtract."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bkgflow.errors import MetadataError
from bkgflow.io.exposures.from_model import model_facts
from bkgflow.io.models import native
from bkgflow.io.references.slitless import SlitlessInputs, slitless_inputs
from bkgflow.kinds.inputs import FitInputs
from bkgflow.methods.boxes import boxes_to_mask, grism_boxes
from bkgflow.methods.residual_mask import residual_mask
from bkgflow.methods.slitless import enough_background, fit_background, subtract_scaled
from bkgflow.methods.wfss import ScaleFit
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
    facts = model_facts(model, model.meta.filename or "the exposure")
    found = slitless_inputs(
        facts,
        inputs.background,
        wavelengthrange=inputs.wavelengthrange,
        catalog=inputs.catalog,
        user_mask=inputs.mask,
        mmag_extract=settings.wfss_mmag_extract,
        orders=settings.wfss_orders,
    )
    if settings.wfss_rms_stop > 0 and found.dispersion_axis not in (1, 2):
        raise MetadataError(
            "wfss_rms_stop needs the dispersion axis of the exposure, 1 or 2",
            file=model.meta.filename,
            value=f"DISPAXIS {found.dispersion_axis}",
            cure="Run the pipeline's assign_wcs step, which sets DISPAXIS, or leave out "
            "wfss_rms_stop",
        )
    sci, err = native(model.data, np.float32), native(model.err, np.float32)
    dq = native(model.dq, np.uint32)
    mask, kind = _mask(found, sci, err, dq, settings)
    fit = fit_background(
        sci,
        err,
        dq,
        mask,
        found.templates.sci,
        users=found.mask is not None,
        maxiter=settings.wfss_maxiter,
        rms_stop=settings.wfss_rms_stop,
        outlier_percent=settings.wfss_outlier_percent,
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
