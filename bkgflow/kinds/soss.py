"""SOSS time series: one fit for the segments of an exposure, subtracted from each of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bkgflow.errors import InputError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.models import native
from bkgflow.io.references.soss_library import (
    SourceSegment,
    cut_library,
    read_library,
    read_template,
)
from bkgflow.methods.soss import ArraySegment, FittedSky, Segment, SossFit, fit_soss
from bkgflow.outcome import Outcome
from bkgflow.settings import StepSettings

__all__ = ["Applied", "SegmentFits", "apply_soss", "fit_exposure", "fit_segments", "fitted_sky"]


@dataclass(frozen=True, slots=True, eq=False)
class SegmentFits:
    """What was found for each segment of an exposure, by its path.

    Attributes
    ----------
    fits : dict of str to SossFit, str or InputError
        The fit; why there is none; or what is wrong with the file.
    """

    fits: dict[str, SossFit | str | InputError]


@dataclass(frozen=True, slots=True, eq=False)
class Applied:
    """How a segment ends.

    Attributes
    ----------
    outcome : Outcome
        COMPLETE or SKIPPED.
    reason : str
        Why it is skipped.
    record : dict
        What to write into the product's metadata.
    sky : FittedSky or None
        What is subtracted; None where nothing is.
    """

    outcome: Outcome
    reason: str
    record: dict[str, Any]
    sky: FittedSky | None = None


def fit_exposure(
    segments: Sequence[ExposureFacts], background: str, settings: StepSettings, threads: int = 1
) -> SegmentFits:
    """Fit the sky of an exposure's segments, read from their files.

    A segment whose file goes bad is left out, and its neighbours are fitted without it.

    Parameters
    ----------
    segments : sequence of ExposureFacts
        In the order of time.
    background : str
        Path of the sky library.
    settings : StepSettings
        The ``soss_`` arguments.
    threads : int
        Templates that are fitted at a time.
    """
    good: dict[str, Segment] = {facts.path: SourceSegment(facts.source) for facts in segments}
    return fit_segments(good, background, settings, threads)


def fit_segments(
    segments: dict[str, Segment], background: str, settings: StepSettings, threads: int = 1
) -> SegmentFits:
    """Fit segments by name; see `fit_exposure`."""
    library = read_library(background)
    left, found = dict(segments), dict[str, SossFit | str | InputError]()
    frames = {segment.shape[1:] for segment in left.values()}
    for frame in frames:
        part, reason = cut_library(library, frame)
        group = {name: s for name, s in left.items() if s.shape[1:] == frame}
        if part is None:
            found |= dict.fromkeys(group, reason)
            continue
        while group:
            try:
                fits = fit_soss(
                    list(group.values()),
                    part,
                    soss_source_percentile=settings.soss_source_percentile,
                    soss_bkg_percentile=settings.soss_bkg_percentile,
                    soss_fit=settings.soss_fit,
                    threads=threads,
                )
            except InputError as error:
                if error.file not in group:
                    raise
                found[error.file] = error
                del group[error.file]
                continue
            found |= dict(zip(group, fits, strict=True))
            break
    return SegmentFits(found)


def apply_soss(
    model: Any,
    name: str,
    background: str,
    settings: StepSettings,
    fits: SegmentFits | None = None,
) -> Applied:
    """Subtract the fitted sky from an open data model, in place.

    Parameters
    ----------
    model : ImageModel or CubeModel
        Only its SCI changes.
    name : str
        The segment's in ``fits``.
    background : str
        Path of the sky library.
    settings : StepSettings
        The ``soss_`` arguments.
    fits : SegmentFits, optional
        What was found; without it, the model is fitted alone.
    """
    if fits is None:
        alone: dict[str, Segment] = {name: ArraySegment(model.data, model.dq)}
        fits = fit_segments(alone, background, settings, os.cpu_count() or 1)
    applied = fitted_sky(model.data.shape, name, background, fits)
    if applied.sky is not None:
        sci = native(model.data, np.float32)
        applied.sky.subtract(sci if sci.ndim == 3 else sci[None], 0, slice(None))
        model.data = sci
    return applied


def fitted_sky(shape: tuple[int, ...], name: str, background: str, fits: SegmentFits) -> Applied:
    """Return what is to be subtracted from a segment, and what is said of it.

    Parameters
    ----------
    shape : tuple of int
        Of its SCI.
    name, background, fits
        As for `apply_soss`.

    Raises
    ------
    InputError
        What was wrong with the segment when it was fitted.
    """
    fit = fits.fits[name]
    if isinstance(fit, InputError):
        raise fit
    if isinstance(fit, str):
        return Applied(Outcome.SKIPPED, fit, {})
    if fit.template is None:
        return Applied(Outcome.SKIPPED, fit.reason, {"fit_notes": list(fit.notes)})
    template = read_template(background, fit.template, shape)
    return Applied(Outcome.COMPLETE, "", _record(fit, fits), FittedSky.of(template, fit))


def _record(fit: SossFit, fits: SegmentFits) -> dict[str, Any]:
    """What the product says of the fit: plain numbers, inf where a template has no rms."""
    left, right = fit.scales.tolist()
    left_errors, right_errors = fit.errors.tolist()
    left_random, right_random = fit.random_errors.tolist()
    without = [Path(name).name for name, f in fits.fits.items() if not isinstance(f, SossFit)]
    return {
        "template": fit.template,
        "left_scale": left,
        "right_scale": right,
        "left_scale_error": left_errors,
        "right_scale_error": right_errors,
        "left_scale_random_error": left_random,
        "right_scale_random_error": right_random,
        "source_threshold": fit.threshold,
        "template_rms": fit.rms.tolist(),
        "fit_pixels": fit.n_used.tolist(),
        "fit_segments": len(fits.fits) - len(without),
        "segments_left_out": without,
        "fit_notes": list(fit.notes),
    }
