"""What a SOSS product says of its fit, and what is looked at to judge it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from bkgflow.kinds.thin import Scaled, thin_fits
from bkgflow.methods.soss import SossFit
from bkgflow.record import SossFound

__all__ = ["LIKELY", "found_by", "sides_of"]

_NUMBER = 0.123456789012345678
"""As long as most numbers are when they are written."""

LIKELY = SossFound(
    template=0,
    left_scale=_NUMBER,
    right_scale=_NUMBER,
    left_scale_error=_NUMBER / 1000,
    right_scale_error=_NUMBER / 1000,
    left_scale_random_error=_NUMBER / 1000,
    right_scale_random_error=_NUMBER / 1000,
    source_threshold=_NUMBER,
    template_rms=((_NUMBER, _NUMBER),) * 10,
    fit_pixels=(10000, 10000),
    fit_segments=1,
    segments_left_out=(),
)
"""What is found of most exposures, as far as it takes room in a header."""

SIDES = ("left", "right")

MOST_NAMED = 10  # integrations in a warning; notes name all of them


def sides_of(fit: SossFit) -> list[Scaled]:
    """Return both scales as they are judged: of a time series the middle one of each side."""
    return [
        Scaled(f"the {name} scale", float(np.median(scales)), float(np.median(errors)), int(n))
        for name, scales, errors, n in zip(SIDES, fit.scales, fit.errors, fit.n_used, strict=True)
    ]


def found_by(fit: SossFit, n_segments: int, left_out: Iterable[str]) -> SossFound:
    """Return what the product says of the fit: plain numbers, inf where a template has no rms."""
    # Left and right of the step: one value for an exposure, or one for each integration.
    (left, right), (left_error, right_error), (left_random, right_random) = (
        map(tuple, each.tolist()) for each in (fit.scales, fit.errors, fit.random_errors)
    )
    return SossFound(
        template=fit.template,
        left_scale=left,
        right_scale=right,
        left_scale_error=left_error,
        right_scale_error=right_error,
        left_scale_random_error=left_random,
        right_scale_random_error=right_random,
        source_threshold=fit.threshold,
        template_rms=tuple(map(tuple, fit.rms.tolist())),
        fit_pixels=tuple(fit.n_used.tolist()),
        fit_segments=n_segments,
        segments_left_out=tuple(left_out),
        fit_notes=fit.notes,
        fit_warnings=(*thin_fits(sides_of(fit)), *_left_out(fit)),
        outlying_integrations=tuple(k + 1 for k in fit.outlying),
    )


def _left_out(fit: SossFit) -> list[str]:
    """Say in short which integrations are far from the others; the notes say how far."""
    if not fit.outlying:
        return []
    named = ", ".join(str(k + 1) for k in fit.outlying[:MOST_NAMED])
    more = f" and {len(fit.outlying) - MOST_NAMED} more" if len(fit.outlying) > MOST_NAMED else ""
    return [f"integration {named}{more} took no part in the fit: far from the others"]
