"""Simulated imaging: targets that share dedicated backgrounds, nodded or not."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

from bkgflow.detector import Window
from bkgflow.simulate.arguments import MOST, Argument, OnExposure, Seed, Size, check, one_of
from bkgflow.simulate.instruments import Instrument, load_instrument
from bkgflow.simulate.noise import Stream, generator
from bkgflow.simulate.program import (
    BACKGROUND,
    RAY_FRACTION,
    TARGET,
    assemble,
    cutout,
    plan_exposure,
)
from bkgflow.simulate.scene import SkyScene
from bkgflow.simulate.sky import Star, draw_stars
from bkgflow.simulate.truth import Dither, Exposure, Truth
from bkgflow.simulate.writer import Simulated, write_scene

__all__ = ["simulate_imaging"]

CAMERAS = {"NIRCAM": "NRC_IMAGE", "MIRI": "MIR_IMAGE"}

TARGET_DENSITY = 2e-4
BACKGROUND_DENSITY = 5e-5
"""Stars per pixel; a dedicated background is pointed at an emptier field."""

FAINTEST = 60.0
"""The faintest star's flux in sigmas of the sky's noise: about 10 sigma in its peak."""

MARGIN = 8.0
"""Stars are drawn up to this many pixels outside the window: their wings reach into it."""


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

    Raises
    ------
    SettingsError, OutputError
        Where an argument is out of bounds; where the folder ``out`` cannot be written to, or
        holds another simulated program.
    """
    camera = load_instrument(CAMERAS[one_of("instrument", instrument, CAMERAS)])
    check(
        camera.frame,
        size,
        seed,
        targets=(targets, 1, MOST - 1),
        backgrounds=(backgrounds, 0 if nod_points else 1, MOST),
        nod_points=(nod_points, 2 if nod_points else 0, MOST),
    )
    window = cutout(camera, size)
    exposures = _targets(camera, window, seed, targets, nod_points)
    for i in range(backgrounds):
        part = _subarray(window, camera.frame, i // 2) if subarrays and i % 2 == 0 else window
        exposures.append(_background(camera, part, seed, targets + 1, i))
    truth = assemble(camera, seed, exposures)
    return write_scene(SkyScene(truth, camera, _backgrounds(truth)), out, on_exposure)


def _targets(
    camera: Instrument, window: Window, seed: int, targets: int, nod_points: int
) -> list[Exposure]:
    """Return the exposures of all targets, one or ``nod_points`` of each."""
    points = max(1, nod_points)
    radius = min(window.shape) / 6 if nod_points else 0.0
    exposures = []
    for i in range(targets):
        rng = generator(seed, TARGET, i, Stream.STARS)
        stars = draw_stars(window, TARGET_DENSITY, _faintest(camera), rng, MARGIN + radius)
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
    rng = generator(seed, BACKGROUND, i, Stream.STARS)
    return plan_exposure(
        camera,
        (BACKGROUND, i),
        window,
        target="SKY",
        observation=observation,
        number=i + 1,
        offset=(0.05 * i, 0.5),
        stars=draw_stars(window, BACKGROUND_DENSITY, _faintest(camera), rng, MARGIN),
        ray_fraction=RAY_FRACTION,
    )


def _backgrounds(truth: Truth) -> dict[str, list[str]]:
    """Return each target exposure's backgrounds: its other nods, then the dedicated ones."""

    def serves(other: Exposure, science: Exposure) -> bool:
        nod = other.observation == science.observation and other != science
        return nod or other.role == "background"

    return {
        science.name: [other.name for other in truth.exposures if serves(other, science)]
        for science in truth.exposures
        if science.role == "target"
    }


def _faintest(camera: Instrument) -> float:
    return FAINTEST * camera.readout.detector().sigma(camera.sky.level)


def _subarray(window: Window, frame: Window, number: int) -> Window:
    """Return a window up to three quarters as large that begins inside another one.

    It begins 1/8 to 3/8 in, so that it may reach out of the other window, as far as the
    detector goes.
    """
    x0 = window.x0 + window.nx * (1 + number % 3) // 8
    y0 = window.y0 + window.ny * (1 + (number + 1) % 3) // 8
    nx = min(window.nx * 3 // 4, frame.x1 - x0)
    return Window(x0, y0, nx, min(window.ny * 3 // 4, frame.y1 - y0))
