"""Simulated spectra: a star nodded along a slit, a time series of a transit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bkgflow.detector import Window
from bkgflow.simulate.modes import MIR_LRS_SLITLESS, NRS_FIXEDSLIT
from bkgflow.simulate.plan import (
    BACKGROUND,
    MOST,
    RAY_FRACTION,
    TARGET,
    assemble,
    check_number,
    check_size,
    plan_exposure,
)
from bkgflow.simulate.sky import Trace, Transit
from bkgflow.simulate.truth import Dither, Exposure
from bkgflow.simulate.writing import Simulated, write_program

__all__ = ["empty_series", "simulate_nods", "simulate_tso"]

SLIT_MARGIN = 5.0
"""Pixels between an end of the slit and the nod next to it."""


def simulate_nods(
    out: str | Path,
    *,
    points: int = 5,
    size: int | None = None,
    seed: int = 1,
    on_exposure: Callable[[Path], None] | None = None,
) -> Simulated:
    """Simulate a star that NIRSpec nods along a fixed slit.

    Each exposure has all the others as backgrounds; the grating wheel stands still.

    Parameters
    ----------
    out : path-like
        The folder to write to.
    points : int
        Positions along the slit, at least 2.
    size : int, optional
        Columns to keep of the 64 × 2048 subarray; all by default.
    seed : int
        What all random numbers come from; not negative.
    on_exposure : callable, optional
        Called with the path of each exposure as soon as it is written.

    Raises
    ------
    SettingsError, OutputError
        Where an argument is out of bounds; where the folder cannot be written to, or holds
        another simulated program.
    """
    mode = NRS_FIXEDSLIT
    check_number("points", points, 2, MOST)
    check_number("seed", seed, 0)
    check_size(size, mode)
    native = mode.native
    width = native.nx if size is None else size
    window = Window(native.x1 - width, native.y0, width, native.ny)
    truth = assemble(mode, seed, [_nod(window, i, points) for i in range(points)])
    names = [exposure.name for exposure in truth.exposures]
    members = {science: [other for other in names if other != science] for science in names}
    return write_program(out, truth, members, on_exposure)


def simulate_tso(
    out: str | Path,
    *,
    integrations: int = 10,
    backgrounds: int = 2,
    size: int | None = None,
    seed: int = 1,
    on_exposure: Callable[[Path], None] | None = None,
) -> Simulated:
    """Simulate a transit that MIRI watches without a slit, and its backgrounds.

    The backgrounds are cubes too, each with a number of integrations of its own (about half
    the target's and upwards), and unnoticed cosmic rays in every integration.

    Parameters
    ----------
    out : path-like
        The folder to write to.
    integrations : int
        Of the target.
    backgrounds : int
        How many background exposures.
    size : int, optional
        Side of a square window, in pixels; the 416 × 72 subarray of the mode by default.
    seed : int
        What all random numbers come from; not negative.
    on_exposure : callable, optional
        Called with the path of each exposure as soon as it is written.

    Raises
    ------
    SettingsError, OutputError
        Where an argument is out of bounds; where the folder cannot be written to, or holds
        another simulated program.
    """
    mode = MIR_LRS_SLITLESS
    check_number("integrations", integrations, 1)
    check_number("backgrounds", backgrounds, 1, MOST)
    check_number("seed", seed, 0)
    check_size(size, mode)
    window = mode.native
    if size is not None:
        window = Window(window.x0, min(window.y0, mode.frame.y1 - size), size, size)
    shorter = [integrations // 2 + 1 + i for i in range(backgrounds)]
    skies = [empty_series(window, i, n) for i, n in enumerate(shorter)]
    truth = assemble(mode, seed, [_transit_series(window, integrations), *skies])
    star, *others = (exposure.name for exposure in truth.exposures)
    return write_program(out, truth, {star: others}, on_exposure)


def _nod(window: Window, i: int, points: int) -> Exposure:
    """Return the nod number ``i``; they go from one end of the slit to the other."""
    mode, native = NRS_FIXEDSLIT, NRS_FIXEDSLIT.native
    first, last = (mode.sky.slit or (native.y0, native.y1 - 1))[:2]
    first, last = first + SLIT_MARGIN, last - SLIT_MARGIN
    row = first + (last - first) * i / (points - 1)
    trace = Trace(
        axis="x",
        centre=row,
        tilt=0.001,
        sigma=1.0,
        peak=2.0,
        start=native.x0 - 100.0,
        stop=native.x1 + 100.0,
    )
    offset = (row - (first + last) / 2) * mode.scale
    dither = Dither(position=i + 1, total=points, y=offset)
    return plan_exposure(mode, (TARGET, i), window, target="STAR-1", dither=dither, trace=trace)


def _transit_series(window: Window, integrations: int) -> Exposure:
    """Return the time series of the star."""
    trace = Trace(
        axis="y",
        centre=window.x0 + 0.53 * window.nx,
        tilt=0.004,
        sigma=1.6,
        peak=1500.0,
        start=window.y0 - 2.0,
        stop=window.y1 + 2.0,
    )
    return plan_exposure(
        MIR_LRS_SLITLESS,
        (TARGET, 0),
        window,
        target="STAR-1",
        integrations=integrations,
        trace=trace,
        transit=Transit(depth=0.02, middle=0.5, duration=0.4, ingress=0.1),
    )


def empty_series(window: Window, i: int, integrations: int) -> Exposure:
    """Return a time series of nothing but the sky."""
    return plan_exposure(
        MIR_LRS_SLITLESS,
        (BACKGROUND, i),
        window,
        target="SKY",
        observation=2,
        offset=(0.0, 0.5),
        integrations=integrations,
        ray_fraction=RAY_FRACTION,
    )
