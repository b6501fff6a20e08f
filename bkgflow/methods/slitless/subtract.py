"""The sky of a slitless exposure: whether enough of it shows, how strong it is, and away."""

from __future__ import annotations

import numpy as np

from bkgflow.detector import DO_NOT_USE
from bkgflow.methods.arrays import Bools, Doubles, Flags, Reals
from bkgflow.methods.slitless.scale import ScaleFit, fit_scale
from bkgflow.rules import ScaleRule

__all__ = ["enough_background", "fit_background", "subtract_scaled"]

DEFAULT = ScaleRule()

LEAST_FRACTION = 0.05
"""Of all pixels, what an automatic mask must leave (more than this), as the reference step."""


def fit_background(
    sci: Reals,
    err: Reals,
    dq: Flags,
    mask: Bools,
    templates: Reals,
    rule: ScaleRule = DEFAULT,
    *,
    users: bool = False,
    dispersion_axis: int | None = None,
) -> ScaleFit:
    """Fit the templates, as `fit_scale`, if there is `enough_background`; else say why not."""
    reason = enough_background(mask, dq, templates, users=users)
    if reason is not None:
        return ScaleFit.failed(1 if templates.ndim == 2 else len(templates), reason)
    return fit_scale(sci, err, mask, templates, rule, dispersion_axis=dispersion_axis)


def enough_background(
    mask: Bools, dq: Flags, templates: Reals, *, users: bool = False
) -> str | None:
    """Return None where the mask leaves enough to fit, else why it does not.

    Pixels count that are background, are without DO_NOT_USE, and for which any template is not 0.

    Parameters
    ----------
    mask : (ny, nx) bool
        True for background.
    dq : (ny, nx) uint32
        The exposure's flags.
    templates : (n_templates, ny, nx) or (ny, nx) float
        The reference skies.
    users : bool
        Whether a user made the mask: one usable pixel is enough then, whatever the reference
        holds there. An automatic mask must leave more than 5 % of all pixels.
    """
    usable = mask & ((dq & DO_NOT_USE) == 0)
    if not users:
        usable &= np.any(templates.reshape(-1, *mask.shape) != 0, axis=0)
    count, least = np.count_nonzero(usable), 0 if users else int(LEAST_FRACTION * mask.size)
    if count > least:
        return None
    share = 100 * count / mask.size
    return (
        "Too few background pixels: "
        f"{count} of {mask.size} ({share:.2g} %) are usable, more than {least} are needed"
    )


def subtract_scaled(sci: Reals, templates: Reals, coefficients: Doubles) -> None:
    """Subtract the scaled templates in place.

    A pixel for which a template is NaN becomes NaN, as in the reference step.

    Parameters
    ----------
    sci : (ny, nx) float, DN/s
        The exposure, or some rows of it. Changed.
    templates : (n_templates, ny, nx) or (ny, nx) float
        The reference skies, the same rows.
    coefficients : (n_templates,) float64
        As fitted.
    """
    templates = templates.reshape(-1, *sci.shape)
    for row in range(sci.shape[0]):  # row by row: the sky in float64 stays small
        sky = coefficients[0] * templates[0, row].astype(np.float64)
        for factor, template in zip(coefficients[1:], templates[1:], strict=True):
            sky += factor * template[row]
        np.subtract(sci[row], sky, out=sci[row], casting="same_kind")
