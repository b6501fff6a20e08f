"""A program that is its own background: dithers of MIRI over a crowded field, and nothing else."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from bkgflow.detector import Window
from bkgflow.simulate.arguments import Argument, OnExposure, Seed, Size, check, check_share
from bkgflow.simulate.exposures import TARGET, assemble, cutout, plan_exposure
from bkgflow.simulate.instruments import Instrument, load_instrument
from bkgflow.simulate.noise import Stream, generator
from bkgflow.simulate.sky import Star, draw_stars
from bkgflow.simulate.truth import Dither, Exposure, Image, SkyTruth
from bkgflow.simulate.writer import Shot, Simulated, write_program

__all__ = ["DitherTruth", "Structure", "simulate_dithers"]

MOST_POINTS = 12

DENSITY = 1e-2
"""Stars per pixel: one pixel in eight has more light of them than noise."""

FAINTEST = 20.0
"""The faintest star's flux in sigmas of the sky's noise: about 3 sigma in its peak."""

MARGIN = 8.0
"""Stars are drawn up to this many pixels beyond what any dither sees."""

RADIUS = 60.0
"""Pixels from the middle of the pattern to its outermost dither; fewer where the window is small:
so that near and far dithers are in one program."""

GOLDEN = math.pi * (3.0 - math.sqrt(5.0))
"""Angle between one dither and the next: those of a sunflower cover a disk, and never repeat."""

LYOT = Window(0, 744, 280, 280)
"""Where MIRI's Lyot coronagraph lies on the imager's detector."""


class Structure(BaseModel, frozen=True):
    """What the sky shows on a detector beside a plane, the same in every exposure, as shares of
    the sky's level."""

    glow: float = 0.08  # in its middle, towards the lower right corner
    lyot: float = 0.15  # how much brighter the Lyot coronagraph's field is
    columns: float = 0.01  # standard deviation of a column's offset
    rows: float = 0.01

    def image(self, window: Window, frame: Window, seed: int) -> Image:
        """Return it in a window on the detector: (ny, nx) float64, shares of the sky's level."""
        x, y = np.arange(window.x0, window.x1), np.arange(window.y0, window.y1)
        rng = generator(seed, Stream.STRIPES)
        columns = self.columns * rng.standard_normal(frame.nx)[x - frame.x0]
        rows = self.rows * rng.standard_normal(frame.ny)[y - frame.y0]
        across = ((x - 0.8 * frame.nx) / (0.3 * frame.nx)) ** 2
        along = ((y - 0.2 * frame.ny) / (0.3 * frame.ny)) ** 2
        image: Image = self.glow * np.exp(-0.5 * (along[:, None] + across))
        inside = (y >= LYOT.y0)[:, None] & (y < LYOT.y1)[:, None] & (x < LYOT.x1)
        return image + self.lyot * inside + columns + rows[:, None]


class DitherTruth(SkyTruth[Exposure]):
    """A simulated program of dithers.

    The sky of an exposure is that of the program times `sky_course`; sources move on it.
    """

    structure: Structure
    levels: dict[str, float]  # of each exposure's sky, over the program's

    def sky(self, window: Window) -> Image:
        """Return the noiseless sky in a window on the detector: (ny, nx) float64, DN/s."""
        structure = self.structure.image(window, self.plane.frame, self.seed)
        return self.plane.image(window) + self.plane.level * structure

    def sky_course(self, name: str) -> NDArray[np.float64]:
        """Return an exposure's sky over the program's: (1,) float64."""
        return np.full(1, self.levels.get(name, 1.0))

    def background(self, name: str) -> Image:
        """Return the noiseless sky of an exposure: (ny, nx) float64, DN/s."""
        return self.sky(self.exposure(name).window) * float(self.sky_course(name)[0])


def simulate_dithers(
    out: str | Path,
    *,
    points: Annotated[int, Argument("Dithers, 2 to 12.")] = 8,
    size: Size = None,
    seed: Seed = 1,
    drift: Annotated[
        float, Argument("Share by which the level of the sky drifts between exposures.")
    ] = 0.0,
    on_exposure: OnExposure = None,
) -> Simulated[DitherTruth]:
    """Simulate MIRI images of a crowded field, dithered, without a dedicated background.

    There are no associations: the exposures are all that there is. The sky is a plane with
    structure that stays on the detector, of which ``drift`` is the standard deviation of the
    level from one exposure to another. A cut-out of ``size`` is dithered by less, in proportion.
    """
    camera = load_instrument("MIR_IMAGE").model_copy(update={"program": "99006"})
    check(camera.frame, size, seed, points=(points, 2, MOST_POINTS))
    check_share("drift", drift, 0.5)
    window = cutout(camera, size)
    radius = min(RADIUS, min(window.shape) / 6)
    stars = _stars(camera, window, seed, radius)
    exposures = [_dither(camera, window, stars, k, points, radius) for k in range(points)]
    rng = generator(seed, Stream.SKY)
    drifts = 1.0 + drift * rng.standard_normal(points)
    levels = {each.name: float(level) for each, level in zip(exposures, drifts, strict=True)}
    truth = assemble(DitherTruth, camera, seed, exposures, structure=Structure(), levels=levels)
    shots = (Shot(each, truth.light(each), None) for each in truth.exposures)
    return write_program(out, camera, truth, shots, (), on_exposure)


def _stars(camera: Instrument, window: Window, seed: int, radius: float) -> tuple[Star, ...]:
    faintest = FAINTEST * camera.readout.detector().sigma(camera.sky.level)
    rng = generator(seed, TARGET, 0, Stream.STARS)
    return draw_stars(window, DENSITY, faintest, rng, MARGIN + radius)


def _dither(
    camera: Instrument,
    window: Window,
    stars: tuple[Star, ...],
    k: int,
    points: int,
    radius: float,
) -> Exposure:
    """Return the exposure at point ``k``; the points of a pattern lie like seeds of a sunflower."""
    distance, angle = radius * math.sqrt(k / (points - 1)), k * GOLDEN
    dx, dy = distance * math.cos(angle), distance * math.sin(angle)
    return plan_exposure(
        camera,
        (TARGET, k),
        window,
        target="CROWDED-1",
        number=k + 1,
        dither=Dither(position=k + 1, total=points, x=dx * camera.scale, y=dy * camera.scale),
        stars=tuple(Star(x + dx, y + dy, flux) for x, y, flux in stars),
    )
