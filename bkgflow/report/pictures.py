"""Pictures of results that people would rather look at than read."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bkgflow.errors import UsageError
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.publish import whole
from bkgflow.texts import how_to_install

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "Panel",
    "SkyScales",
    "check_drawing",
    "difference_panels",
    "draw_panels",
    "fit_panels",
    "subtraction_panels",
]

STRETCH = 4.0
"""Black and white stand this many robust standard deviations from the median: the sky is seen,
and sources are white."""

MAD_TO_SIGMA = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""

DPI = 150

MOST_PIXELS = {"beside": (400, 400), "stacked": (200, 1000)}
"""Rows and columns of an image as it is drawn, as many as the picture has room for: of more, some
would be left out, traces among them."""

SIDES = (("left", "tab:blue"), ("right", "tab:red"))

Image = NDArray[np.floating]


class Panel(NamedTuple):
    """An image of a picture.

    Attributes
    ----------
    title : str
        Above it.
    image : (ny, nx)
        NaN is drawn red. Large images are drawn as means over a few pixels.
    limits : (float, float)
        The values that are drawn black and white.
    unit : str
        At the colour bar.
    colours : str or None
        A colour map of matplotlib; None for grey.
    """

    title: str
    image: Image
    limits: tuple[float, float]
    unit: str
    colours: str | None = None


class SkyScales(NamedTuple):
    """The scales of one segment of a time series.

    Attributes
    ----------
    first : int
        Its first integration, counted from 1 within the exposure.
    scales, errors : (2, n_integrations) float64
        Left and right of the step, and their errors: what changes by chance, and what the choice
        of dark pixels does (1 sigma).
    """

    first: int
    scales: NDArray[np.float64]
    errors: NDArray[np.float64]


def subtraction_panels(before: Image, background: Image, after: Image, unit: str) -> list[Panel]:
    """Return a target before, its background, and the target after, all (ny, nx) in one unit.

    Target and background share one grey scale; the result, whose sky is near zero, has its
    own, as wide as the first.
    """
    limits = _limits(before)
    return [
        Panel(f"before: median {np.nanmedian(before):.4g}", before, limits, unit),
        Panel(f"background: median {np.nanmedian(background):.4g}", background, limits, unit),
        Panel(f"after: median {np.nanmedian(after):.4g}", after, _as_wide(limits, after), unit),
    ]


def fit_panels(
    before: Image,
    fitted: Panel,
    background: Image,
    after: Image,
    unit: str,
    mask: NDArray[np.bool_] | None = None,
) -> list[Panel]:
    """Return an exposure, where its sky was fitted, the scaled sky, and what is left.

    Parameters
    ----------
    before, background, after : (ny, nx)
        In one unit.
    fitted : Panel
        Where it was.
    unit : str
        At the colour bars.
    mask : (ny, nx) bool, optional
        True where the sky is seen, which alone decides about the grey scales; else all does.
    """
    sky = mask if mask is not None and mask.any() else slice(None)
    limits = _limits(before[sky])
    return [
        Panel("exposure", before, limits, unit),
        fitted,
        Panel(f"model: median {np.nanmedian(background):.4g}", background, limits, unit),
        Panel("residual", after, _as_wide(limits, after[sky]), unit),
    ]


def difference_panels(one: Image, other: Image, names: tuple[str, str], unit: str) -> list[Panel]:
    """Return two versions of a product in one grey scale, and what was added to the first.

    Parameters
    ----------
    one, other : (ny, nx)
        In one unit.
    names : (str, str)
        What the versions are called.
    """
    limits = _limits(one)
    added = other - one
    valid = np.abs(added[np.isfinite(added)])
    # Where few pixels differ, the others are all zero: then the largest decides.
    half = float(np.quantile(valid, 0.995) or valid.max()) if valid.size else 0.0
    half = half or 1.0
    title = f"{names[1]} − {names[0]}: purple < 0 < orange"
    return [
        Panel(f"{names[0]}: median {_median(one):.4g}", one, limits, unit),
        Panel(f"{names[1]}: median {_median(other):.4g}", other, limits, unit),
        Panel(title, added, (-half, half), unit, "PuOr_r"),  # red is what has no valid value
    ]


def _median(image: Image) -> float:
    valid = image[np.isfinite(image)]
    return float(np.median(valid)) if valid.size else float("nan")


def check_drawing() -> None:
    """Refuse to draw where matplotlib is missing: before there is work whose pictures are wanted.

    Raises
    ------
    UsageError
        If it is not installed.
    """
    try:
        import_module("matplotlib")
    except ImportError:
        raise UsageError(
            "matplotlib must be installed for pictures",
            value="it is not installed",
            cure=f"Install it ({how_to_install('matplotlib')}), or do without pictures",
        ) from None


def draw_panels(
    panels: Sequence[Panel],
    path: PathLike,
    title: str,
    series: Sequence[SkyScales] | None = None,
) -> Path | Location:
    """Draw images side by side as PNG, and return its path, where it appears whole.

    Long, narrow windows are stacked; so is a time series, with the scales of all its segments, in
    the order of time, below.

    Raises
    ------
    UsageError
        If matplotlib is not installed.
    OutputError
        If the picture cannot be written.
    """
    check_drawing()
    from matplotlib.figure import Figure

    ny, nx = panels[0].image.shape
    count = len(panels)
    stacked = series is not None or nx > 3 * ny
    height = 0.8 + 2.0 * count + (0.0 if series is None else 2.2)
    size = (9.0, height) if stacked else (4.6 * count, 4.4)
    figure = Figure(figsize=size, layout="constrained")
    most = MOST_PIXELS["stacked" if stacked else "beside"]
    panels = [each._replace(image=_averaged(each.image, most)) for each in panels]
    if any(not np.isfinite(panel.image).all() for panel in panels):
        title += "; red: no valid value"
    figure.suptitle(title, fontsize=11)
    rows = count + (series is not None)
    axes = figure.subplots(rows if stacked else 1, 1 if stacked else count, squeeze=False).flat
    for axis, panel in zip(axes, panels, strict=False):
        _draw_image(figure, axis, panel, (ny, nx), stacked=stacked)
    if series is not None:
        _draw_scales(axes[count], series)
    with whole(path) as part:
        figure.savefig(part, dpi=DPI, format="png")
    return Location.of(path).as_path()


def _draw_image(
    figure: Figure, axis: Axes, panel: Panel, shape: tuple[int, int], *, stacked: bool
) -> None:
    from matplotlib import colormaps

    (ny, nx), (low, high) = shape, panel.limits
    drawn = axis.imshow(
        panel.image,
        extent=(-0.5, nx - 0.5, -0.5, ny - 0.5),
        origin="lower",
        cmap=panel.colours or colormaps["gray"].with_extremes(bad="firebrick"),
        vmin=low,
        vmax=high,
        interpolation="nearest",
        aspect="auto" if stacked else "equal",
    )
    axis.set_title(panel.title, fontsize=10)
    axis.set_xlabel("column")
    axis.set_ylabel("row")
    figure.colorbar(drawn, ax=axis, shrink=1.0 if stacked else 0.65, label=panel.unit)


def _averaged(image: Image, most: tuple[int, int]) -> Image:
    """Return means of the valid pixels in rectangles, so that none of an image is left out."""
    steps = [-(-length // room) for length, room in zip(image.shape, most, strict=True)]
    if steps == [1, 1]:
        return image
    (ny, nx), (high, wide) = image.shape, steps
    padded = np.full((-(-ny // high) * high, -(-nx // wide) * wide), np.nan, np.float32)
    padded[:ny, :nx] = image
    blocks = padded.reshape(-1, high, padded.shape[1] // wide, wide)
    valid = np.isfinite(blocks)
    number = valid.sum(axis=(1, 3))
    total = np.where(valid, blocks, 0).sum(axis=(1, 3), dtype=np.float64)
    mean: Image = np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)
    return mean


def _draw_scales(axis: Axes, series: Sequence[SkyScales]) -> None:
    """Draw both scales over the integrations, with a line where a segment begins."""
    for number, (first, *curves) in enumerate(series):
        for (name, colour), scales, errors in zip(SIDES, *curves, strict=True):
            time = first + np.arange(len(scales))
            label = None if number else f"{name} of the step"
            axis.errorbar(time, scales, errors, fmt="o-", ms=3, lw=1, color=colour, label=label)
        if number:
            axis.axvline(first - 0.5, color="grey", lw=0.8, ls=":")
    axis.set_title("scales, with their whole errors (1 sigma)", fontsize=10)
    axis.set_xlabel("integration")
    axis.set_ylabel("sky / template")
    axis.legend(loc="best", fontsize=8)


def _limits(image: Image) -> tuple[float, float]:
    """Return the values that are drawn black and white, so that the sky is seen."""
    finite = image[np.isfinite(image)]
    if not finite.size:
        return 0.0, 1.0
    middle = float(np.median(finite))
    half = STRETCH * MAD_TO_SIGMA * float(np.median(np.abs(finite - middle)))
    return middle - half, middle + (half or 1.0)


def _as_wide(limits: tuple[float, float], image: Image) -> tuple[float, float]:
    """Return limits about the median of what is left, as far apart as others."""
    middle = float(np.nanmedian(image)) if np.isfinite(image).any() else 0.0
    half = (limits[1] - limits[0]) / 2
    return middle - half, middle + half
