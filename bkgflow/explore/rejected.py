"""What a clip would reject of a stack, lazily: for people who choose its settings."""

from __future__ import annotations

from functools import partial

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bkgflow.errors import ShapeError
from bkgflow.io.products.writer import Plane
from bkgflow.methods import clip
from bkgflow.rules import ClipRule
from bkgflow.settings import StepSettings

__all__ = ["rejected"]


def rejected(stack: xr.Dataset, *, sigma: float = 3.0, maxiters: int | None = None) -> xr.DataArray:
    """Say which values of a stack `combine` leaves out, lazily.

    Parameters
    ----------
    stack : Dataset
        As for `combine`; of cubes, the clipped means of their integrations are what is rejected.
    sigma, maxiters
        As for `combine`.

    Returns
    -------
    DataArray
        bool, dims exposure (or integration, of a cube alone), y, x; pixels without a valid value
        are not rejected. Its sum along the first and ``n_used`` add up to the valid values.

    Raises
    ------
    SettingsError
        If sigma or maxiters is out of bounds.
    ShapeError
        If this is no stack.
    """
    rule = StepSettings.of(sigma=sigma, maxiters=maxiters).clip_rule
    core = [dim for dim in ("exposure", "integration") if dim in stack["sci"].dims]
    if not core:
        raise ShapeError(
            "A stack must have exposures or integrations",
            value=f"dims {', '.join(map(str, stack['sci'].dims))}",
            cure="Open one with bkgflow.open_stack",
        )
    whole = stack.chunk(dict.fromkeys(core, -1)) if stack.chunks else stack
    found: xr.DataArray = xr.apply_ufunc(
        partial(_rejected, rule),
        whole["sci"],
        whole["dq"],
        input_core_dims=[core] * 2,
        output_core_dims=[core[:1]],
        dask="parallelized",
        output_dtypes=[bool],
    )
    found = found.transpose(core[0], "y", "x").rename("rejected")
    # Not the stack's own: what is rejected has no unit.
    found.attrs = {
        "long_name": "rejected by the clip", "sigma": float(sigma), "maxiters": maxiters or 0
    }  # fmt: skip
    return found


def _rejected(rule: ClipRule, sci: Plane, dq: Plane) -> NDArray[np.bool_]:
    """Reject along the last axes, which are the exposures and their integrations."""
    number = 2 if sci.ndim == 4 else 1
    first = [np.moveaxis(each, range(-number, 0), range(number)) for each in (sci, dq)]
    stacked = first[0]
    if number == 2:
        means = [
            clip.collapse(np.ascontiguousarray(image), None, np.ascontiguousarray(flags), rule).sci
            for image, flags in zip(*first, strict=True)
        ]
        stacked = np.stack(means)
    return np.moveaxis(clip.rejected(stacked, rule), 0, -1)
