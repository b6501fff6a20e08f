"""Source catalogs as the pipeline's ``source_catalog`` step lays them out (ECSV)."""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable
from numpy.typing import NDArray

from bkgflow.simulate.files.grism import pixel_to_sky

__all__ = ["catalog_text"]

CORNERS = ("ll", "ul", "lr", "ur")
"""Corners of a source's box in the direct image: lower or upper, left or right."""

Array = NDArray[np.float64]


def catalog_text(
    wcsinfo: Mapping[str, Any], x: Array, y: Array, *, radius: int, flux: Array, abmag: Array
) -> str:
    """Return the catalog of a direct image's point sources.

    They lie at pixels x, y (n,) of the image, whose header values below ``meta.wcsinfo`` are
    given, and their boxes end ``radius`` pixels from there; ``flux`` (n,) is their summed rate.
    """

    def sky(dx: int, dy: int) -> SkyCoord:
        ra, dec = pixel_to_sky(wcsinfo, x + dx, y + dy)
        return SkyCoord(ra=ra * u.deg, dec=dec * u.deg)

    n, steps = len(flux), {"l": -radius, "r": radius, "u": radius}
    table = QTable()
    table["label"] = np.arange(1, n + 1)
    table["xcentroid"], table["ycentroid"] = x * u.pix, y * u.pix
    table["sky_centroid"] = sky(0, 0)
    table["area"] = np.full(n, float((2 * radius + 1) ** 2)) * u.pix**2
    table["source_sum"] = flux.astype(np.float32)
    table["source_sum_err"] = np.sqrt(np.abs(flux)).astype(np.float32)
    for axis in ("semimajor", "semiminor"):
        table[f"{axis}_axis_sigma"] = np.full(n, 1.0) * u.pix
    table["orientation"] = np.zeros(n) * u.deg
    for corner in CORNERS:
        table[f"sky_bbox_{corner}"] = sky(steps[corner[1]], steps[corner[0]])
    table["orientation_sky"] = np.zeros(n) * u.deg
    table["isophotal_abmag"] = abmag
    table["isophotal_abmag_err"] = np.full(n, 0.01, np.float32)
    table["is_extended"] = np.zeros(n, bool)
    text = StringIO()
    table.write(text, format="ascii.ecsv")
    return text.getvalue()
