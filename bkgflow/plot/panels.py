"""Images side by side: what belongs together in a picture, and one way to draw it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bkgflow.plot.figure import new_figure
from bkgflow.plot.stretch import Stretch, as_wide, norm_of, sky_limits
from bkgflow.texts import wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

__all__ = [
    "MISSING",
    "Panel",
    "SkyScales",
    "averaged",
    "difference_panels",
    "draw_image",
    "fit_panels",
    "picture_of",
    "subtraction_panels",
]

MISSING = "red: no valid value"
"""What a title says where there are such pixels."""

FLAGGED = (1.0, 0.65, 0.0)
"""Red, green and blue of what is flagged: orange."""

MOST_PIXELS = {"beside": (400, 400), "stacked": (200, 1000)}
"""Rows and columns of an image as it is drawn, as many as the picture has room for: of more, some
would be left out, traces among them."""

LETTERS = 11
"""Of a title, in an inch."""

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
    stretch : str
        How the values between the limits are spread.
    flagged : (ny, nx) bool, or None
        Pixels that are marked over the image.
    corner : (int, int)
        Column and row of its first pixel.
    whole : bool
        Whether its values are whole numbers, as the colour bar says then.
    """

    title: str
    image: Image
    limits: tuple[float, float]
    unit: str
    colours: str | None = None
    stretch: Stretch = "linear"
    flagged: NDArray[np.bool_] | None = None
    corner: tuple[int, int] = (0, 0)
    whole: bool = False


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
    limits = sky_limits(before)
    return [
        Panel(f"before: median {np.nanmedian(before):.4g}", before, limits, unit),
        Panel(f"background: median {np.nanmedian(background):.4g}", background, limits, unit),
        Panel(f"after: median {np.nanmedian(after):.4g}", after, as_wide(limits, after), unit),
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
    limits = sky_limits(before[sky])
    return [
        Panel("exposure", before, limits, unit),
        fitted,
        Panel(f"model: median {np.nanmedian(background):.4g}", background, limits, unit),
        Panel("residual", after, as_wide(limits, after[sky]), unit),
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
    limits = sky_limits(one)
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


def picture_of(
    panels: Sequence[Panel], title: str, series: Sequence[SkyScales] | None = None
) -> Figure:
    """Return a figure of images side by side.

    Long, narrow windows are stacked; so is a time series, with the scales of all its segments, in
    the order of time, below.

    Raises
    ------
    UsageError
        If matplotlib is not installed.
    """
    ny, nx = panels[0].image.shape
    count = len(panels)
    stacked = series is not None or nx > 3 * ny
    height = 0.8 + 2.0 * count + (0.0 if series is None else 2.2)
    figure = new_figure(*(9.0, height) if stacked else (4.6 * count, 4.4))
    if any(not np.isfinite(panel.image).all() for panel in panels):
        title += f"; {MISSING}"
    figure.suptitle(_in_lines(title, int(LETTERS * figure.get_figwidth())), fontsize=11)
    rows = count + (series is not None)
    axes = figure.subplots(rows if stacked else 1, 1 if stacked else count, squeeze=False).flat
    for axis, panel in zip(axes, panels, strict=False):
        draw_image(axis, panel, stacked=stacked)
    if series is not None:
        _draw_scales(axes[count], series)
    return figure


def _in_lines(title: str, width: int) -> str:
    return "\n".join(wrapped(line, width) for line in title.splitlines())


def draw_image(axis: Axes, panel: Panel, *, stacked: bool = False, bar: bool = True) -> AxesImage:
    """Draw an image, with a colour bar and what is flagged; return what matplotlib calls it."""
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator

    (ny, nx), (x0, y0) = panel.image.shape, panel.corner
    most = MOST_PIXELS["stacked" if stacked else "beside"]
    extent = (x0 - 0.5, x0 + nx - 0.5, y0 - 0.5, y0 + ny - 0.5)
    norm = norm_of(panel.limits, panel.stretch, panel.image)
    drawn = axis.imshow(
        averaged(panel.image, most),
        extent=extent,
        origin="lower",
        cmap=panel.colours or colormaps["gray"].with_extremes(bad="firebrick"),
        norm=norm,
        interpolation="nearest",
        aspect="auto" if stacked else "equal",
    )
    if panel.flagged is not None:
        share = averaged(panel.flagged.astype(np.float32), most)
        overlay = np.zeros((*share.shape, 4), np.float32)
        overlay[..., :3] = FLAGGED
        overlay[..., 3] = 0.8 * np.sqrt(share)  # one flagged pixel of many is still seen
        axis.imshow(overlay, extent=extent, origin="lower", interpolation="nearest",
                    aspect="auto" if stacked else "equal")  # fmt: skip
    axis.set_title(panel.title, fontsize=10)
    axis.set_xlabel("column")
    axis.set_ylabel("row")
    if bar and axis.figure is not None:
        shrink = 1.0 if stacked else 0.65
        shown = axis.figure.colorbar(drawn, ax=axis, shrink=shrink, label=panel.unit)
        if panel.stretch == "asinh":  # ticks at equal distances of value would crowd at one end
            ticks = [float(each) for each in norm.inverse(np.linspace(0, 1, 6))]
            shown.set_ticks(ticks, labels=[f"{tick:.3g}" for tick in ticks])
        elif panel.whole:
            shown.locator = MaxNLocator(integer=True)
            shown.update_ticks()
    return drawn


def averaged(image: Image, most: tuple[int, int]) -> Image:
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
