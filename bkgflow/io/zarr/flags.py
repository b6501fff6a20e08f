"""The flags of DQ, as the pipeline names them, in the words of the CF conventions."""

from __future__ import annotations

from bkgflow.io.zarr.layout import Attributes

__all__ = ["PIXEL_FLAGS", "flag_attributes"]

PIXEL_FLAGS = (
    "DO_NOT_USE", "SATURATED", "JUMP_DET", "DROPOUT", "OUTLIER", "PERSISTENCE", "AD_FLOOR",
    "CHARGELOSS", "RESERVED", "NON_SCIENCE", "DEAD", "HOT", "WARM", "LOW_QE", "RC",
    "TELEGRAPH", "NONLINEAR", "BAD_REF_PIXEL", "NO_FLAT_FIELD", "NO_GAIN_VALUE",
    "NO_LIN_CORR", "NO_SAT_CHECK", "UNRELIABLE_BIAS", "UNRELIABLE_DARK", "UNRELIABLE_SLOPE",
    "UNRELIABLE_FLAT", "OPEN", "ADJ_OPEN", "FLUX_ESTIMATED", "MSA_FAILED_OPEN",
    "OTHER_BAD_PIXEL", "REFERENCE_PIXEL",
)  # fmt: skip
"""By the bit that each of them is, from the lowest."""


def flag_attributes() -> Attributes:
    """Return the CF attributes of a variable of flags: masks, and a word for each."""
    masks = [1 << bit for bit in range(len(PIXEL_FLAGS))]
    return {"flag_masks": masks, "flag_meanings": " ".join(PIXEL_FLAGS)}
