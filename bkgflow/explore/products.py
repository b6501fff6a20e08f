"""Datasets written as files again: JWST products, zarr stores."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bkgflow.detector import DO_NOT_USE
from bkgflow.errors import BackgroundError, OutputError, SettingsError, ShapeError
from bkgflow.explore.adjusted import TOLD
from bkgflow.explore.restored import restored
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.from_fits import inspect
from bkgflow.io.fits.unwarned import unwarned
from bkgflow.io.products.fits import FitsWriter
from bkgflow.io.products.writer import Changes, Edit, Plane
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.zarr.flags import flag_attributes
from bkgflow.io.zarr.layout import Attributes, Untyped
from bkgflow.kinds.variances import array_for_variance, error_notes
from bkgflow.methods.image import add_variances
from bkgflow.record import ImageFound, Record
from bkgflow.settings import STACK_ARGUMENTS
from bkgflow.verdict import State, Verdict
from bkgflow.version import VERSION

if TYPE_CHECKING:
    from gwcs import WCS

__all__ = ["wcs_of", "write_fits", "write_zarr"]

LAYERS = ("sci", "err", "dq")

NOTE = "written from a Dataset"


def wcs_of(data: xr.Dataset) -> WCS | None:
    """Return the WCS of the exposure that a Dataset is of; see `DatasetAccessor.wcs`."""
    return inspect(_source(data), anywhere=True).source.wcs()


def write_fits(data: xr.Dataset, path: PathLike, *, overwrite: bool = False) -> Location:
    """Write a Dataset as a JWST product; see `DatasetAccessor.to_fits`."""
    to = Location.of(path)
    # What a background was subtracted from says which: `subtract_background`.
    combined = "n_used" in data and "backgrounds" not in data.attrs
    facts = inspect(_first(data) if combined else _source(data))
    if any(to.is_same(each) for each in (facts.location, *_made_of(data))):
        raise OutputError(
            "A product must not replace an exposure that it is made of",
            file=to,
            value="the same file",
            cure="Give another name",
        )
    if not overwrite and to.exists():
        raise OutputError(
            "A product must not replace a file unasked",
            file=to,
            value="a file is there",
            cure="Give another name, or overwrite=True",
        )
    _check_whole(data, facts, combined=combined)
    data = restored(data)
    writer = FitsWriter()
    with writer.open(facts) as opened:
        if combined:
            held = data[list(LAYERS)].transpose("y", "x").compute()
            arrays = held["sci"].values, held["err"].values, held["dq"].values
            draft = opened.combined(arrays, _record(data, data), to)
        else:
            changes, verdict = _what_was_done(data, facts)
            draft = opened.product(changes, verdict, to)
    return draft.publish()


def write_zarr(data: xr.Dataset, store: Untyped, options: Attributes) -> Untyped:
    """Write a Dataset into a zarr store; see `DatasetAccessor.to_zarr`."""
    data = data.copy()
    # Words of a fixed length have no specification in zarr 3; others have.
    words = {name: each.astype(object) for name, each in data.coords.items() if
             each.dtype.kind == "U" and name not in data.indexes}  # fmt: skip
    data = data.assign_coords(words)
    encoding: dict[str, Attributes] = {}
    for name, array in data.data_vars.items():
        if array.attrs.get("_Unsigned"):  # zarr has unsigned numbers
            kept = {key: each for key, each in array.attrs.items() if key != "_Unsigned"}
            array.attrs = {**kept, **(flag_attributes() if "flag_masks" in kept else {})}
        array.encoding = {}
        if {"y", "x"} <= set(array.dims):
            whole = array.transpose(..., "y", "x")
            encoding[str(name)] = cut = _cut(whole.shape)
            if whole.chunks is not None:
                # A shard is written whole, by one task: two that share one would lose pixels.
                whole = whole.chunk(dict(zip(whole.dims, cut["shards"], strict=True)))
            data[name] = whole
    if isinstance(store, PathLike):
        to = Location.of(store)
        if any(to.is_same(each) for each in _made_of(data)):
            raise OutputError(
                "A store must not replace an exposure that it is made of",
                file=to,
                value="the same place",
                cure="Give another name",
            )
        store = str(to)
    asked = dict(options)
    with unwarned():  # that consolidated metadata are not in zarr's specification yet
        return data.to_zarr(store, encoding={**encoding, **asked.pop("encoding", {})}, **asked)


def _cut(shape: tuple[int, ...]) -> Attributes:
    """Return the encoding of an array: cut as a product is, one exposure of a stack at a time."""
    from bkgflow.io.zarr.arrays import encoding_of

    last = shape[-3:] if len(shape) > 2 else shape
    encoding = encoding_of(last)
    more = (1,) * (len(shape) - len(last))
    return {**encoding, **{name: (*more, *encoding[name]) for name in ("chunks", "shards")}}


def _source(data: xr.Dataset) -> str:
    found = data.attrs.get("path")
    if not isinstance(found, str):
        raise SettingsError(
            "A Dataset must be that of one exposure",
            value="no attribute path",
            cure="Open one with bkgflow.open_exposure; keep its attributes in what you do "
            "(xr.set_options(keep_attrs=True))",
        )
    return found


def _first(data: xr.Dataset) -> str:
    """Return the first exposure of a combined background, whose headers it gets."""
    paths = str(data.attrs.get("paths", "")).splitlines()
    return paths[0] if paths else _source(data)


def _made_of(data: xr.Dataset) -> list[Location]:
    """Return the exposures that a Dataset names: its own, and backgrounds."""
    named = [str(data.attrs.get(name, "")) for name in ("path", "paths", "backgrounds")]
    return [Location.of(path) for each in named for path in each.splitlines() if path]


def _check_whole(data: xr.Dataset, facts: ExposureFacts, *, combined: bool) -> None:
    missing = [name for name in LAYERS if name not in data and name.upper() not in facts.absent]
    depth = ("integration",) if facts.n_integrations and not combined else ()
    sizes = tuple(data.sizes.get(dim, 0) for dim in (*depth, "y", "x"))
    window = facts.window
    wanted = ((facts.n_integrations,) if depth else ()) + window.shape
    places = {"y": range(window.y0, window.y1), "x": range(window.x0, window.x1)}
    there = all(dim in data.indexes for dim in places) and sizes == wanted
    if missing or not there or any(list(data[dim].values) != list(places[dim]) for dim in places):
        raise ShapeError(
            "A product must have all pixels of its exposure",
            file=facts.location,
            value=f"no {', '.join(missing)}"
            if missing
            else f"{sizes} of {wanted}, or in another order",
            cure="Write a part of an exposure with .bkgflow.to_zarr, or give the whole",
        )


def _what_was_done(data: xr.Dataset, facts: ExposureFacts) -> tuple[Changes, Verdict]:
    """Return the pixels as edits of the exposure's, and what the product says of them."""
    names = [name for name in (*LAYERS, "n_used", "background_err") if name in data]
    dims = ("integration", "y", "x")
    held = data[names].transpose(*(dim for dim in dims if dim in data.dims)).compute()
    arrays = {name: held[name].values for name in names}
    layers = [name for name in LAYERS if name in arrays and name.upper() not in facts.absent]
    edits: dict[str, Edit] = {name.upper(): partial(_put, arrays[name]) for name in layers}
    if "n_used" not in data and "backgrounds" in data.attrs:
        raise ShapeError(
            "What a background was subtracted from must be written with n_used",
            file=facts.location,
            value="no n_used",
            cure="Keep it, and background_err if it is there, beside sci, err and dq",
        )
    if "n_used" not in data:
        why = "no background was subtracted: the pixels are those of a Dataset"
        return Changes(edits), Verdict(State.SKIPPED, why, record=Record(VERSION, notes=(NOTE,)))
    used = arrays["n_used"]
    if not used.any():
        raise BackgroundError(
            "At least one pixel of the target must have a valid background",
            file=facts.location,
            value="none has",
            cure="Check the exposures that were combined",
        )
    found = ImageFound(_unsubtracted(arrays))
    if "background_err" in arrays:
        if takes := array_for_variance(facts):
            edits[takes] = partial(_add_variance, arrays["background_err"], used)
        found = ImageFound(
            found.unsubtracted_pixels, variance_array=takes, error_notes=error_notes(facts)
        )
    return Changes(edits), Verdict(State.COMPLETE, record=_record(data, data, found))


def _put(array: Plane, pixels: Plane, integration: int, rows: slice) -> None:
    pixels[...] = (array[integration] if array.ndim == 3 else array)[rows]


def _add_variance(err: Plane, used: Plane, pixels: Plane, _integration: int, rows: slice) -> None:
    add_variances(pixels, err[rows], np.flatnonzero(used[rows] == 0))


def _unsubtracted(arrays: Mapping[str, Plane]) -> int:
    """Count the pixels that are valid in the target and have no valid background."""
    valid = np.isfinite(arrays["sci"]) & (arrays["dq"] & np.uint32(DO_NOT_USE) == 0)
    valid = valid.any(axis=0) if valid.ndim == 3 else valid
    return int(np.count_nonzero(valid & (arrays["n_used"] == 0)))


def _record(data: xr.Dataset, told: xr.Dataset, found: ImageFound | None = None) -> Record:
    attrs = told.attrs
    paths = str(attrs.get("backgrounds", attrs.get("paths", ""))).splitlines()
    settings: dict[str, object] = {
        "sigma": float(attrs.get("sigma", 3.0)), "maxiters": int(attrs.get("maxiters", 0)) or None,
        "propagate_errors": bool(attrs.get("propagate_errors", 0)),
    }  # fmt: skip
    settings |= {name: attrs[name] for name in STACK_ARGUMENTS[2:] if name in attrs}
    if "bkg_fill" in attrs:
        settings["bkg_fill"] = bool(attrs["bkg_fill"])
    settings |= {name: attrs[name] for name in TOLD if name in attrs}
    names = tuple(PurePath(path).name for path in paths)
    return Record(VERSION, backgrounds=names, settings=settings, notes=(NOTE,), found=found)
