"""What became of an exposure, out of its files, as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bkgflow.detector import DO_NOT_USE, REFERENCE_PIXEL
from bkgflow.explore.stack import open_exposure
from bkgflow.io.models import open_model
from bkgflow.io.references.mask import product_mask
from bkgflow.methods.soss.regions import fit_regions
from bkgflow.planning.units import SEGMENT
from bkgflow.report.pictures import draw_slitless, draw_subtraction
from bkgflow.report.series import SkyScales, draw_series

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["draw_product"]


def draw_product(target: str | Path, product: str | Path, picture: str | Path) -> Path:
    """Draw a target and its product as PNG; see `bkgflow.draw`.

    Raises
    ------
    InputError, UsageError
        If a file is bad; if matplotlib is not installed.
    """
    exposure = open_exposure(target)
    before, after = _mean(exposure["sci"]), _mean(open_exposure(product)["sci"])
    sky = (before - after).values
    words = {"title": Path(product).name, "unit": before.attrs.get("units", "")}
    record, _, _ = _record(product)
    if "source_threshold" in record:
        share = _dark_share(exposure, record["source_threshold"])
        regions, scales = fit_regions(share, sky), _scales(Path(product))
        return draw_series(before.values, regions, sky, after.values, scales, picture, **words)
    mask = product_mask(product, sky.shape)
    if mask is not None:
        return draw_slitless(before.values, mask, sky, after.values, picture, **words)
    return draw_subtraction(before.values, sky, after.values, picture, **words)


def _mean(sci: xr.DataArray) -> xr.DataArray:
    return sci.mean("integration", keep_attrs=True) if "integration" in sci.dims else sci


def _dark_share(exposure: xr.Dataset, threshold: float) -> Any:
    """Share of the integrations in which a pixel is good and below the threshold: (ny, nx)."""
    good = (exposure["dq"] & np.uint32(DO_NOT_USE | REFERENCE_PIXEL)) == 0
    return _mean((good & (exposure["sci"] < threshold)).astype(np.float32)).values


def _record(product: str | Path) -> tuple[Mapping[str, Any], int, int]:
    """Return what a product says of itself, its first integration, and how many it has."""
    with open_model(product) as model:
        record = getattr(model.meta, "bkgflow", None)
        shape = model.data.shape
        first = model.meta.exposure.integration_start or 1
        return record.instance if record else {}, first, shape[0] if len(shape) == 3 else 1


def _scales(product: Path) -> list[SkyScales]:
    """Return the scales of a product and of the segments of its exposure that lie beside it."""
    exposure = SEGMENT.sub("", product.name)
    segments = [path for path in product.parent.iterdir() if SEGMENT.sub("", path.name) == exposure]
    found = []
    for path in sorted(segments):
        record, first, n = _record(path)
        sides = [
            [np.broadcast_to(record[f"{side}_scale{kind}"], n) for side in ("left", "right")]
            for kind in ("", "_random_error")
            if f"left_scale{kind}" in record
        ]
        if len(sides) == 2:
            found.append(SkyScales(first, np.array(sides[0]), np.array(sides[1])))
    return found
