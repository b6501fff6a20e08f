"""Exposures and stacks as pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bkgflow.detector import DO_NOT_USE
from bkgflow.errors import ShapeError, UsageError
from bkgflow.explore.exposure import open_exposure
from bkgflow.explore.restored import restored
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.plot.cubes import check_pixels, integrations_of, mean_of, said_of
from bkgflow.plot.figure import new_figure
from bkgflow.plot.panels import MISSING, Panel, draw_image
from bkgflow.plot.stretch import Stretch, checked_limits, limits_of
from bkgflow.texts import many

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["exposure", "mask", "short_names", "stack"]

TOLD = ("detector", "filter", "pupil", "grating", "target")
"""Coordinates in the title of a picture."""

MOST = 16
"""Exposures of a stack that are drawn: more are no longer seen."""


@overload
def exposure(
    data: PathLike | xr.Dataset | xr.DataArray,
    layer: str = ...,
    *,
    integration: int | None = ...,
    stretch: Stretch = ...,
    limits: tuple[float, float] | None = ...,
    flags: int = ...,
    title: str | None = ...,
    ax: None = ...,
) -> Figure: ...
@overload
def exposure(
    data: PathLike | xr.Dataset | xr.DataArray,
    layer: str = ...,
    *,
    integration: int | None = ...,
    stretch: Stretch = ...,
    limits: tuple[float, float] | None = ...,
    flags: int = ...,
    title: str | None = ...,
    ax: Axes,
) -> Axes: ...
def exposure(
    data: PathLike | xr.Dataset | xr.DataArray,
    layer: str = "sci",
    *,
    integration: int | None = None,
    stretch: Stretch = "asinh",
    limits: tuple[float, float] | None = None,
    flags: int = DO_NOT_USE,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure | Axes:
    """Draw one exposure, or any image.

    Parameters
    ----------
    data : path, Dataset or DataArray
        A file; what `bkgflow.open_exposure`, `bkgflow.combine` or `bkgflow.subtract_background`
        return; or one array along y and x. Of a cube, the mean of its integrations is drawn.
    layer : str
        Which variable of a Dataset.
    integration : int, optional
        Which integration of a cube, from 0.
    stretch : str
        "asinh" shows faint and bright, "linear" the sky around its median, "zscale" is IRAF's.
    limits : (float, float), optional
        The values that are drawn black and white, instead of those that fit the image: two
        finite numbers, the lower one first.
    flags : int
        Pixels whose DQ has one of these bits are marked orange; 0 for none.
    title : str, optional
        Instead of name, filter and target.
    ax : Axes, optional
        Where to draw; without it, in a figure of its own.

    Returns
    -------
    Figure or Axes
        The Axes if they were given.

    Raises
    ------
    InputError
        If the file is bad, or there is no image in it.
    ShapeError
        If it is no image, or has no pixels.
    UsageError
        If matplotlib is not installed, there is no such stretch, or the limits are none.
    """
    opened = data if isinstance(data, xr.Dataset | xr.DataArray) else open_exposure(data)
    image, dq, said = _image_of(opened, layer, integration)
    ny, nx = image.shape
    values = image.values.astype(np.float64)
    flagged = None if dq is None or not flags else (dq.values & np.uint32(flags)) != 0
    if title is None:
        lines = _title(opened, integration, said), *_colours(values, flagged)
        title = "\n".join(filter(None, lines))
    fitting = limits_of(values if flagged is None else values[~flagged], stretch)
    panel = Panel(
        title,
        values,
        fitting if limits is None else checked_limits(limits),
        str(image.attrs.get("units", "")),
        stretch=stretch,
        flagged=flagged if flagged is not None and flagged.any() else None,
        corner=_corner(image),
    )
    stacked = nx > 3 * ny
    if ax is not None:
        draw_image(ax, panel, stacked=stacked)
        return ax
    figure = new_figure(*(9.0, 2.8) if stacked else (6.0, max(3.0, min(7.0, 5.0 * ny / nx))))
    draw_image(figure.subplots(), panel, stacked=stacked)
    return figure


def stack(
    data: xr.Dataset, *, layer: str = "sci", stretch: Stretch = "linear", columns: int = 4
) -> Figure:
    """Draw the exposures of a stack side by side, in one grey scale.

    Parameters
    ----------
    data : Dataset
        From `bkgflow.open_stack`; of cubes, the means of their integrations are drawn. Of more
        than 16 exposures, 16 at equal distances are.
    layer : str
        Which variable.
    stretch : str
        As for `exposure`.
    columns : int
        Pictures in a row.

    Raises
    ------
    ShapeError
        If this is no stack, or it has no pixels.
    UsageError
        If matplotlib is not installed.
    """
    return _side_by_side(data, layer, stretch, columns)


def mask(data: xr.Dataset, *, stretch: Stretch = "linear", columns: int = 4) -> Figure:
    """Draw what is masked in the exposures of a stack, over their images, side by side.

    Parameters
    ----------
    data : Dataset
        From `bkgflow.open_stack` with ``mask_sources``.
    stretch, columns
        As for `stack`.

    Raises
    ------
    ShapeError
        If this is no stack, or nothing is masked in it.
    UsageError
        If matplotlib is not installed.
    """
    if "mask" not in data:
        raise ShapeError(
            "A stack must have a mask for this picture",
            value=f"variables {', '.join(map(str, data.data_vars))}",
            cure="Open it with bkgflow.open_stack(…, mask_sources=…)",
        )
    return _side_by_side(data, "sci", stretch, columns, restored(data)["mask"])


def _side_by_side(
    data: xr.Dataset,
    layer: str,
    stretch: Stretch,
    columns: int,
    masked: xr.DataArray | None = None,
) -> Figure:
    if "exposure" not in data[layer].dims:
        raise ShapeError(
            "A stack must have exposures",
            value=f"dims {', '.join(map(str, data[layer].dims))}",
            cure="Open one with bkgflow.open_stack, or draw it with bkgflow.plot.exposure",
        )
    array = data[layer].transpose("exposure", ..., "y", "x")
    check_pixels(array)
    number = array.sizes["exposure"]
    shown = np.unique(np.linspace(0, number - 1, min(number, MOST)).round().astype(int))
    chosen = mean_of(array.isel(exposure=shown)).compute()
    images = chosen.values.astype(np.float64)
    over = None
    if masked is not None:
        over = masked.isel(exposure=shown).transpose("exposure", "y", "x").values
    limits = limits_of(images if over is None else np.where(over, np.nan, images), stretch)
    columns = min(columns, len(shown))
    rows = math.ceil(len(shown) / columns)
    ny, nx = images.shape[-2:]
    height = max(1.0, 2.8 * ny / nx) + 0.5
    figure = new_figure(3.1 * columns + 0.9, height * rows + 0.4)
    axes = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
    drawn = None
    for i, (axis, image, place) in enumerate(zip(axes, images, shown, strict=False)):
        flagged, title = None if over is None else over[i], _name(data, int(place))
        if flagged is not None:
            title += f": {flagged.mean():.1%}"
        panel = Panel(title, image, limits, "", stretch=stretch, flagged=flagged,
                      corner=_corner(chosen))  # fmt: skip
        drawn = draw_image(axis, panel, stacked=nx > 3 * ny, bar=False)
        axis.title.set_fontsize(7)
        axis.label_outer()
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    if drawn is not None:
        label = str(array.attrs.get("units", ""))
        figure.colorbar(drawn, ax=axes, shrink=0.7, label=label)
    left_out = f", {len(shown)} of them" if len(shown) < number else ""
    means = "means of their integrations" if number > 1 else "mean of its integrations"
    mean = means if array.sizes.get("integration", 1) > 1 else ""
    scale = ("one grey scale" if number > 1 else "") if over is None else "orange: masked"
    words = ", ".join(filter(None, [f"{many(number, 'exposure')}{left_out}", mean, scale]))
    seen = np.isfinite(images) if over is None else np.isfinite(images) | over
    lines = [words, *([] if seen.all() else [MISSING])]
    figure.suptitle("\n".join(lines), fontsize=11)
    return figure


def _image_of(
    data: xr.Dataset | xr.DataArray, layer: str, integration: int | None
) -> tuple[xr.DataArray, xr.DataArray | None, str]:
    """Return the image, the flags of its pixels where there are any, and of what it is a mean."""
    if isinstance(data, xr.DataArray):
        image, dq = data, None
    elif layer not in data:
        raise UsageError(
            "The layer that is drawn must be one of the Dataset's variables",
            value=layer,
            cure=f"Use one of {', '.join(map(str, data.data_vars))}",
        )
    else:
        image, dq = data[layer], restored(data).get("dq")
    if integration is not None and "integration" in image.dims:
        image = image.isel(integration=integration)
        dq = None if dq is None else dq.isel(integration=integration)
    check_pixels(image)
    said = said_of(integrations_of(image))
    image = mean_of(image)
    if dq is not None and "integration" in dq.dims:
        # What is bad in every integration.
        dq = dq.compute().reduce(np.bitwise_and.reduce, "integration")
    if image.dims != ("y", "x"):
        raise ShapeError(
            "An image must have rows and columns alone",
            value=f"dims {', '.join(map(str, image.dims))}",
            cure="Select one exposure, or draw a stack with bkgflow.plot.stack",
        )
    return image.compute(), None if dq is None else dq.compute(), said


def _corner(image: xr.DataArray) -> tuple[int, int]:
    """Return column and row of the first pixel."""
    indexed = {"x", "y"} <= set(image.indexes)
    return (int(image["x"].values[0]), int(image["y"].values[0])) if indexed else (0, 0)


def _title(data: xr.Dataset | xr.DataArray, integration: int | None, said: str) -> str:
    path = data.attrs.get("path")
    name = Location.of(str(path)).name if path else str(data.attrs.get("long_name", ""))
    words = [str(data[each].values) for each in TOLD if each in data.coords and not data[each].dims]
    if integration is not None:
        words.append(f"integration {integration}")
    return "\n".join(filter(None, (name, ", ".join(filter(None, [*words, said])))))


def _colours(values: NDArray[np.float64], flagged: NDArray[np.bool_] | None) -> Iterator[str]:
    """Say what the colours mean that there are in a picture."""
    missing = ~np.isfinite(values)
    if flagged is not None and flagged.any():
        missing &= ~flagged  # drawn over
        yield f"orange: flagged, {flagged.mean():.1%} of the pixels"
    if missing.any():
        yield MISSING


def _name(data: xr.Dataset, place: int) -> str:
    if "exposure" not in data.coords:
        return str(place)
    return short_names(data["exposure"].values)[place]


def short_names(names: Sequence[Any] | NDArray[Any]) -> list[str]:
    """Return names without the ending that all of them have."""
    words = [str(each).split(".")[0] for each in names]
    last = {each.rpartition("_")[2] for each in words}
    return [each.rpartition("_")[0] or each for each in words] if len(last) == 1 else words
