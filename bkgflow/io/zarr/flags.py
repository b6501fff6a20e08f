"""The flags of DQ, as the pipeline names them, in the words of the CF conventions."""

from __future__ import annotations

from bkgflow.detector import PIXEL_FLAGS
from bkgflow.io.zarr.layout import Attributes

__all__ = ["flag_attributes"]


def flag_attributes() -> Attributes:
    """Return the CF attributes of a variable of flags: masks, and a word for each."""
    masks = [1 << bit for bit in range(len(PIXEL_FLAGS))]
    return {"flag_masks": masks, "flag_meanings": " ".join(PIXEL_FLAGS)}
