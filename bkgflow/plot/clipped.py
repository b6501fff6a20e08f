"""What a clip rejects of a stack: where, how often, and of which exposure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import numpy as np
import xarray as xr

from bkgflow.arguments import StackArguments, shows_stack_arguments
from bkgflow.explore.rejected import rejected
from bkgflow.explore.stack import combine
from bkgflow.plot.figure import new_figure
from bkgflow.plot.images import short_names
from bkgflow.plot.panels import MISSING, Panel, draw_image
from bkgflow.plot.stretch import limits_of
from bkgflow.settings import StepSettings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["clip"]

MOST_NAMED = 24
"""Bars that have names; of more, numbers."""


@shows_stack_arguments
def clip(stack: xr.Dataset, **arguments: Unpack[StackArguments]) -> Figure:
    """Draw what a clip makes of a stack, and what it rejects where, how often, and of whom.

    Parameters
    ----------
    stack : Dataset
        From `bkgflow.open_stack`.
    **arguments
        As for `bkgflow.combine`.

    Returns
    -------
    Figure
        The combined background; for each pixel, of how many exposures it was rejected; how many
        pixels were rejected how often; and the share of each exposure that was.

    Raises
    ------
    SettingsError
        If an argument is out of bounds.
    ShapeError
        If this is no stack.
    UsageError
        If matplotlib is not installed.
    """
    mean = combine(stack, **arguments)["sci"].compute()
    away = rejected(stack, **arguments).compute()
    along = str(away.dims[0])
    count = away.sum(along).values
    number = away.sizes[along]
    ny, nx = count.shape
    figure = new_figure(10.5, 3.6 + max(2.2, min(4.6, 4.6 * ny / nx)))
    (one, two), (three, four) = figure.subplots(
        2, 2, height_ratios=[max(2.2, min(4.6, 4.6 * ny / nx)), 2.6]
    )
    corner = int(mean["x"].values[0]), int(mean["y"].values[0])
    unit = str(mean.attrs.get("units", ""))
    stacked = nx > 3 * ny
    title = "combined" if np.isfinite(mean.values).all() else f"combined; {MISSING}"
    shown = Panel(title, mean.values, limits_of(mean.values, "linear"), unit, corner=corner)
    draw_image(one, shown, stacked=stacked)
    most = max(1, int(count.max()))
    title = f"rejected: {away.values.mean():.2%} of the values"
    where = Panel(title, count.astype(np.float32), (0.0, most), f"{along}s of {number}", "inferno",
                  corner=corner, whole=True)  # fmt: skip
    draw_image(two, where, stacked=stacked)
    _draw_how_often(three, count, along)
    _draw_of_whom(four, away, along)
    figure.suptitle(_title(f"{number} {along}s", StepSettings.of(**arguments)), fontsize=11)
    return figure


def _title(what: str, settings: StepSettings) -> str:
    """Say which rule a figure is about; what is as usual is not said."""
    clip, words = settings.stack_rule.clip, [f"clip of {what}"]
    if clip.method not in ("minmax", "none"):
        words.append(f" at {clip.sigma:g} sigma")
    rounds = f"at most {clip.maxiters} rounds" if clip.maxiters else ""
    named = ("clip", "clip_side", "combine", "bkg_weights", "bkg_bad_bits", "bkg_good_bits")
    said = [f"{name}={value}" for name, value in settings.only(named).items()]
    return ", ".join(["".join(words), *filter(None, [rounds]), *said])


def _draw_how_often(axis: Axes, count: np.ndarray, along: str) -> None:
    often = np.bincount(count.reshape(-1))
    bars = axis.bar(np.arange(len(often)), often, color="tab:blue")
    axis.bar_label(bars, labels=[f"{each:,}" for each in often], fontsize=8)
    axis.set_yscale("log")
    axis.set_ylim(0.5, 5 * often.max())
    axis.set_xticks(np.arange(len(often)))
    axis.set_xlabel(f"{along}s rejected")
    axis.set_ylabel("pixels")
    axis.set_title("how often", fontsize=10)


def _draw_of_whom(axis: Axes, away: xr.DataArray, along: str) -> None:
    share = 100 * away.mean(("y", "x")).values
    places = np.arange(len(share))
    axis.barh(places, share, color="tab:red")
    names = short_names(away[along].values) if along in away.coords else list(map(str, places))
    if len(names) <= MOST_NAMED:
        axis.set_yticks(places, names, fontsize=7)
    axis.invert_yaxis()
    axis.set_xlim(0, max(1e-3, 1.15 * share.max()))
    axis.set_xlabel("percent of its pixels rejected")
    axis.set_title(f"of which {along}", fontsize=10)
