"""Simulated imaging: targets that share dedicated backgrounds, nodded or not."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from bkgflow.detector import Window
from bkgflow.errors import SettingsError
from bkgflow.simulate.modes import MIR_IMAGE, NRC_IMAGE, Mode
from bkgflow.simulate.noise import Stream, generator
from bkgflow.simulate.plan import (
    BACKGROUND,
    MOST,
    RAY_FRACTION,
    TARGET,
    assemble,
    check_number,
    check_size,
    cutout,
    plan_exposure,
)
from bkgflow.simulate.sky import Star, draw_stars
from bkgflow.simulate.truth import Dither, Exposure, Truth
from bkgflow.simulate.writing import Simulated, write_program

__all__ = ["simulate_imaging"]

CAMERAS = {"NIRCAM": NRC_IMAGE, "MIRI": MIR_IMAGE}

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
    targets: int = 4,
    backgrounds: int = 4,
    size: int | None = None,
    seed: int = 1,
    instrument: str = "NIRCAM",
    subarrays: bool = False,
    nod_points: int = 0,
    on_exposure: Callable[[Path], None] | None = None,
) -> Simulated:
    """Simulate targets that share dedicated background exposures.

    Parameters
    ----------
    out : path-like
        The folder to write to.
    targets, backgrounds : int
        How many of each. Without nods there must be a background.
    size : int, optional
        Side of a square cut-out, in pixels; the full frame by default. A cut-out keeps the full
        frame's exposure times, so its noise is the same.
    seed : int
        What all random numbers come from; not negative.
    instrument : "NIRCAM" or "MIRI"
        Which camera.
    subarrays : bool
        Whether every second background, from the first on, is a smaller window that begins
        inside the targets' one.
    nod_points : int
        0, or at least 2: each target is then observed at that many positions, and each of its
        exposures has the others as backgrounds besides the dedicated ones.
    on_exposure : callable, optional
        Called with the path of each exposure as soon as it is written.

    Raises
    ------
    SettingsError, OutputError
        Where an argument is out of bounds; where the folder cannot be written to, or holds
        another simulated program.
    """
    mode = _camera(instrument)
    check_number("targets", targets, 1, MOST - 1)
    check_number("seed", seed, 0)
    check_number("nod_points", nod_points, 0, MOST, but_not=1)
    check_number("backgrounds", backgrounds, 0 if nod_points else 1, MOST)
    check_size(size, mode)
    window = cutout(mode, size)
    exposures = _targets(mode, window, seed, targets, nod_points)
    for i in range(backgrounds):
        part = _subarray(window, mode.frame, i // 2) if subarrays and i % 2 == 0 else window
        exposures.append(_background(mode, part, seed, targets + 1, i))
    truth = assemble(mode, seed, exposures)
    return write_program(out, truth, _members(truth), on_exposure)


def _camera(instrument: str) -> Mode:
    if instrument in CAMERAS:
        return CAMERAS[instrument]
    raise SettingsError(
        f"instrument must be {' or '.join(CAMERAS)}", value=instrument, cure="Give one of these"
    )


def _targets(
    mode: Mode, window: Window, seed: int, targets: int, nod_points: int
) -> list[Exposure]:
    """Return the exposures of all targets, one or ``nod_points`` of each."""
    points = max(1, nod_points)
    radius = min(window.shape) / 6 if nod_points else 0.0
    exposures = []
    for i in range(targets):
        rng = generator(seed, TARGET, i, Stream.STARS)
        stars = draw_stars(window, TARGET_DENSITY, _faintest(mode), rng, MARGIN + radius)
        for k in range(points):
            angle = 2 * math.pi * k / points
            dx, dy = radius * math.cos(angle), radius * math.sin(angle)
            exposure = plan_exposure(
                mode,
                (TARGET, i * points + k),
                window,
                target=f"FIELD-{i + 1}",
                observation=i + 1,
                number=k + 1,
                offset=(0.1 * i, 0.0),
                dither=Dither(position=k + 1, total=points, x=dx * mode.scale, y=dy * mode.scale),
                stars=tuple(Star(x + dx, y + dy, flux) for x, y, flux in stars),
            )
            exposures.append(exposure)
    return exposures


def _background(mode: Mode, window: Window, seed: int, observation: int, i: int) -> Exposure:
    """Return a dedicated background, at a field of its own."""
    rng = generator(seed, BACKGROUND, i, Stream.STARS)
    return plan_exposure(
        mode,
        (BACKGROUND, i),
        window,
        target="SKY",
        observation=observation,
        number=i + 1,
        offset=(0.05 * i, 0.5),
        stars=draw_stars(window, BACKGROUND_DENSITY, _faintest(mode), rng, MARGIN),
        ray_fraction=RAY_FRACTION,
    )


def _members(truth: Truth) -> dict[str, list[str]]:
    """Return each target exposure's backgrounds: its other nods, then the dedicated ones."""
    shared = [each.name for each in truth.exposures if each.role == "background"]
    nods: dict[int, list[str]] = {}
    for each in truth.exposures:
        if each.role == "target":
            nods.setdefault(each.observation, []).append(each.name)
    return {
        science: [other for other in names if other != science] + shared
        for names in nods.values()
        for science in names
    }


def _faintest(mode: Mode) -> float:
    return FAINTEST * mode.readout.detector().sigma(mode.sky.level)


def _subarray(window: Window, frame: Window, number: int) -> Window:
    """Return a window up to three quarters as large that begins inside another one.

    It begins 1/8 to 3/8 in, so that it may reach out of the other window, as far as the
    detector goes.
    """
    x0 = window.x0 + window.nx * (1 + number % 3) // 8
    y0 = window.y0 + window.ny * (1 + (number + 1) % 3) // 8
    nx = min(window.nx * 3 // 4, frame.x1 - x0)
    return Window(x0, y0, nx, min(window.ny * 3 // 4, frame.y1 - y0))
