"""Pictures of time series: images of a segment, and scales over time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bkgflow.io.storage.location import PathLike
from bkgflow.report.pictures import around_zero, draw_image, limits, new_figure, save_figure

__all__ = ["SkyScales", "draw_series"]

SIDES = (("left", "tab:blue"), ("right", "tab:red"))

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class SkyScales:
    """The scales of one segment.

    Attributes
    ----------
    first : int
        Its first integration, counted from 1 within the exposure.
    scales, errors : (2, n_integrations) float64
        Left and right of the step, and how much of them changes by chance (1 sigma).
    """

    first: int
    scales: Doubles
    errors: Doubles


def draw_series(
    before: NDArray[np.floating],
    regions: NDArray[np.floating],
    background: NDArray[np.floating],
    after: NDArray[np.floating],
    segments: list[SkyScales],
    path: PathLike,
    *,
    title: str,
    unit: str = "",
) -> Path:
    """Draw a SOSS exposure, where its sky was fitted, the sky, what is left, and the scales.

    Parameters
    ----------
    before, background, after : (ny, nx)
        Means over the integrations of a segment, in one unit; NaN is drawn red.
    regions : (ny, nx)
        Share of the integrations in which a pixel took part in the fit: negative on the left
        of the step, positive on the right.
    segments : list of SkyScales
        In the order of time.
    path : path-like
        Of the PNG.
    title, unit : str
        Above the picture, and at the colour bars.

    Raises
    ------
    UsageError
        If matplotlib is not installed.
    """
    low, high = limits(before)
    figure = new_figure((9.0, 11.0), title)
    *images, curves = figure.subplots(5, 1)
    panels = (
        ("exposure", before, (low, high), unit, None),
        ("fit regions", regions, (-1.0, 1.0), "left < 0 < right", "RdBu_r"),
        (f"model: median {np.nanmedian(background):.4g}", background, (low, high), unit, None),
        ("residual", after, around_zero(after, high - low), unit, None),
    )
    for axis, (name, image, bounds, label, colours) in zip(images, panels, strict=True):
        draw_image(figure, axis, (name, image, bounds), label, stacked=True, colours=colours)
    _draw_scales(curves, segments)
    return save_figure(figure, path)


def _draw_scales(axis: Any, segments: list[SkyScales]) -> None:
    """Draw both scales over the integrations, with a line where a segment begins."""
    for number, segment in enumerate(segments):
        time = segment.first + np.arange(segment.scales.shape[1])
        for (name, colour), scales, errors in zip(
            SIDES, segment.scales, segment.errors, strict=True
        ):
            label = None if number else f"{name} of the step"
            axis.errorbar(time, scales, errors, fmt="o-", ms=3, lw=1, color=colour, label=label)
        if number:
            axis.axvline(segment.first - 0.5, color="grey", lw=0.8, ls=":")
    axis.set_title("scales", fontsize=10)
    axis.set_xlabel("integration")
    axis.set_ylabel("sky / template")
    axis.legend(loc="best", fontsize=8)
