"""What is done to a target's pixels while they stream from its file to its product."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.io.products.changes import Edit
from bkgflow.kinds.bands import Band
from bkgflow.methods.clip import Combined
from bkgflow.methods.image import add_errors, subtract_values
from bkgflow.methods.soss import FittedSky

__all__ = ["image_edits", "sky_edits"]

Change = Callable[[NDArray[Any], Combined, slice], object]
"""Changes rows of a target by the rows of a band that a slice names."""


def image_edits(
    window: Window, bands: Sequence[Band], *, propagate_errors: bool
) -> dict[str, Edit]:
    """Return what a combined background does to SCI, DQ and, if asked for, ERR of a target.

    Parameters
    ----------
    window : Window
        The target's; the bands cover it.
    bands : sequence of Band
        The combined background.
    propagate_errors : bool
        Whether ERR is changed as well.
    """
    edits = {"SCI": _over(window, bands, _subtract), "DQ": _over(window, bands, _join)}
    if propagate_errors:
        edits["ERR"] = _over(window, bands, _add_errors)
    return edits


def sky_edits(sky: FittedSky | None) -> dict[str, Edit]:
    """Return what a fitted SOSS sky does to SCI; nothing where there is none."""
    if sky is None:
        return {}
    return {"SCI": lambda pixels, integration, rows: sky.subtract(pixels[None], integration, rows)}


def _over(window: Window, bands: Sequence[Band], change: Change) -> Edit:
    """Apply a change with each band that holds some of the rows at hand."""
    places = [(band.window.slices_in(window)[0], band.pixels) for band in bands]

    def edit(pixels: NDArray[Any], _integration: int, rows: slice) -> None:
        for place, combined in places:
            start, stop = max(rows.start, place.start), min(rows.stop, place.stop)
            if start < stop:
                part = pixels[start - rows.start : stop - rows.start]
                change(part, combined, slice(start - place.start, stop - place.start))

    return edit


def _subtract(sci: NDArray[Any], background: Combined, rows: slice) -> None:
    subtract_values(sci, background.sci[rows], background.n_used[rows])


def _join(dq: NDArray[Any], background: Combined, rows: slice) -> None:
    np.bitwise_or(dq, background.dq[rows], out=dq)


def _add_errors(err: NDArray[Any], background: Combined, rows: slice) -> None:
    add_errors(err, background.err[rows], background.n_used[rows])
