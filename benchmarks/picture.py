"""The curves as a picture: time, and memory where it could grow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

SIDES = {"ours": ("bkgflow", "#0072b2", "o"), "peer": ("jwst", "#d55e00", "s")}
"""Name, colour (told apart by all eyes) and marker of each side."""

MEMORY = "backgrounds"
"""The curve whose memory is drawn as well."""


def draw(results: Mapping[str, Any], path: Path) -> Path:
    """Draw all curves, doubly logarithmic, as PNG."""
    from matplotlib.figure import Figure

    curves = results["curves"]
    panels = [(curve, "seconds") for curve in curves.values()]
    if MEMORY in curves:
        panels.append((curves[MEMORY], "memory"))
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.4 * columns, 3.7 * rows), layout="constrained")
    for number, (curve, what) in enumerate(panels, start=1):
        _panel(figure.add_subplot(rows, columns, number), curve, what)
    figure.savefig(path, dpi=110)
    return path


def _panel(axes: Axes, curve: Mapping[str, Any], what: str) -> None:
    """Draw one curve of both sides."""
    from matplotlib.ticker import LogLocator

    values: list[float] = []
    for side in SIDES:
        values += _line(axes, curve["points"], side, what)
    numbers = [point["number"] for point in curve["points"]]
    first = _value(curve["points"][0]["ours"], what)
    _guide(axes, numbers, first, inverse=curve["axis"] == "workers")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(numbers, [f"{number}" for number in numbers])
    axes.minorticks_off()
    axes.set_ylim(min(values) / 2, max(values) * 2)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel(curve["axis"])
    axes.set_ylabel("peak memory, GiB" if what == "memory" else "time, s")
    axes.set_title(curve["title"], fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, frameon=False)


def _line(axes: Axes, points: Sequence[Mapping[str, Any]], side: str, what: str) -> list[float]:
    label, colour, marker = SIDES[side]
    there = [point for point in points if side in point]
    values = [_value(point[side], what) for point in there]
    if there:
        numbers = [point["number"] for point in there]
        axes.plot(numbers, values, color=colour, marker=marker, label=label)
    return values


def _guide(axes: Axes, numbers: Sequence[int], first: float, *, inverse: bool) -> None:
    """Draw what strict proportion would be, from the first point on."""
    ends = [numbers[0], numbers[-1]]
    grown = numbers[0] / numbers[-1] if inverse else numbers[-1] / numbers[0]
    label = "in inverse proportion" if inverse else "in proportion"
    axes.plot(ends, [first, first * grown], color="0.6", linestyle=":", label=label)


def _value(side: Mapping[str, Any], what: str) -> float:
    if what == "memory":
        return float(side["peak_bytes"]) / 2**30
    return float(side["seconds"]["median"])
