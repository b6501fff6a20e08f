"""The sky of a slitless exposure: where it shows, how strong it is, and away with it."""

from __future__ import annotations

from bkgflow.methods.slitless.boxes import boxes_to_mask, grism_boxes
from bkgflow.methods.slitless.constant import dependent, first_sky, image_mask, with_constant
from bkgflow.methods.slitless.doubts import mask_doubts
from bkgflow.methods.slitless.residual_mask import ResidualMask, residual_mask
from bkgflow.methods.slitless.scale import ScaleFit, fit_scale
from bkgflow.methods.slitless.subtract import enough_background, fit_background, subtract_scaled

__all__ = [
    "ResidualMask", "ScaleFit", "boxes_to_mask", "dependent", "enough_background", "first_sky",
    "fit_background", "fit_scale", "grism_boxes", "image_mask", "mask_doubts", "residual_mask",
    "subtract_scaled", "with_constant",
]  # fmt: skip
