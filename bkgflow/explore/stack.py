"""Exposures and stacks as lazy xarray Datasets, and the clip as a transform of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bkgflow.detector import Window, enclosing
from bkgflow.errors import SettingsError, WindowError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.from_fits import inspect
from bkgflow.io.exposures.source import Layer, Pixels, Source, read_window
from bkgflow.io.products.writer import Plane
from bkgflow.io.storage.location import PathLike
from bkgflow.kinds.backgrounds import check_together
from bkgflow.kinds.bands import bytes_per_pixel
from bkgflow.kinds.imprints import imprint_of, without_imprint
from bkgflow.methods import clip
from bkgflow.rules import ClipRule
from bkgflow.settings import StepSettings
from bkgflow.version import VERSION

__all__ = ["DEFAULT_CHUNK", "combine", "open_exposure", "open_stack"]

DEFAULT_CHUNK = 256 << 20
"""Bytes of SCI, ERR and DQ of a row band of a stack, all exposures and integrations."""

DTYPES: dict[Layer, type[np.generic]] = {"sci": np.float32, "err": np.float32, "dq": np.uint32}

LONG_NAMES: dict[Layer, str] = {"sci": "science", "err": "uncertainty", "dq": "data quality"}

Read = Callable[[Layer, Window], Pixels]


def open_exposure(path: PathLike, *, memory: int = DEFAULT_CHUNK) -> xr.Dataset:
    """Open one exposure lazily.

    Parameters
    ----------
    path : path
        A rate, rateints, or any FITS product with SCI, ERR and DQ.
    memory : int
        Bytes that a row band, which is a chunk, may hold.

    Returns
    -------
    Dataset
        ``sci``, ``err`` float32 and ``dq`` uint32, dims (integration,) y, x; the coordinates
        ``y`` and ``x`` count the detector's pixels from 0. Units and header facts in attrs.

    Raises
    ------
    InputError
        If the file is missing or its headers contradict each other.
    """
    facts = inspect(path)
    depth = {"integration": facts.n_integrations} if facts.n_integrations else {}
    attrs = {
        "path": str(facts.location),
        "instrument": facts.instrument,
        "detector": facts.detector,
        "exp_type": facts.exp_type,
        "data_model": facts.model,
        "bkgflow_version": VERSION,
    }
    data = _banded(partial(_read_one, facts.source), facts.window, depth, memory)
    return _with_units(data.assign_attrs(attrs), facts.bunit)


def open_stack(
    paths: PathLike | Iterable[PathLike],
    window: Window | None = None,
    *,
    memory: int = DEFAULT_CHUNK,
    target: PathLike | None = None,
    allow_mismatch: str | Iterable[str] = (),
    allow_subtracted: bool = False,
    imprints: PathLike | Iterable[PathLike] = (),
) -> xr.Dataset:
    """Open background exposures as one lazy stack, registered on the detector.

    Parameters
    ----------
    paths : path or sequence of paths
        The exposures. Images, cubes, full frames and subarrays may be mixed.
    window : Window, optional
        The part of the detector wanted; by default the smallest that holds all exposures.
        Where an exposure has no pixels, SCI and ERR are NaN and DQ is 0.
    memory : int
        Bytes of a row band of all exposures; bands are the chunks, and all exposures and
        integrations of a band are in one.
    target : path, optional
        The exposure from which they are to be subtracted: they must belong to it, and its window
        is the default. Without one, they must belong together (docs/backgrounds.md).
    allow_mismatch : str or list of str
        Keywords in which exposures may differ, such as "filter,bunit".
    allow_subtracted : bool
        Whether to take exposures from which a background was subtracted before.
    imprints : path or sequence of paths
        Imprint (leakage) exposures of NIRSpec IFU and MSA, subtracted as `bkgflow.subtract` does
        it: each exposure's own first. Without any, the exposures are as they are in their files.

    Returns
    -------
    Dataset
        ``sci``, ``err`` float32 and ``dq`` uint32, dims exposure, (integration,) y, x. Where
        the exposures differ in integrations, missing ones are NaN; the coordinate
        ``n_integrations`` says how many are real (0 for an image). The attribute ``paths`` has
        a line for each exposure.

    Raises
    ------
    SettingsError
        If there is no path at all, or no such keyword is compared.
    InputError
        If a file is bad.
    BackgroundError
        If exposures do not belong to the target, or together; if one of them is there under two
        names, or had a background subtracted before.
    WindowError
        If the window holds no pixel of any exposure.
    """
    paths = [paths] if isinstance(paths, PathLike) else list(paths)
    if not paths:
        raise SettingsError(
            "A stack must have at least one exposure", value="none", cure="Give one or more paths"
        )
    facts = [inspect(path) for path in paths]
    wanted = None if target is None else inspect(target)
    settings = StepSettings.of(allow_mismatch=allow_mismatch, allow_subtracted=allow_subtracted)
    check_together(facts, wanted, settings)
    if window is None:
        window = wanted.window if wanted else enclosing([each.window for each in facts])
    if not any(each.window.overlap(window) for each in facts):
        raise WindowError(
            "The window of a stack must hold pixels of at least one exposure",
            value=f"{window}; the exposures cover {enclosing([f.window for f in facts])}",
            cure="Give a window that overlaps them, or none",
        )
    integrations = max(each.n_integrations or 0 for each in facts)
    depth = {"exposure": len(facts)} | ({"integration": integrations} if integrations else {})
    leakage = _imprints_of(facts, imprints, window)
    read = partial(
        _read_stack,
        [each.source for each in facts],
        [each.source if each else None for each in leakage],
        integrations,
    )
    data = _banded(read, window, depth, memory).assign_coords(
        exposure=("exposure", [each.name for each in facts]),
        n_integrations=("exposure", [each.n_integrations or 0 for each in facts]),
    )
    if any(leakage):
        names = [each.name if each else "" for each in leakage]
        data = data.assign_coords(imprint=("exposure", names))
    # Text, not a list: a file format may have no lists.
    paths_read = "\n".join(str(each.location) for each in facts)
    attrs = {"paths": paths_read, "bkgflow_version": VERSION}
    units = {each.bunit for each in facts}
    return _with_units(data.assign_attrs(attrs), units.pop() if len(units) == 1 else "")


def combine(stack: xr.Dataset, *, sigma: float = 3.0, maxiters: int | None = None) -> xr.Dataset:
    """Clip and average a stack into one background, lazily.

    Integrations are clipped within each exposure first, then the exposures against each other.
    A thin wrapper over `bkgflow.methods.clip`.

    Parameters
    ----------
    stack : Dataset
        As `open_stack` gives it: ``sci``, ``err``, ``dq``; dims exposure, (integration,) y, x.
    sigma : float
        Clip at this many standard deviations from the median.
    maxiters : int or None
        Clip at most this often; None and 0: until nothing changes.

    Returns
    -------
    Dataset
        ``sci`` and ``err`` (the uncertainty of the mean) float32, NaN where there is nothing
        to average; ``dq`` uint32, bitwise OR; ``n_used`` uint16, exposures kept. Dims y, x.

    Raises
    ------
    SettingsError
        If sigma or maxiters is out of bounds.
    """
    settings = StepSettings.of(sigma=sigma, maxiters=maxiters)
    core = [dim for dim in ("exposure", "integration") if dim in stack.dims]
    whole = stack.chunk(dict.fromkeys(core, -1)) if stack.chunks else stack
    results = xr.apply_ufunc(
        partial(_combine_last_axes, settings.clip_rule),
        whole["sci"],
        whole["err"],
        whole["dq"],
        input_core_dims=[core] * 3,
        output_core_dims=[[]] * 4,
        dask="parallelized",
        output_dtypes=[np.float32, np.float32, np.uint32, np.uint16],
    )
    names = ("sci", "err", "dq", "n_used")
    # 0 means what None means, and can be written to netCDF and zarr.
    attrs = {**stack.attrs, "sigma": settings.sigma, "maxiters": settings.maxiters or 0}
    combined = xr.Dataset(dict(zip(names, results, strict=True)), attrs=attrs)
    combined["n_used"].attrs = {"long_name": "exposures kept"}
    return _with_units(combined, stack["sci"].attrs.get("units", ""))


def _combine_last_axes(
    rule: ClipRule, sci: Plane, err: Plane, dq: Plane
) -> tuple[NDArray[np.generic], ...]:
    """Combine arrays whose last axes are the exposures and their integrations."""
    sci, err, dq = (
        np.ascontiguousarray(np.moveaxis(array, (0, 1), (-2, -1))) for array in (sci, err, dq)
    )
    if sci.ndim == 4:
        means = [clip.collapse(*exposure, rule=rule) for exposure in zip(sci, err, dq, strict=True)]
        sci, err, dq = (np.stack([getattr(mean, layer) for mean in means]) for layer in DTYPES)
    out = clip.combine(sci, err, dq, rule)
    return out.sci, out.err, out.dq, out.n_used


def _banded(read: Read, window: Window, depth: dict[str, int], memory: int) -> xr.Dataset:
    """Return dask arrays that read one row band a chunk, whatever lies behind a pixel."""
    per_row = math.prod(depth.values()) * window.nx * bytes_per_pixel(errors=True)
    rows = max(1, min(window.ny, memory // per_row))
    bands = tuple(window.bands(rows))
    chunks = (*((n,) for n in depth.values()), tuple(band.ny for band in bands), (window.nx,))
    arrays = {}
    for layer, dtype in DTYPES.items():
        name = f"read-{layer}-{da.core.tokenize(read, layer, window, rows)}"
        at = (0,) * len(depth)
        graph = {(name, *at, i, 0): (partial(read, layer, band),) for i, band in enumerate(bands)}
        arrays[layer] = ((*depth, "y", "x"), da.Array(graph, name, chunks, dtype=dtype))
    y, x = np.arange(window.y0, window.y1), np.arange(window.x0, window.x1)
    return xr.Dataset(
        arrays,
        {
            "y": ("y", y, {"long_name": "detector row, from 0"}),
            "x": ("x", x, {"long_name": "detector column, from 0"}),
        },
    )


def _read_one(source: Source, layer: Layer, band: Window) -> Pixels:
    depth = (source.n_integrations,) if source.n_integrations else ()
    out = np.empty((*depth, *band.shape), DTYPES[layer])
    with source.reader() as reader:
        read_window(source, reader, layer, band, out)
    return out


def _imprints_of(
    facts: Sequence[ExposureFacts], imprints: PathLike | Iterable[PathLike], window: Window
) -> list[ExposureFacts | None]:
    """Return the imprint of each exposure of a stack; None where it has none, or had it."""
    given = [imprints] if isinstance(imprints, PathLike) else list(imprints)
    leakage = [inspect(each) for each in given]
    return [imprint_of(each, leakage, window) if leakage else None for each in facts]


def _read_stack(
    sources: Sequence[Source],
    imprints: Sequence[Source | None],
    integrations: int,
    layer: Layer,
    band: Window,
) -> Pixels:
    missing = 0 if layer == "dq" else np.nan
    depth = (integrations,) if integrations else ()
    out = np.full((len(sources), *depth, *band.shape), missing, DTYPES[layer])
    for source, imprint, plane in zip(sources, imprints, out, strict=True):
        one = _read_one(source, layer, band)
        if imprint is not None:
            without_imprint(one, _read_one(imprint, layer, band), layer)
        if integrations:
            plane[: source.n_integrations or 1] = one
        else:
            plane[...] = one
    return out


def _with_units(data: xr.Dataset, unit: str) -> xr.Dataset:
    for layer, long_name in LONG_NAMES.items():
        data[layer].attrs["long_name"] = long_name
        if unit and layer != "dq":
            data[layer].attrs["units"] = unit
    # netCDF 3 has no unsigned numbers: this is its way to write them, and to read them back.
    data["dq"].attrs["_Unsigned"] = "true"
    data["dq"].encoding["dtype"] = "i4"
    return data
