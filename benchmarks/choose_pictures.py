"""The pictures of docs/choosing.md, small enough to lie in the project."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.choose_dithers import Example
from benchmarks.choose_nods import NODS, RULES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_dithers", "draw_nods", "draw_rules"]

LIMIT = 0.3
"""A bias that is none, in errors of the background."""

STYLES = dict(
    zip(
        RULES,
        (("#d55e00", "s"), ("#e69f00", "v"), ("#cc79a7", "D"), ("0.4", "x"), ("#0072b2", "o"),
         ("#009e73", "^")),
        strict=True,
    )
)  # fmt: skip
"""Colour (told apart by all eyes) and marker of each rule."""


def draw_dithers(example: Example, path: Path, side: int = 140) -> Path:
    """Draw the middle of one exposure, and what each way leaves of its sky and sources' ghosts."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 2.9), layout="constrained")
    ends = ((max(0, (n - side) // 2), min(n, (n + side) // 2)) for n in example.light.shape)
    rows, columns = (slice(*each) for each in ends)
    extent = (columns.start, columns.stop, rows.start, rows.stop)
    shown = {"the exposure, less its median": example.light, **example.residuals}
    axes = figure.subplots(1, len(shown), sharey=True)
    for each, (title, image) in zip(axes, shown.items(), strict=True):
        last = each.imshow(image[rows, columns], origin="lower", extent=extent, vmin=-3, vmax=3,
                           cmap="RdBu_r", interpolation="nearest")  # fmt: skip
        each.set_facecolor("0.7")
        first, sign, rest = title.partition(": " if ": " in title else ", ")
        each.set_title(f"{first}{sign.rstrip()}\n{rest}", fontsize=8)
        each.set_xlabel("column", fontsize=8)
        each.tick_params(labelsize=7)
    axes[0].set_ylabel("row", fontsize=8)
    bar = figure.colorbar(last, ax=axes, shrink=0.85, extend="both")
    bar.set_label("noise of a pixel (1 sigma)", fontsize=8)
    figure.suptitle(
        f"Background subtracted less the true sky (red: too much; white is right), beside the "
        f"exposure ({example.program}); grey: bad pixels",
        fontsize=9,
    )
    return _save(figure, path)


def draw_nods(shown: Mapping[str, NDArray[np.float64]], path: Path) -> Path:
    """Draw a nod before and after, one above the other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5.6), layout="constrained")
    axes = figure.subplots(len(shown), 1, sharex=True)
    for each, (title, image) in zip(axes, shown.items(), strict=True):
        last = each.imshow(image, origin="lower", aspect="auto", vmin=-5, vmax=5, cmap="gray",
                           interpolation="antialiased")  # fmt: skip
        each.set_title(title, fontsize=9)
        each.set_ylabel("row", fontsize=8)
        each.tick_params(labelsize=7)
    axes[-1].set_xlabel("column (dispersion)", fontsize=8)
    bar = figure.colorbar(last, ax=axes, extend="both")
    bar.set_label("noise of a pixel of sky (1 sigma)", fontsize=8)
    return _save(figure, path)


def draw_rules(rows: Iterable[Mapping[str, Any]], path: Path, strength: int = 100) -> Path:
    """Draw the bias under a source over the number of nods."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.8), layout="constrained")
    axes = figure.subplots()
    found = {(row["rule"], row["n"]): abs(row["bias"]) for row in rows
             if row["strength"] == strength}  # fmt: skip
    for name, (colour, marker) in STYLES.items():
        biases = [max(found[name, n], 1e-3) for n in NODS]
        axes.plot(NODS, biases, color=colour, marker=marker, label=name)
    axes.axhline(LIMIT, color="0.5", ls=":", label=f"{LIMIT:g} of the error")
    axes.set(yscale="log", xlabel="exposures that are combined, a source in one of them",
             ylabel="|bias| / error of the background", ylim=(8e-4, 200), xticks=NODS)  # fmt: skip
    axes.set_title(f"What is left of a source of {strength} times the noise", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, ncols=2, loc="upper right", bbox_to_anchor=(1.0, 0.82))
    return _save(figure, path)


def _save(figure: Figure, path: Path) -> Path:
    """Save as PNG of 32 colours: a third of the bytes, and no eye sees it."""
    from PIL import Image

    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=100)
    with Image.open(stream) as image:
        few = image.convert("RGB").quantize(32, dither=Image.Dither.NONE)
    path.parent.mkdir(parents=True, exist_ok=True)
    few.save(path, optimize=True)
    return path
