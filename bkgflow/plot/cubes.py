"""What is drawn of a cube: the mean of its integrations; and what cannot be drawn at all."""

from __future__ import annotations

import xarray as xr

from bkgflow.errors import ShapeError
from bkgflow.texts import many

__all__ = ["check_pixels", "integrations_of", "mean_of", "said_of"]


def mean_of(sci: xr.DataArray) -> xr.DataArray:
    """Return the mean of the integrations of a cube, without values that are missing."""
    return sci.mean("integration", keep_attrs=True) if "integration" in sci.dims else sci


def integrations_of(sci: xr.DataArray) -> int:
    """Return how many integrations there are; a stack is as long as its longest exposure."""
    number = sci.sizes.get("integration", 1)
    own = sci.coords.get("n_integrations")
    return number if own is None or own.dims else min(number, int(own))


def said_of(number: int) -> str:
    """Say what is drawn of so many integrations, for a title; empty where it is no mean."""
    return f"mean of {many(number, 'integration')}" if number > 1 else ""


def check_pixels(data: xr.DataArray) -> None:
    """Refuse to draw what has no pixels, as a cut-out may.

    Raises
    ------
    ShapeError
        If one of its dimensions is empty.
    """
    if not data.size:
        sizes = ", ".join(f"{name} {size}" for name, size in data.sizes.items())
        raise ShapeError(
            "A picture must be of one pixel at least",
            value=f"sizes {sizes}",
            cure="Select a larger part, or check the names and numbers that it was selected by",
        )
