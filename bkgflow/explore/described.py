"""What people look for in a stack: which exposures it is of, and how each was taken."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bkgflow.explore.lazy import about, with_units
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.version import VERSION

__all__ = ["described", "named"]


def described(
    data: xr.Dataset, facts: Sequence[ExposureFacts], leakage: Sequence[ExposureFacts | None]
) -> xr.Dataset:
    """Return a stack with what people look for in its exposures, as coordinates and attributes."""
    data = data.assign_coords(
        {
            "exposure": ("exposure", [each.name for each in facts]),
            "n_integrations": ("exposure", [each.n_integrations or 0 for each in facts]),
            "path": ("exposure", [str(each.location) for each in facts]),
            **about(facts, "exposure"),
        }
    )
    if any(leakage):
        names = [each.name if each else "" for each in leakage]
        data = data.assign_coords(imprint=("exposure", names))
    # Text, not a list: a file format may have no lists.
    paths_read = "\n".join(str(each.location) for each in facts)
    attrs = {"paths": paths_read, "bkgflow_version": VERSION}
    detectors = {each.detector for each in facts}
    if len(detectors) == 1:
        attrs["detector"] = detectors.pop()
    units = {each.bunit for each in facts}
    return with_units(data.assign_attrs(attrs), units.pop() if len(units) == 1 else "")


def named(stack: xr.Dataset) -> dict[str, str]:
    """Say which exposures a stack is of now: some may have been left out, or added."""
    if "path" not in stack.coords:
        return {}
    paths = np.atleast_1d(stack["path"].values).tolist()
    return {"paths": "\n".join(each for each in paths if isinstance(each, str))}
