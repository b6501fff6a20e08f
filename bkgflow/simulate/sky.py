"""What shines on the simulated detector: the sky, stars, a dispersed star, a transit.

Coordinates are detector pixels, 0-based, a pixel's centre at its whole number, so that a
subarray and the full frame see the same light in the same place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from bkgflow.detector import Window

__all__ = ["Axis", "SkyPlane", "Star", "Trace", "Transit", "draw_stars", "stars_image"]

Axis = Literal["x", "y"]
"""Of the detector."""

FWHM = 2.3
"""Width of the simulated stars in pixels, near that of JWST's cameras where they sample well."""

MOFFAT_BETA = 3.0
"""Slope of a star's wings (Moffat 1969, A&A 3, 455)."""

STAMP_RADIUS = 16
"""Pixels from a star's centre to where its image is cut off: 10⁻⁵ of its peak."""

BRIGHTEST = 2000.0
"""The brightest star's flux over that of the faintest."""


class SkyPlane(BaseModel, frozen=True):
    """A sky that is the same on the detector in every exposure of a program, in DN/s."""

    level: float  # at the detector's centre
    slope_x: float  # from the detector's first column to its last
    slope_y: float
    frame: Window  # the whole detector
    slit: tuple[float, float] | None = None  # first and last row that see light; None for all

    def image(self, window: Window) -> NDArray[np.float64]:
        """Return the noiseless sky in a window: (ny, nx) float64, DN/s."""
        columns, rows = _axes(window)
        across = (columns - (self.frame.nx - 1) / 2) / self.frame.nx
        along = (rows - (self.frame.ny - 1) / 2) / self.frame.ny
        sky = (self.level + self.slope_y * along)[:, None] + self.slope_x * across
        if self.slit is not None:
            first, last = self.slit
            inside = np.clip(np.minimum(rows - first, last - rows) + 0.5, 0.0, 1.0)
            sky *= inside[:, None]
        return sky


class Star(NamedTuple):
    """A point source: its column and row on the detector and its flux in DN/s."""

    x: float
    y: float
    flux: float


class Trace(BaseModel, frozen=True):
    """The spectrum of a point source; lengths in pixels."""

    axis: Axis  # of the dispersion
    centre: float  # across the dispersion, at the middle of the spectrum
    tilt: float  # how far it moves across the dispersion per pixel along it
    sigma: float  # its Gaussian width across the dispersion
    peak: float  # its brightest pixel, in DN/s
    start: float  # first pixel along the dispersion
    stop: float  # and the last

    def image(self, window: Window) -> NDArray[np.float64]:
        """Return the noiseless spectrum in a window: (ny, nx) float64, DN/s."""
        columns, rows = _axes(window)
        along, across = (columns, rows) if self.axis == "x" else (rows, columns)
        phase = np.clip((along - self.start) / (self.stop - self.start), 0.0, 1.0)
        spectrum = self.peak * np.sqrt(np.abs(np.sin(np.pi * phase)))
        middle = self.centre + self.tilt * (along - (self.start + self.stop) / 2)
        offset = (across[:, None] - middle) / self.sigma
        image = spectrum * np.exp(-0.5 * offset**2)
        return image if self.axis == "x" else np.ascontiguousarray(image.T)


class Transit(BaseModel, frozen=True):
    """A dip in a source's light, in time counted from 0 to 1 over the exposure."""

    depth: float  # the fraction of the light that is missing in mid-transit
    middle: float = 0.5  # when mid-transit is
    duration: float = 0.4  # from the middle of the ingress to the middle of the egress
    ingress: float = 0.1  # how long the light takes to fall

    def curve(self, integrations: int) -> NDArray[np.float64]:
        """Return the light left in each integration: (integrations,) float64, 1 = all."""
        time = (np.arange(integrations) + 0.5) / integrations
        inside = (self.duration + self.ingress) / 2 - np.abs(time - self.middle)
        return 1.0 - self.depth * np.clip(inside / self.ingress, 0.0, 1.0)


def draw_stars(
    window: Window, density: float, faintest: float, rng: np.random.Generator, margin: float
) -> tuple[Star, ...]:
    """Draw a field of stars, as many above a flux as its inverse, at least four.

    They lie in the window and up to ``margin`` pixels around it, ``density`` to a pixel; the
    flux of the ``faintest`` is in DN/s.
    """
    n = max(4, round(density * window.nx * window.ny))
    x = rng.uniform(window.x0 - margin, window.x1 + margin, n)
    y = rng.uniform(window.y0 - margin, window.y1 + margin, n)
    # N(> f) ∝ 1/f, cut off above so that no star outshines the field.
    flux = faintest / np.maximum(1.0 - rng.random(n), 1.0 / BRIGHTEST)
    return tuple(Star(*values) for values in np.column_stack((x, y, flux)).tolist())


def stars_image(stars: Sequence[Star], window: Window) -> NDArray[np.float64]:
    """Return the noiseless stars in a window: (ny, nx) float64, DN/s."""
    image = np.zeros(window.shape)
    if not stars:
        return image
    x, y, flux = np.asarray(stars, dtype=np.float64).T
    near = np.arange(-STAMP_RADIUS, STAMP_RADIUS + 1)
    columns = np.rint(x).astype(np.int64)[:, None] + near
    rows = np.rint(y).astype(np.int64)[:, None] + near
    square = ((rows - y[:, None]) ** 2)[:, :, None] + ((columns - x[:, None]) ** 2)[:, None, :]
    width = FWHM / 2 / np.sqrt(2.0 ** (1.0 / MOFFAT_BETA) - 1.0)
    peak = flux * (MOFFAT_BETA - 1.0) / (np.pi * width**2)
    light = peak[:, None, None] * (1.0 + square / width**2) ** -MOFFAT_BETA
    columns, rows = columns - window.x0, rows - window.y0
    inside = ((rows >= 0) & (rows < window.ny))[:, :, None]
    inside = inside & ((columns >= 0) & (columns < window.nx))[:, None, :]
    pixels = (rows[:, :, None] * window.nx + columns[:, None, :])[inside]
    image += np.bincount(pixels, weights=light[inside], minlength=image.size).reshape(image.shape)
    return image


def _axes(window: Window) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the detector columns and rows of a window."""
    columns = np.arange(window.x0, window.x1, dtype=np.float64)
    return columns, np.arange(window.y0, window.y1, dtype=np.float64)
