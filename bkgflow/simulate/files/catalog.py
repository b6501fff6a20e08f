"""Source catalogues as the pipeline's ``source_catalog`` step lays them out (ECSV)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable
from numpy.typing import NDArray

from bkgflow.io.storage.publish import not_writable

__all__ = ["CORNERS", "write_catalogue"]

CORNERS = ("ll", "ul", "lr", "ur")
"""Corners of a source's box in the direct image: lower or upper, left or right."""

Array = NDArray[np.float64]


def write_catalogue(
    path: str | Path,
    pixels: tuple[Array, Array],
    places: Mapping[str, tuple[Array, Array]],
    flux: Array,
    abmag: Array,
    area: float,
) -> Path:
    """Write a catalogue of point sources.

    Parameters
    ----------
    path : path-like
        The file.
    pixels : (x, y)
        Columns and rows in the direct image, (n,) float64.
    places : mapping
        (right ascension, declination) in degrees, (n,) float64 each, of the ``centroid`` and
        of the corners `CORNERS` of each source's box.
    flux, abmag : (n,) float64
        Summed rate, and AB magnitude.
    area : float
        Pixels of a source's segment.

    Raises
    ------
    OutputError
        If it cannot be written there.
    """
    path = Path(path)
    table = QTable()
    table["label"] = np.arange(1, len(flux) + 1)
    table["xcentroid"], table["ycentroid"] = (each * u.pix for each in pixels)
    table["sky_centroid"] = _coordinates(places["centroid"])
    table["area"] = np.full(len(flux), area) * u.pix**2
    table["source_sum"] = flux.astype(np.float32)
    table["source_sum_err"] = np.sqrt(np.abs(flux)).astype(np.float32)
    for axis in ("semimajor", "semiminor"):
        table[f"{axis}_axis_sigma"] = np.full(len(flux), 1.0) * u.pix
    table["orientation"] = np.zeros(len(flux)) * u.deg
    for corner in CORNERS:
        table[f"sky_bbox_{corner}"] = _coordinates(places[corner])
    table["orientation_sky"] = np.zeros(len(flux)) * u.deg
    table["isophotal_abmag"] = abmag
    table["isophotal_abmag_err"] = np.full(len(flux), 0.01, np.float32)
    table["is_extended"] = np.zeros(len(flux), bool)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        table.write(path, format="ascii.ecsv", overwrite=True)
    except OSError as problem:
        raise not_writable(path, problem) from problem
    return path


def _coordinates(place: tuple[Array, Array]) -> SkyCoord:
    return SkyCoord(ra=place[0] * u.deg, dec=place[1] * u.deg)
