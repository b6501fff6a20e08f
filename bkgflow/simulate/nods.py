"""A simulated star that NIRSpec nods along a slit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from bkgflow.detector import Window
from bkgflow.simulate.arguments import MOST, Argument, OnExposure, Seed, Size, check
from bkgflow.simulate.instruments import Instrument, load_instrument
from bkgflow.simulate.program import TARGET, assemble, plan_exposure
from bkgflow.simulate.scene import SkyScene
from bkgflow.simulate.sky import Trace
from bkgflow.simulate.truth import Dither, Exposure, Truth
from bkgflow.simulate.writer import Simulated, write_scene

__all__ = ["simulate_nods"]

SLIT_MARGIN = 5.0
"""Pixels between an end of the slit and the nod next to it."""


def simulate_nods(
    out: str | Path,
    *,
    points: Annotated[int, Argument("Nod positions.")] = 5,
    size: Size = None,
    seed: Seed = 1,
    on_exposure: OnExposure = None,
) -> Simulated[Truth]:
    """Simulate a star that NIRSpec nods along a fixed slit, at least 2 ``points`` of it.

    Each exposure has all the others as backgrounds; the grating wheel stands still. ``size``
    is how many columns to keep of the 64 × 2048 subarray.

    Raises
    ------
    SettingsError, OutputError
        Where an argument is out of bounds; where the folder ``out`` cannot be written to, or
        holds another simulated program.
    """
    slit = load_instrument("NRS_FIXEDSLIT")
    check(slit.frame, size, seed, points=(points, 2, MOST))
    native = slit.native
    width = native.nx if size is None else size
    window = Window(native.x1 - width, native.y0, width, native.ny)
    truth = assemble(slit, seed, [_nod(slit, window, i, points) for i in range(points)])
    names = [exposure.name for exposure in truth.exposures]
    backgrounds = {science: [other for other in names if other != science] for science in names}
    return write_scene(SkyScene(truth, slit, backgrounds), out, on_exposure)


def _nod(slit: Instrument, window: Window, i: int, points: int) -> Exposure:
    """Return the nod number ``i``; they go from one end of the slit to the other."""
    native = slit.native
    first, last = slit.sky.slit or (native.y0, native.y1 - 1)
    first, last = first + SLIT_MARGIN, last - SLIT_MARGIN
    row = first + (last - first) * i / (points - 1)
    start, stop = native.x0 - 100.0, native.x1 + 100.0
    trace = Trace(centre=row, start=start, stop=stop, **slit.trace)
    offset = (row - (first + last) / 2) * slit.scale
    dither = Dither(position=i + 1, total=points, y=offset)
    return plan_exposure(slit, (TARGET, i), window, target="STAR-1", dither=dither, trace=trace)
