"""Programs of sources under one sky: imaging, NIRSpec's nods, a time series of MIRI."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

from bkgflow.detector import Window
from bkgflow.simulate.arguments import MOST, Argument, OnExposure, Seed, Size, check, one_of
from bkgflow.simulate.exposures import BACKGROUND, TARGET, assemble, cutout, plan_exposure
from bkgflow.simulate.instruments import Instrument, load_instrument
from bkgflow.simulate.noise import Stream, generator
from bkgflow.simulate.sky import Star, Trace, Transit, draw_stars
from bkgflow.simulate.truth import Dither, Exposure, Truth
from bkgflow.simulate.writer import Simulated, under_the_sky, write_program

__all__ = ["empty_series", "simulate_imaging", "simulate_nods", "simulate_tso"]

CAMERAS = {"NIRCAM": "NRC_IMAGE", "MIRI": "MIR_IMAGE"}

TARGET_DENSITY, BACKGROUND_DENSITY = 2e-4, 5e-5
"""Stars per pixel; a dedicated background is pointed at an emptier field."""

FAINTEST = 60.0
"""The faintest star's flux in sigmas of the sky's noise: about 10 sigma in its peak."""

MARGIN = 8.0
"""Stars are drawn up to this many pixels outside the window: their wings reach into it."""

SLIT_MARGIN = 5.0
"""Pixels between an end of the slit and the nod next to it."""


def simulate_imaging(
    out: str | Path,
    *,
    targets: Annotated[int, Argument("Target exposures.")] = 4,
    backgrounds: Annotated[int, Argument("Background exposures they share.")] = 4,
    size: Size = None,
    seed: Seed = 1,
    instrument: Annotated[str, Argument("NIRCam or MIRI.")] = "NIRCAM",
    subarrays: Annotated[bool, Argument("Mix subarrays and full frames.")] = False,
    nod_points: int = 0,
    on_exposure: OnExposure = None,
) -> Simulated[Truth]:
    """Simulate targets that share dedicated background exposures.

    A cut-out of ``size`` keeps the full frame's exposure times, so its noise is the same. With
    ``subarrays`` every second background, from the first on, is a smaller window that begins
    inside the targets' one. With ``nod_points``, at least 2, each target is observed at that
    many positions, and each of its exposures has the others as backgrounds besides the
    dedicated ones, which there may then be none of.
    """
    camera = load_instrument(CAMERAS[one_of("instrument", instrument, CAMERAS)])
    bounds = {"targets": (targets, 1, MOST - 1)}
    bounds["backgrounds"] = (backgrounds, 0 if nod_points else 1, MOST)
    bounds["nod_points"] = (nod_points, 2 if nod_points else 0, MOST)
    check(camera.frame, size, seed, **bounds)
    window = cutout(camera, size)
    exposures = []
    for i in range(targets):
        exposures += _target(camera, window, seed, i, nod_points)
    for i in range(backgrounds):
        part = _subarray(window, camera.frame, i // 2) if subarrays and i % 2 == 0 else window
        exposures.append(_background(camera, part, seed, targets + 1, i))

    def serves(other: Exposure, science: Exposure) -> bool:
        nod = other.observation == science.observation and other != science
        return nod or other.role == "background"

    served = {
        science.name: [other.name for other in exposures if serves(other, science)]
        for science in exposures
    }
    truth = assemble(Truth, camera, seed, exposures)
    return write_program(out, camera, truth, under_the_sky(truth, served), (), on_exposure)


def _target(
    camera: Instrument, window: Window, seed: int, i: int, nod_points: int
) -> list[Exposure]:
    """Return the exposures of one target, one or ``nod_points``."""
    points = max(1, nod_points)
    radius = min(window.shape) / 6 if nod_points else 0.0
    stars = _stars(camera, window, TARGET_DENSITY, (seed, TARGET, i), MARGIN + radius)
    exposures = []
    for k in range(points):
        angle = 2 * math.pi * k / points
        dx, dy = radius * math.cos(angle), radius * math.sin(angle)
        x, y = dx * camera.scale, dy * camera.scale
        exposure = plan_exposure(
            camera,
            (TARGET, i * points + k),
            window,
            target=f"FIELD-{i + 1}",
            observation=i + 1,
            number=k + 1,
            offset=(0.1 * i, 0.0),
            dither=Dither(position=k + 1, total=points, x=x, y=y),
            stars=tuple(Star(x + dx, y + dy, flux) for x, y, flux in stars),
        )
        exposures.append(exposure)
    return exposures


def _background(
    camera: Instrument, window: Window, seed: int, observation: int, i: int
) -> Exposure:
    """Return a dedicated background, at a field of its own."""
    key, offset = (BACKGROUND, i), (0.05 * i, 0.5)
    stars = _stars(camera, window, BACKGROUND_DENSITY, (seed, *key), MARGIN)
    return plan_exposure(camera, key, window, observation=observation, offset=offset, stars=stars)


def _stars(
    camera: Instrument, window: Window, density: float, key: tuple[int, ...], margin: float
) -> tuple[Star, ...]:
    faintest = FAINTEST * camera.readout.detector().sigma(camera.sky.level)
    return draw_stars(window, density, faintest, generator(*key, Stream.STARS), margin)


def _subarray(window: Window, frame: Window, number: int) -> Window:
    """Return a window up to three quarters as large that begins inside another one.

    It begins 1/8 to 3/8 in, so that it may reach out of the other window, as far as the
    detector goes.
    """
    x0 = window.x0 + window.nx * (1 + number % 3) // 8
    y0 = window.y0 + window.ny * (1 + (number + 1) % 3) // 8
    nx = min(window.nx * 3 // 4, frame.x1 - x0)
    return Window(x0, y0, nx, min(window.ny * 3 // 4, frame.y1 - y0))


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
    """
    slit = load_instrument("NRS_FIXEDSLIT")
    check(slit.frame, size, seed, points=(points, 2, MOST))
    native = slit.native
    width = native.nx if size is None else size
    window = Window(native.x1 - width, native.y0, width, native.ny)
    truth = assemble(Truth, slit, seed, [_nod(slit, window, i, points) for i in range(points)])
    names = [exposure.name for exposure in truth.exposures]
    served = {science: [other for other in names if other != science] for science in names}
    return write_program(out, slit, truth, under_the_sky(truth, served), (), on_exposure)


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
    """
    prism = load_instrument("MIR_LRS-SLITLESS")
    numbers = {"integrations": (integrations, 1), "backgrounds": (backgrounds, 1, MOST)}
    check(prism.frame, size, seed, **numbers)
    window = prism.native
    if size is not None:
        window = Window(window.x0, min(window.y0, prism.frame.y1 - size), size, size)
    centre, start, stop = window.x0 + 0.53 * window.nx, window.y0 - 2.0, window.y1 + 2.0
    star = plan_exposure(
        prism,
        (TARGET, 0),
        window,
        target="STAR-1",
        integrations=integrations,
        trace=Trace(centre=centre, start=start, stop=stop, **prism.trace),
        transit=Transit(depth=0.02),
    )
    shorter = [integrations // 2 + 1 + i for i in range(backgrounds)]
    skies = [empty_series(prism, window, i, n) for i, n in enumerate(shorter)]
    truth = assemble(Truth, prism, seed, [star, *skies])
    served = {star.name: [sky.name for sky in skies]}
    return write_program(out, prism, truth, under_the_sky(truth, served), (), on_exposure)


def empty_series(prism: Instrument, window: Window, i: int, integrations: int) -> Exposure:
    """Return background number ``i``: a time series of nothing but the sky."""
    key, offset = (BACKGROUND, i), (0.0, 0.5)
    return plan_exposure(
        prism, key, window, observation=2, offset=offset, integrations=integrations
    )
