"""Masks of sources and scales in lazy stacks: the tasks of a run, as variables of a Dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.errors import BkgflowError, SettingsError
from bkgflow.io.products.writer import Plane
from bkgflow.kinds.looks import Look, Mask
from bkgflow.kinds.masks import check_maskable, mask_of, masking_of
from bkgflow.kinds.scaling import regions_of, sample_of, scale_map, scales_of
from bkgflow.methods.scales import Mode, Regions, Scales, levelled

if TYPE_CHECKING:
    from dask.typing import Key

    from bkgflow.io.exposures.facts import ExposureFacts
    from bkgflow.settings import StepSettings

__all__ = ["TOLD", "adjusted", "adjusting", "change", "hidden"]

TOLD = ("mask_sources", "bkg_scale")
"""Attributes of a stack that say what was done, where something was."""

TWO = ("offset", "factor")

Tasks = dict["Key", object]

Facts = Sequence["ExposureFacts"]


def adjusting(
    stack: xr.Dataset,
    exposures: Facts,
    imprints: Sequence[ExposureFacts | None],
    target: ExposureFacts | None,
    settings: StepSettings,
) -> xr.Dataset:
    """Return a stack with ``mask``, and with what brings its exposures to a target's level.

    Parameters
    ----------
    stack : Dataset
        As it is without: ``sci``, ``err``, ``dq``.
    imprints : sequence
        What is subtracted first from each exposure, and then from the target.
    target : ExposureFacts, optional
        Needed to scale.

    Returns
    -------
    Dataset
        With ``mask`` (exposure, y, x) bool where sources are masked; where levels are changed with
        ``scale_offset``, ``scale_factor``, ``scale_error`` (exposure, region) float64, and with
        several regions ``region_index`` (y, x) uint8.

    Raises
    ------
    SettingsError
        If there is no target to scale to, or a map of regions and a window that is not the
        target's.
    InputError
        If a mask or a map cannot be used.
    """
    scaled = settings.bkg_scale != "none"
    if scaled and target is None:
        raise SettingsError(
            "Exposures must have a target to be brought to its level",
            value=f"bkg_scale={settings.bkg_scale}, no target",
            cure="Give target= as well",
        )
    wanted = list(exposures)
    if scaled and target is not None:
        wanted.append(target)
    looks = [Look.of(each, first) for each, first in zip(wanted, imprints, strict=False)]
    tasks, masks = _mask_tasks(looks, wanted, settings)
    if masks:
        stack = stack.assign(mask=_mask_array(stack, tasks, masks[: len(exposures)]))
        stack.attrs["mask_sources"] = str(settings.mask_sources)
    if scaled and target is not None:
        stack = _with_scales(stack, looks, target, tasks, masks, settings)
        stack.attrs["bkg_scale"] = settings.bkg_scale
    return stack


def _mask_tasks(
    looks: Sequence[Look], exposures: Facts, settings: StepSettings
) -> tuple[Tasks, list[Key]]:
    """Return the tasks that mask exposures, and their keys; none where nothing is masked."""
    masking = masking_of(settings)
    if masking is None:
        return {}, []
    check_maskable(masking, exposures)
    rule = settings.mask_rule
    token = da.core.tokenize(looks, masking, masking.identities(), rule)
    keys: list[Key] = [(f"mask-{token}", i) for i in range(len(looks))]
    tasks: Tasks = {
        key: (mask_of, look, masking, rule) for key, look in zip(keys, looks, strict=True)
    }
    return tasks, keys


def _mask_array(stack: xr.Dataset, tasks: Tasks, keys: Sequence[Key]) -> xr.Variable:
    """Return the masks of exposures on a stack's pixels, in its bands."""
    chunks = stack["sci"].chunksizes
    rows, columns = chunks["y"], chunks["x"]
    x0, nx = int(stack["x"].values[0]), sum(columns)
    y = int(stack["y"].values[0])
    name = f"masks-{da.core.tokenize(keys, rows, columns, x0, y)}"
    graph = {key: tasks[key] for key in keys}
    for i, ny in enumerate(rows):
        graph[name, 0, i, 0] = (_over, Window(x0, y, nx, ny), list(keys))
        y += ny
    array = da.Array(graph, name, ((len(keys),), rows, (nx,)), dtype=bool)
    attrs = {"long_name": "masked: shows a source"}
    return xr.Variable(("exposure", "y", "x"), array, attrs)


def _over(window: Window, masks: Sequence[Mask]) -> NDArray[np.bool_]:
    return np.stack([mask.over(window) for mask in masks])


def _with_scales(
    stack: xr.Dataset,
    looks: Sequence[Look],
    target: ExposureFacts,
    tasks: Tasks,
    masks: Sequence[Key],
    settings: StepSettings,
) -> xr.Dataset:
    window, regions = target.window, Regions()
    if (path := scale_map(settings)) is not None:
        own = stack["x"].values[[0, -1]], stack["y"].values[[0, -1]]
        if [*own[0], *own[1]] != [window.x0, window.x1 - 1, window.y0, window.y1 - 1]:
            raise SettingsError(
                "A stack whose regions are scaled apart must have its target's window",
                value=f"target: {window}",
                cure="Leave out window=",
            )
        regions = regions_of(path, window, target.instrument)
        stack = stack.assign(region_index=(("y", "x"), regions.index))
    token = da.core.tokenize(
        looks, masks, window, settings.bkg_scale, None if path is None else regions.index
    )
    graph = dict(tasks)
    samples: list[Key] = []
    for i, look in enumerate(looks):
        samples.append((f"sample-{token}", i))
        graph[samples[-1]] = (sample_of, window, look, regions, *masks[i : i + 1])
    mode = cast(Mode, settings.bkg_scale)
    graph[whole := f"scale-{token}"] = (
        scales_of,
        mode,
        window,
        regions,
        samples[-1],
        *samples[:-1],
    )
    shape = ((len(looks) - 1,), (len(regions.numbers),))
    found = {}
    for part in ("offset", "factor", "error"):
        name = f"{part}-{token}"
        own_graph = {**graph, (name, 0, 0): (_part, part, whole)}
        array = da.Array(own_graph, name, shape, dtype=np.float64)
        found[f"scale_{part}"] = (("exposure", "region"), array)
    numbers = np.array(regions.numbers)
    return stack.assign(found).assign_coords(region=("region", numbers))


def _part(name: str, scales: Scales | BkgflowError) -> NDArray[np.float64]:
    if isinstance(scales, BkgflowError):
        raise scales
    part: NDArray[np.float64] = getattr(scales, name)
    return part


def change(stack: xr.Dataset) -> tuple[list[xr.DataArray], list[list[str]], list[str]]:
    """Return what of a stack says how its values are changed before they are combined.

    Returns
    -------
    arrays, dims, names
        What `adjusted` takes: arrays, which of their axes an `xarray.apply_ufunc` gives it as the
        last ones, and their names.
    """
    dims = {
        "mask": ["exposure"],
        "scale_offset": ["exposure", "region"],
        "scale_factor": ["exposure", "region"],
        "region_index": [],
    }
    names = [name for name in dims if name in stack]
    arrays = [stack[name] for name in names]
    if "exposure" not in stack.dims:  # one of them was selected: its integrations are combined
        lengths = {"integration": stack.sizes.get("integration", 1)}
        arrays = [
            each.expand_dims(lengths) if dims[name] else each
            for name, each in zip(names, arrays, strict=True)
        ]
        dims = {name: [d.replace("exposure", "integration") for d in dims[name]] for name in dims}
    return arrays, [dims[name] for name in names], names


def hidden(sci: Plane, names: Sequence[str], arrays: Sequence[Plane]) -> Plane:
    """Return SCI of exposures, (n, rows, nx), or of such with integrations, NaN where masked.

    For a mean of integrations before it is taken. See `adjusted` for the arguments.
    """
    given = dict(zip(names, arrays, strict=True))
    if "mask" not in given:
        return sci
    masked = np.moveaxis(given["mask"], -1, 0)
    shape = (len(sci), *(1,) * (sci.ndim - masked.ndim), *masked.shape[1:])
    return np.where(masked.reshape(shape), np.array(np.nan, sci.dtype), sci)


def adjusted(
    sci: Plane, err: Plane | None, names: Sequence[str], arrays: Sequence[Plane]
) -> tuple[Plane, Plane | None]:
    """Return SCI and ERR of exposures, (n, rows, nx), with their levels changed.

    Parameters
    ----------
    names, arrays
        From `change`: with the exposures as the last axis but for the regions; what
        `xarray.Dataset.where` went over has rows and columns before.
    """
    given = dict(zip(names, arrays, strict=True))
    if "scale_factor" not in given:
        return sci, err
    out, errors = np.empty(sci.shape), None if err is None else np.empty(sci.shape)
    index = given.get("region_index")
    offset, factor = (given[f"scale_{each}"] for each in TWO)
    for i, plane in enumerate(sci):
        _level(plane, index, offset[..., i, :], factor[..., i, :], out[i])
        if err is not None and errors is not None:
            nothing, size = np.zeros_like(offset[..., i, :]), np.abs(factor[..., i, :])
            _level(err[i], index, nothing, size, errors[i])
    return out, errors


def _level(
    plane: Plane, index: Plane | None, offset: Plane, factor: Plane, out: NDArray[np.float64]
) -> None:
    """Do what `levelled` does, also where each pixel has numbers of its own: (…, regions)."""
    if offset.ndim == factor.ndim == 1:
        levelled(plane, index, offset, factor, out)
        return
    added, times = (_of_pixels(each, index) for each in (offset, factor))
    np.multiply(plane, times, out=out, dtype=np.float64)
    np.add(out, added, out=out)


def _of_pixels(scale: Plane, index: Plane | None) -> Plane:
    """Return the number of each pixel's region."""
    if index is None:
        return scale[..., 0]
    own = np.broadcast_to(scale, (*index.shape, scale.shape[-1]))
    return np.take_along_axis(own, index[..., np.newaxis].astype(np.intp), -1)[..., 0]
