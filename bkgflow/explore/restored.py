"""Variables of Datasets as they were before xarray changed their types and dimensions.

``where``, ``reindex``, an outer ``concat`` and arithmetic leave numbers that are no flags any more:
DQ in float64 with NaN where something is missing, a mask of objects. What is missing has no flag,
no mask, and no exposure that was used.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bkgflow.errors import ShapeError
from bkgflow.methods.arrays import Doubles

__all__ = ["restored"]

TYPES: Mapping[str, type[np.generic]] = {
    "dq": np.uint32, "n_used": np.uint16, "region_index": np.uint8, "mask": np.bool_,
}  # fmt: skip

DIMS: Mapping[str, frozenset[str]] = {
    "mask": frozenset({"exposure", "y", "x"}),
    "region_index": frozenset({"y", "x"}),
    "scale_offset": frozenset({"exposure", "region", "y", "x"}),
    "scale_factor": frozenset({"exposure", "region", "y", "x"}),
    "n_used": frozenset({"y", "x"}),
    "background": frozenset({"y", "x"}),
    "background_err": frozenset({"y", "x"}),
}
"""Dimensions that `adjusted` knows; over all others a variable is the same, where it is at all."""


def restored(data: xr.Dataset) -> xr.Dataset:
    """Return a Dataset whose flags, masks and counts have their own types again, lazily.

    Raises
    ------
    ShapeError
        If one of them holds something else: text at once, fractions when it is computed.
    """
    changed = {}
    for name, dtype in TYPES.items():
        if name in data and data[name].dtype != dtype:
            if data[name].dtype.kind not in "biufO":
                raise _no_whole_numbers(name, str(data[name].dtype))
            changed[name] = xr.apply_ufunc(
                partial(_restored, name, np.dtype(dtype)), data[name], dask="parallelized",
                output_dtypes=[dtype], keep_attrs=True,
            )  # fmt: skip
    for name, own in DIMS.items():
        if name in data:
            variable = changed.get(name, data[name])
            if more := [dim for dim in variable.dims if dim not in own]:
                changed[name] = variable.max(more, keep_attrs=True)
    return data.assign(changed)


def _restored(
    name: str, dtype: np.dtype[np.generic], values: NDArray[np.generic]
) -> NDArray[np.generic]:
    known: Doubles = values.astype(np.float64)
    known[np.isnan(known)] = 0.0
    if dtype.kind == "b":
        return np.not_equal(known, 0.0)
    wrong = (known != np.floor(known)) | (known < 0.0) | (known >= 256.0**dtype.itemsize)
    if wrong.any():
        raise _no_whole_numbers(name, f"{known[wrong][0]:g}")
    return known.astype(dtype)


def _no_whole_numbers(name: str, value: str) -> ShapeError:
    return ShapeError(
        f"{name} must hold whole numbers, not negative, as bkgflow opens or combines them",
        value=value,
        cure=f"Change sci instead, or give {name} of the Dataset as it was",
    )
