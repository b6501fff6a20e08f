"""Simulated images with stray light: a light saber as NIRISS sees it, and its template.

A bright star outside of the field lights up a narrow band across the detector: always in the same
place, from exposure to exposure with another strength.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel
from stdatamodels.jwst.datamodels import JwstDataModel

from bkgflow.detector import Window
from bkgflow.simulate.arguments import MOST, Argument, OnExposure, Seed, Size, check, check_share
from bkgflow.simulate.exposures import TARGET, assemble, cutout, plan_exposure, subarray
from bkgflow.simulate.instruments import Instrument, load_instrument
from bkgflow.simulate.noise import Stream, generator
from bkgflow.simulate.sky import draw_stars
from bkgflow.simulate.truth import Exposure, Image, SkyTruth
from bkgflow.simulate.writer import Extra, Simulated, build_model, under_the_sky, write_program

__all__ = ["StrayExposure", "StrayLight", "StrayTruth", "simulate_template"]

DENSITY, FAINTEST, MARGIN = 2e-4, 60.0, 8.0
"""Stars per pixel; the faintest's flux in sigmas of the sky's noise; pixels around the window."""

CHANGE = 0.3
"""By which share the stray light of an exposure is stronger or weaker than usual, at most."""

BORDER = 16
"""Pixels by which the template of a cut-out is larger than its exposures."""

TEMPLATE = "references/jw{program}_nis_light_saber.fits"


class StrayLight(BaseModel, frozen=True):
    """A bright band with a wide, faint halo; lengths in pixels of the detector."""

    row: float = 1010.0  # of the band's middle at the detector's last column
    tilt: float = 0.04  # rows per column
    width: float = 8.0  # standard deviation across the band
    halo: float = 60.0  # where the halo has fallen by e
    frame: Window  # the whole detector

    def image(self, window: Window) -> Image:
        """Return the template in a window: (ny, nx) float64, about 1 along the band."""
        columns = np.arange(window.x0, window.x1, dtype=np.float64)
        rows = np.arange(window.y0, window.y1, dtype=np.float64)[:, None]
        distance = np.abs(rows - self.row - self.tilt * (columns - self.frame.x1))
        band = 0.8 * np.exp(-0.5 * (distance / self.width) ** 2)
        halo = 0.2 * np.exp(-distance / self.halo)
        return np.asarray((band + halo) * (1.0 + 0.2 * np.sin(columns / 40.0)), np.float64)


class StrayExposure(Exposure, frozen=True):
    """An image with stray light."""

    factor: float  # what the template was multiplied by, DN/s


class StrayTruth(SkyTruth[StrayExposure]):
    """A simulated program of images with stray light: beside the sky, a scaled template."""

    stray: StrayLight
    template: str  # its file, below the program's folder

    def stray_light(self, name: str) -> Image:
        """Return the noiseless stray light of an exposure: (ny, nx) float64, DN/s."""
        exposure = self.exposure(name)
        return exposure.factor * self.stray.image(exposure.window)

    def light(self, exposure: Exposure) -> Iterator[tuple[Image, Image]]:
        """Yield what each integration shows without noise: the light, and what is added, DN/s."""
        stray = self.stray_light(exposure.name)
        for light, added in super().light(exposure):
            yield light + stray, added


def simulate_template(
    out: str | Path,
    *,
    exposures: Annotated[int, Argument("Exposures of the field.")] = 2,
    integrations: Annotated[int, Argument("Integrations of each; 0: rate images.")] = 0,
    strength: Annotated[float, Argument("Of the stray light along its band, DN/s.")] = 0.2,
    size: Size = None,
    seed: Seed = 1,
    on_exposure: OnExposure = None,
) -> Simulated[StrayTruth]:
    """Simulate NIRISS images of one field with stray light, and the template of it.

    Each exposure has stray light of another strength, up to 30 % from ``strength``. There are no
    background exposures: the template is what ``override_bkg`` takes. It is written without
    noise, a little larger than the exposures.
    """
    camera = load_instrument("NIS_IMAGE")
    if integrations:
        camera = camera.model_copy(update={"suffix": "rateints", "model": "CubeModel"})
    numbers = {"exposures": (exposures, 1, MOST), "integrations": (integrations, 0)}
    check(camera.frame, size, seed, **numbers)
    check_share("strength", strength)
    window, stray = cutout(camera, size), StrayLight(frame=camera.frame)
    taken = [_exposure(camera, window, seed, i, integrations, strength) for i in range(exposures)]
    name = TEMPLATE.format(program=camera.program)
    truth = assemble(StrayTruth, camera, seed, taken, stray=stray, template=name)
    extra = Extra("bkg", name, _template(camera, stray, _around(window, camera.frame)))
    return write_program(out, camera, truth, under_the_sky(truth, {}), [extra], on_exposure)


def _exposure(
    camera: Instrument, window: Window, seed: int, i: int, integrations: int, strength: float
) -> StrayExposure:
    """Return one exposure, at a place of its own."""
    key = TARGET, i
    faintest = FAINTEST * camera.readout.detector().sigma(camera.sky.level)
    stars = draw_stars(window, DENSITY, faintest, generator(seed, *key, Stream.STARS), MARGIN)
    change = CHANGE * float(generator(seed, *key, Stream.SCALES).uniform(-1.0, 1.0))
    planned = plan_exposure(
        camera,
        key,
        window,
        target="FIELD-1",
        offset=(0.01 * i, 0.0),
        stars=stars,
        integrations=integrations or None,
    )
    return StrayExposure(**dict(planned), factor=strength * (1.0 + change))


def _around(window: Window, frame: Window) -> Window:
    x0, y0 = max(frame.x0, window.x0 - BORDER), max(frame.y0, window.y0 - BORDER)
    x1, y1 = min(frame.x1, window.x1 + BORDER), min(frame.y1, window.y1 + BORDER)
    return Window(x0, y0, x1 - x0, y1 - y0)


def _template(camera: Instrument, stray: StrayLight, window: Window) -> JwstDataModel:
    meta = {
        "telescope": "JWST", "instrument.name": camera.name,
        "instrument.detector": camera.detector, "exposure.type": camera.exp_type,
        "description": "Stray light of a bright star outside of the field",
        **{f"instrument.{name}": value for name, value in camera.optics.items()},
        **subarray("FULL" if window == camera.frame else "GENERIC", window),
    }  # fmt: skip
    return build_model("ImageModel", {"data": stray.image(window).astype(np.float32)}, meta)
