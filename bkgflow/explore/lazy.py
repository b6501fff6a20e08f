"""What is lazy about an exposure: arrays that read their rows when these are computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import dask.array as da
import numpy as np
import xarray as xr

from bkgflow.detector import Window
from bkgflow.io.exposures.source import Layer, Pixels, Source, read_window
from bkgflow.io.zarr.flags import flag_attributes
from bkgflow.kinds.strips import bytes_per_pixel

if TYPE_CHECKING:
    from bkgflow.io.exposures.facts import ExposureFacts

__all__ = [
    "DEFAULT_CHUNK",
    "DTYPES",
    "about",
    "banded",
    "detector_axes",
    "read_one",
    "rows_of_a_band",
    "with_units",
]

DEFAULT_CHUNK = 256 << 20
"""Bytes of SCI, ERR and DQ of a row band, of all exposures and integrations."""

DTYPES: Mapping[Layer, type[np.generic]] = {"sci": np.float32, "err": np.float32, "dq": np.uint32}

LONG_NAMES: Mapping[Layer, str] = {"sci": "science", "err": "uncertainty", "dq": "data quality"}

WORDS: Mapping[str, tuple[str, ...]] = {
    "instrument": ("INSTRUME",),
    "detector": ("DETECTOR",),
    "exp_type": ("EXP_TYPE",),
    "filter": ("FILTER",),
    "pupil": ("PUPIL",),
    "grating": ("GRATING",),
    "channel": ("CHANNEL",),
    "band": ("BAND",),
    "subarray": ("SUBARRAY",),
    "target": ("TARGPROP", "TARGNAME"),
    "program": ("PROGRAM",),
    "observation": ("OBSERVTN",),
    "visit": ("VISIT",),
    "exposure_number": ("EXPOSURE",),
    "dither": ("PATT_NUM",),
    "bkg_subtract": ("S_BKDSUB",),
}
"""Coordinates that are words, and the keywords that say them: the first that is there."""

NUMBERS: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "ra": (("RA_REF", "TARG_RA"), "right ascension of the pointing", "deg"),
    "dec": (("DEC_REF", "TARG_DEC"), "declination of the pointing", "deg"),
    "exposure_time": (("EFFEXPTM",), "effective exposure time", "s"),
}
"""Coordinates that are numbers: the keywords, a long name, the unit."""

Read = Callable[[Layer, Window], Pixels]


def rows_of_a_band(window: Window, depth: Mapping[str, int], memory: int) -> int:
    """Return how many rows of a window a chunk may have; at least one.

    Parameters
    ----------
    depth : mapping
        Lengths of the axes before the rows, by their names.
    memory : int
        Bytes of SCI, ERR and DQ of a chunk.
    """
    per_row = math.prod(depth.values()) * window.nx * bytes_per_pixel(errors=True)
    return max(1, min(window.ny, memory // per_row))


def banded(
    read: Read,
    window: Window,
    depth: Mapping[str, int],
    memory: int,
    layers: Sequence[Layer] = tuple(DTYPES),
    *,
    more: Mapping[str, xr.Variable] | None = None,
    attrs: Mapping[str, str] | None = None,
) -> xr.Dataset:
    """Return dask arrays that read one row band a chunk, whatever lies behind a pixel.

    Parameters
    ----------
    read : callable
        Returns the pixels of a layer in a band: (*depth, ny, nx).
    window, depth, memory
        As for `rows_of_a_band`.
    more, attrs : mapping, optional
        Coordinates beside rows and columns, and attributes: all at once, because xarray takes its
        time for each Dataset, and a program has thousands.
    """
    rows = rows_of_a_band(window, depth, memory)
    bands = tuple(window.bands(rows))
    chunks = (*((n,) for n in depth.values()), tuple(band.ny for band in bands), (window.nx,))
    arrays = {}
    for layer in layers:
        name = f"read-{layer}-{da.core.tokenize(read, layer, window, rows)}"
        at = (0,) * len(depth)
        graph = {(name, *at, i, 0): (read, layer, band) for i, band in enumerate(bands)}
        arrays[layer] = ((*depth, "y", "x"), da.Array(graph, name, chunks, dtype=DTYPES[layer]))
    return xr.Dataset(arrays, {**detector_axes(window), **(more or {})}, attrs)


def detector_axes(window: Window, of: str = "detector ") -> dict[str, tuple[object, ...]]:
    """Return the coordinates of a window's rows and columns, as xarray takes them."""
    y, x = np.arange(window.y0, window.y1), np.arange(window.x0, window.x1)
    return {
        "y": ("y", y, {"long_name": f"{of}row, from 0"}),
        "x": ("x", x, {"long_name": f"{of}column, from 0"}),
    }


def read_one(source: Source, layer: Layer, band: Window) -> Pixels:
    """Read a band of an exposure: (ny, nx), or (n_integrations, ny, nx) of a cube."""
    depth = (source.n_integrations,) if source.n_integrations else ()
    out = np.empty((*depth, *band.shape), DTYPES[layer])
    with source.reader() as reader:
        read_window(source, reader, layer, band, out)
    return out


def with_units(data: xr.Dataset, unit: str) -> xr.Dataset:
    """Give the variables their long names and units, and DQ what netCDF needs to hold it."""
    for layer, long_name in LONG_NAMES.items():
        if layer not in data:
            continue
        data.variables[layer].attrs["long_name"] = long_name
        if unit and layer != "dq":
            data.variables[layer].attrs["units"] = unit
    if "dq" in data:
        # netCDF 3 has no unsigned numbers: this is its way to write them, and to read them back;
        # masks are as what they stand for.
        said = flag_attributes()
        masks = np.array(said["flag_masks"], np.uint32).view(np.int32)
        said |= {"standard_name": "status_flag", "flag_masks": masks, "_Unsigned": "true"}
        data.variables["dq"].attrs.update(said)
        data.variables["dq"].encoding["dtype"] = "i4"
    return data


def about(facts: Sequence[ExposureFacts], dim: str = "") -> dict[str, xr.Variable]:
    """Return what people look for in exposures, as coordinates.

    Parameters
    ----------
    dim : str
        The axis along which the exposures follow each other; empty for a single one.

    Returns
    -------
    dict of Variable
        Those that one exposure has at least; for the others it is an empty word, NaN or NaT.
    """
    said = [{**dict(each.keywords), **dict(each.about)} for each in facts]
    found: dict[str, xr.Variable] = {}

    def add(name: str, values: list[str] | list[float] | list[np.datetime64], **attrs: str) -> None:
        shaped = np.array(values) if dim else np.array(values[0])
        found[name] = xr.Variable((dim,) if dim else (), shaped, attrs)

    for name, keywords in WORDS.items():
        words = [next((each[k] for k in keywords if k in each), "") for each in said]
        if any(words):
            add(name, words)
    times = [_time(each) for each in said]
    if not all(map(np.isnat, times)):
        add("time", times, long_name="beginning of the exposure")
    for name, (keywords, long_name, unit) in NUMBERS.items():
        numbers = [_number(next((each[k] for k in keywords if k in each), "")) for each in said]
        if not all(map(math.isnan, numbers)):
            add(name, numbers, long_name=long_name, units=unit)
    return found


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


def _time(said: Mapping[str, str]) -> np.datetime64:
    try:
        return np.datetime64(f"{said['DATE-OBS']}T{said.get('TIME-OBS', '00:00:00')}", "ns")
    except (KeyError, ValueError):
        return np.datetime64("NaT", "ns")
