"""A simulated transit that MIRI watches without a slit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from bkgflow.detector import Window
from bkgflow.simulate.arguments import MOST, Argument, OnExposure, Seed, Size, check
from bkgflow.simulate.instruments import Instrument, load_instrument
from bkgflow.simulate.program import BACKGROUND, RAY_FRACTION, TARGET, assemble, plan_exposure
from bkgflow.simulate.scene import SkyScene
from bkgflow.simulate.sky import Trace, Transit
from bkgflow.simulate.truth import Exposure, Truth
from bkgflow.simulate.writer import Simulated, write_scene

__all__ = ["empty_series", "simulate_tso"]


def simulate_tso(
    out: str | Path,
    *,
    integrations: Annotated[int, Argument("Integrations of the target.")] = 10,
    backgrounds: Annotated[int, Argument("Background exposures.")] = 2,
    size: Size = None,
    seed: Seed = 1,
    on_exposure: OnExposure = None,
) -> Simulated[Truth]:
    """Simulate a transit that MIRI watches without a slit, and its backgrounds.

    The backgrounds are cubes too, each with a number of integrations of its own (about half
    the target's and upwards), and unnoticed cosmic rays in every integration. ``size`` is the
    side of a square window instead of the 416 × 72 subarray.

    Raises
    ------
    SettingsError, OutputError
        Where an argument is out of bounds; where the folder ``out`` cannot be written to, or
        holds another simulated program.
    """
    prism = load_instrument("MIR_LRS-SLITLESS")
    numbers = {"integrations": (integrations, 1), "backgrounds": (backgrounds, 1, MOST)}
    check(prism.frame, size, seed, **numbers)
    window = prism.native
    if size is not None:
        window = Window(window.x0, min(window.y0, prism.frame.y1 - size), size, size)
    shorter = [integrations // 2 + 1 + i for i in range(backgrounds)]
    skies = [empty_series(prism, window, i, n) for i, n in enumerate(shorter)]
    truth = assemble(prism, seed, [_transit_series(prism, window, integrations), *skies])
    star, *others = (exposure.name for exposure in truth.exposures)
    return write_scene(SkyScene(truth, prism, {star: others}), out, on_exposure)


def _transit_series(prism: Instrument, window: Window, integrations: int) -> Exposure:
    """Return the time series of the star."""
    centre, start, stop = window.x0 + 0.53 * window.nx, window.y0 - 2.0, window.y1 + 2.0
    trace = Trace(centre=centre, start=start, stop=stop, **prism.trace)
    return plan_exposure(
        prism,
        (TARGET, 0),
        window,
        target="STAR-1",
        integrations=integrations,
        trace=trace,
        transit=Transit(depth=0.02, middle=0.5, duration=0.4, ingress=0.1),
    )


def empty_series(prism: Instrument, window: Window, i: int, integrations: int) -> Exposure:
    """Return background number ``i``: a time series of nothing but the sky."""
    return plan_exposure(
        prism,
        (BACKGROUND, i),
        window,
        target="SKY",
        observation=2,
        offset=(0.0, 0.5),
        integrations=integrations,
        ray_fraction=RAY_FRACTION,
    )
