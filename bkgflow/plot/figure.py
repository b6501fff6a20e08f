"""Figures of matplotlib that belong to nobody else, and show themselves in a notebook."""

from __future__ import annotations

import io
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from bkgflow.errors import UsageError
from bkgflow.texts import how_to_install

if TYPE_CHECKING:
    from matplotlib.backend_bases import RendererBase
    from matplotlib.figure import Figure

__all__ = ["DPI", "check_drawing", "new_figure"]

DPI = 150
"""Of a picture that is saved."""

DPI_SHOWN = 80
"""Of one in a notebook."""


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


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches; no window and no other plot knows of it.

    Raises
    ------
    UsageError
        If matplotlib is not installed.
    """
    check_drawing()
    return _picture()(figsize=(width, height), layout="constrained")


@cache
def _picture() -> type[Figure]:
    """Return the class of such figures: matplotlib is needed to make it."""
    from matplotlib.figure import Figure

    class Picture(Figure):
        """A figure that a notebook shows, without pyplot and its list of open figures."""

        def draw(self, renderer: RendererBase) -> None:
            # A colour bar has other ticks, and wider labels, once the layout has made it longer.
            if self.axes and (layout := self.get_layout_engine()) is not None:
                layout.execute(self)
            super().draw(renderer)

        def _repr_png_(self) -> bytes:
            stream = io.BytesIO()
            self.savefig(stream, format="png", dpi=DPI_SHOWN)
            return stream.getvalue()

    return Picture
