"""Pictures as files: drawn by `bkgflow.plot`, and there whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.publish import whole
from bkgflow.plot.figure import DPI
from bkgflow.plot.products import product_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_product", "save_picture"]


def draw_product(target: PathLike, product: PathLike, picture: PathLike) -> Path | Location:
    """Draw a target and its product as PNG; see `bkgflow.draw`."""
    return save_picture(product_picture(target, product), picture)


def save_picture(figure: Figure, path: PathLike) -> Path | Location:
    """Write a figure as PNG, and return its path, where it appears whole.

    Raises
    ------
    OutputError
        If the picture cannot be written.
    """
    with whole(path) as part:
        figure.savefig(part, dpi=DPI, format="png")
    return Location.of(path).as_path()
