"""Slitless exposures: the sources are masked, the reference skies scaled and subtracted."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import DO_NOT_USE
from bkgflow.errors import MetadataError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.source import read_whole
from bkgflow.io.products.writer import Changes, Settle, unedited, unsettled
from bkgflow.io.references.find import find_reference
from bkgflow.io.references.grism_wcs import check_wcs
from bkgflow.io.references.slitless import SlitlessInputs, slitless_inputs
from bkgflow.io.storage.location import Location
from bkgflow.kinds.base import Assignment, Change, Kind
from bkgflow.kinds.references import KEYWORDS, chosen, find_sky, skipped, to_be_fitted
from bkgflow.kinds.scaled import fit_found, joining, scaled_sky, subtracting
from bkgflow.kinds.thin import Scaled, thin_fits, too_uncertain
from bkgflow.matching import normal
from bkgflow.methods.slitless import (
    ScaleFit,
    boxes_to_mask,
    enough_background,
    fit_background,
    grism_boxes,
    mask_doubts,
    residual_mask,
)
from bkgflow.planning.kind import Prepared, Request
from bkgflow.programs.search_path import check_confined
from bkgflow.record import SlitlessFound
from bkgflow.scratch import Scratch
from bkgflow.settings import StepSettings
from bkgflow.verdict import State

__all__ = ["SlitlessKind"]

HELD_BYTES = 16
"""Of a pixel: SCI, ERR, DQ and a reference sky."""

_NUMBER = 0.123456789012345678
"""As long as most numbers are when they are written."""

_LIKELY = SlitlessFound(
    mask="boxes",
    masked_fraction=_NUMBER,
    scaling_factors=(_NUMBER,),
    scaling_factor_errors=(_NUMBER / 1000,),
    fit_pixels=1000000,
    fit_fraction=_NUMBER,
    fit_iterations=5,
    noise_scale=_NUMBER,
)
"""What is found of most exposures, as far as it takes room in a header."""

Mask = NDArray[np.bool_]


class SlitlessKind(Kind):
    """Wide-field slitless spectroscopy: a fit for each exposure, whose mask is in the product."""

    name = "slitless"
    version = 4
    verb = "fit"
    noun = "fit"
    arguments = (
        "wfss_mmag_extract",
        "wfss_mask",
        "wfss_maxiter",
        "wfss_rms_stop",
        "wfss_outlier_percent",
        "wfss_mask_mode",
        "wfss_orders",
        "wfss_max_error",
        "override_bkg",
        "override_wavelengthrange",
        "allow_subtracted",
    )
    reads = frozenset({"sourcecat"})
    names = (("sourcecat", "SCATFILE"), ("segmap", "SEGMFILE"), ("direct_image", "DIRIMAGE"))

    def prepare(self, request: Request, settings: StepSettings) -> Prepared:
        """Find what the exposure is fitted with."""
        background = find_sky(request, settings)
        if not background.applicable:
            return skipped(request)
        if settings.wfss_mask is not None:
            mask = Location.of(settings.wfss_mask)
            fitted = to_be_fitted(request, chosen([background], mask=mask))
            return fitted.noting(f"wfss_mask {mask.name}: 1 is background, 0 is a source")
        if settings.wfss_mask_mode == "residual":
            return to_be_fitted(request, chosen([background]))
        catalog = _catalog(request)
        check_confined(catalog, request.confine)
        keywords, override = dict(request.target.keywords), settings.override_wavelengthrange
        ranges = find_reference(
            "wavelengthrange", keywords, override=override, folder=request.folder
        )
        if not ranges.applicable:
            reason = 'the wavelengthrange reference is "N/A" for this exposure'
            return replace(
                skipped(request, reason), keywords=((KEYWORDS["wavelengthrange"], "N/A"),)
            )
        both, [path] = [background, ranges], ranges.locations
        fitted = to_be_fitted(request, chosen(both, wavelengthrange=path, catalog=catalog))
        check_wcs(request.target)  # here: nobody should wait for a run to be told
        return fitted

    def held(self, target: ExposureFacts, settings: StepSettings) -> int:
        """The whole exposure and its reference."""
        return target.n_pixels * HELD_BYTES

    def foresee(self, work: Assignment) -> Change:
        """The boxes leave enough for a fit, and nothing speaks against it."""
        mask = np.broadcast_to(np.bool_(0), work.target.window.shape)
        changes = replace(unedited(["SCI", "DQ"]), mask=mask, scaling_factor=1.0)
        return Change.ended(work, State.COMPLETE, _LIKELY, changes)

    def change(
        self, work: Assignment, shared: Sequence[object], settle: Settle = unsettled
    ) -> Change:
        """Mask, fit and subtract; where there is no fit, the mask is all that is written."""
        assert work.references is not None
        target, settings = work.target, work.settings
        # Before anything is read; the fit itself could not name the file.
        settings.scale_rule.check_axis(target.dispersion_axis, str(target.location))
        # Pixels leave the interpreter alone while they are read; catalog and WCS take it.
        with Scratch() as scratch, ThreadPoolExecutor(1) as pool:
            pixels = pool.submit(read_whole, target.source, scratch)
            inputs = slitless_inputs(
                target,
                work.references.background,
                wavelengthrange=work.references.wavelengthrange,
                catalog=work.references.catalog,
                user_mask=work.references.mask,
                mmag_extract=settings.wfss_mmag_extract,
                orders=settings.wfss_orders,
            )
            sci, err, dq = pixels.result()
            mask, origin = _mask(inputs, sci, err, dq, settings)
            users, templates = inputs.mask is not None, inputs.templates
            join = joining(templates)
            # Whatever the fit finds; if it finds nothing, DQ is written again.
            settle(Changes({"DQ": join}, mask=mask))
            fit = fit_background(
                *(sci, err, dq, mask, templates.sci),
                settings.scale_rule,
                users=users,
                dispersion_axis=target.dispersion_axis,
                template_dq=templates.dq,
            )
            doubts = mask_doubts(sci, dq, mask, templates.sci) if users else ()
        main = [] if fit.reason else [_main(fit)]
        warnings = (*doubts, *thin_fits(main))
        found = fit_found(fit, mask, origin, notes=inputs.notes, warnings=warnings)
        reason = fit.reason or too_uncertain(main, settings.wfss_max_error, "wfss_max_error")
        changes = Changes(mask=mask, scaling_factor=0.0)
        if not reason:
            factor, extras = float(fit.coefficients[0]), {"background": scaled_sky(templates, fit)}
            edits = {"SCI": subtracting(templates, fit), "DQ": join}
            settle(Changes(edits), threads=2)  # while the headers are made, which is done sooner
            changes = replace(changes, edits=edits, scaling_factor=factor, extras=extras)
        state = State.FAILED if reason else State.COMPLETE
        return Change.ended(work, state, found, changes, reason=reason)


def _catalog(request: Request) -> Location:
    """Return where the source catalog is: the association's, else the one that SCATFILE names."""
    if request.catalogs:
        return request.catalogs[0]
    name, target = request.target.keyword("SCATFILE"), request.target.location
    if not normal(name):
        raise MetadataError(
            "A slitless exposure must have a source catalog or a mask of its background",
            file=target,
            value="no sourcecat member in the association, no SCATFILE, no wfss_mask",
            cure="Give a catalog in one of these ways, a mask with wfss_mask, or "
            "wfss_mask_mode residual",
        )
    return target.parent / name


def _mask(
    inputs: SlitlessInputs,
    sci: NDArray[np.float32],
    err: NDArray[np.float32],
    dq: NDArray[np.uint32],
    settings: StepSettings,
) -> tuple[Mask, str]:
    """Return the mask, True for background, and how it was made."""
    if inputs.mask is not None:
        return inputs.mask, "user"
    axis = inputs.dispersion_axis
    if inputs.corners is not None and settings.wfss_mask_mode != "residual":
        edges = grism_boxes(inputs.corners.x, inputs.corners.y, sci.shape, axis)
        boxes = boxes_to_mask(edges, sci.shape)
        if (
            settings.wfss_mask_mode == "boxes"
            or enough_background(boxes, dq, inputs.templates.sci) is None
        ):
            return boxes, "boxes"
    flags = dq | (inputs.templates.dq & np.uint32(DO_NOT_USE))
    made = residual_mask(sci, err, flags, inputs.templates.sci, dispersion_axis=axis)
    return made.mask, "residual" if made.stable else "residual, not settled"


def _main(fit: ScaleFit) -> Scaled:
    """Return what is looked at to judge a fit: other components may well be next to nothing."""
    error = float(fit.standard_errors[0])
    return Scaled("the scaling factor", float(fit.coefficients[0]), error, fit.n_used)
