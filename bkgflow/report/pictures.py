"""Pictures of results that people would rather look at than read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bkgflow.errors import UsageError
from bkgflow.io.storage.location import PathLike
from bkgflow.io.storage.publish import whole

__all__ = [
    "Panel",
    "around_zero",
    "draw_image",
    "draw_panels",
    "draw_slitless",
    "draw_subtraction",
    "limits",
    "new_figure",
    "save_figure",
]

Panel = tuple[str, NDArray[Any], tuple[float, float]]
"""The title of an image, the image, and the values that are drawn black and white."""

STRETCH = 4.0
"""Black and white stand this many robust standard deviations from the median: the sky is seen,
and sources are white."""

MAD_TO_SIGMA = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


def draw_subtraction(
    before: NDArray[np.floating],
    background: NDArray[np.floating],
    after: NDArray[np.floating],
    path: PathLike,
    *,
    title: str,
    unit: str = "",
) -> Path:
    """Draw a target before, its background, and the target after, side by side.

    Target and background share one grey scale; the result, whose sky is near zero, has its
    own, as wide as the first.

    Parameters
    ----------
    before, background, after : (ny, nx)
        In one unit; NaN is drawn in red.
    path : path
        Of the PNG.
    title : str
        Above the picture.
    unit : str
        Below the colour bars.

    Returns
    -------
    Path
        The picture.

    Raises
    ------
    UsageError
        If matplotlib is not installed.
    """
    low, high = limits(before)
    panels = [
        (f"before: median {np.nanmedian(before):.4g}", before, (low, high)),
        (f"background: median {np.nanmedian(background):.4g}", background, (low, high)),
        (f"after: median {np.nanmedian(after):.4g}", after, around_zero(after, high - low)),
    ]
    return draw_panels(panels, path, title=title, unit=unit)


def draw_slitless(
    before: NDArray[np.floating],
    mask: NDArray[np.bool_],
    background: NDArray[np.floating],
    after: NDArray[np.floating],
    path: PathLike,
    *,
    title: str,
    unit: str = "",
) -> Path:
    """Draw a slitless exposure, the mask of its background, the scaled sky, what is left.

    Parameters
    ----------
    before, background, after : (ny, nx)
        In one unit; NaN is drawn red.
    mask : (ny, nx) bool
        True (white) for background.
    path : path-like
        Of the PNG.
    title, unit : str
        Above the picture, and at the colour bars.

    Raises
    ------
    UsageError
        If matplotlib is not installed.
    """
    low, high = limits(np.where(mask, before, np.nan) if mask.any() else before)
    panels = [
        ("exposure", before, (low, high)),
        (f"mask: {mask.mean():.0%} background", mask.astype(np.float32), (0.0, 1.0)),
        (f"model: median {np.nanmedian(background):.4g}", background, (low, high)),
        ("residual", after, around_zero(after[mask] if mask.any() else after, high - low)),
    ]
    return draw_panels(panels, path, title=title, unit=unit)


def draw_panels(
    panels: Sequence[Panel],
    path: PathLike,
    *,
    title: str,
    unit: str = "",
) -> Path:
    """Draw images side by side, each with its title, limits and colour bar.

    Long, narrow windows are stacked instead.

    Raises
    ------
    UsageError
        If matplotlib is not installed.
    """
    ny, nx = panels[0][1].shape
    stacked = nx > 3 * ny
    count = len(panels)
    figure = new_figure((9.0, 0.8 + 2.0 * count) if stacked else (4.6 * count, 5.0), title)
    axes = figure.subplots(count if stacked else 1, 1 if stacked else count, squeeze=False)
    for axis, panel in zip(axes.flat, panels, strict=True):
        draw_image(figure, axis, panel, unit, stacked=stacked)
    return save_figure(figure, path)


def draw_image(
    figure: Any, axis: Any, panel: Panel, unit: str, *, stacked: bool, colours: Any = None
) -> None:
    """Draw one image with its title, limits and colour bar, grey by default."""
    name, image, (low, high) = panel
    drawn = axis.imshow(
        image,
        origin="lower",
        cmap=_grey_with_red() if colours is None else colours,
        vmin=low,
        vmax=high,
        interpolation="nearest",
        aspect="auto" if stacked else "equal",
    )
    axis.set_title(name, fontsize=10)
    axis.set_xlabel("column")
    axis.set_ylabel("row")
    figure.colorbar(drawn, ax=axis, shrink=1.0 if stacked else 0.65, label=unit)


def new_figure(size: tuple[float, float], title: str) -> Any:
    """Return an empty figure of a size in inches.

    Raises
    ------
    UsageError
        If matplotlib is not installed.
    """
    figure = _figure_class()(figsize=size, layout="constrained")
    figure.suptitle(title, fontsize=11)
    return figure


def save_figure(figure: Any, path: PathLike) -> Path:
    """Write a figure as PNG; it appears whole or not at all. Return its path.

    Raises
    ------
    OutputError
        If it cannot be written there.
    """
    with whole(path) as part:
        figure.savefig(part, dpi=110, format="png")
    return Path(path)


def limits(image: NDArray[np.floating]) -> tuple[float, float]:
    """Return the values that are drawn black and white, so that the sky is seen."""
    finite = image[np.isfinite(image)]
    if not finite.size:
        return 0.0, 1.0
    middle = float(np.median(finite))
    half = STRETCH * MAD_TO_SIGMA * float(np.median(np.abs(finite - middle)))
    return middle - half, middle + (half or 1.0)


def around_zero(image: NDArray[np.floating], width: float) -> tuple[float, float]:
    """Return limits about the median of what is left that are ``width`` apart."""
    middle = float(np.nanmedian(image)) if np.isfinite(image).any() else 0.0
    return middle - width / 2, middle + width / 2


def _figure_class() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError(
            "Pictures are drawn with matplotlib",
            value="it is not installed",
            cure="Install bkgflow with its plot extra: pip install 'bkgflow[plot]'",
        ) from None
    return Figure


def _grey_with_red() -> Any:
    from matplotlib import colormaps

    return colormaps["gray"].with_extremes(bad="firebrick")
