"""What a simulated detector makes of the light: counting noise, read noise, rays, bad pixels."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from bkgflow.detector import DO_NOT_USE, REFERENCE_PIXEL, Window

__all__ = [
    "DEAD", "HOT", "Detector", "Stream", "defects", "draw_rate", "generator", "jumps",
    "reference_pixels",
]  # fmt: skip

JUMP_DET = 1 << 2
DEAD = 1 << 10
HOT = 1 << 11
"""DQ bits, from ``stdatamodels.jwst.datamodels.dqflags.pixel``."""

REFERENCE_BORDER = 4
"""Pixels without a photodiode at a detector's edge (H2RG: all round; MIRI: left and right)."""

DEFECT_FRACTION = 0.005
"""Pixels that are dead or hot, near what the JWST masks flag."""

JUMP_FRACTION = 0.005
"""Pixels in which the ramp was mended after a ray: flagged, but good."""


class Stream(IntEnum):
    """What random numbers are drawn for: each draws from a stream of its own."""

    STARS = 0
    NOISE = 1
    RAYS = 2
    JUMPS = 3
    DEFECTS = 4
    SKY = 5
    STRIPES = 6
    SCALES = 7


def generator(seed: int, *key: int) -> np.random.Generator:
    """Return the generator of one stream, the same whatever was drawn before it."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


class Detector(BaseModel, frozen=True):
    """The noise of one integration."""

    gain: float  # electrons per DN
    seconds: float  # from an integration's first group to its last: the time that counts photons
    read_variance: float  # of the rate by reading out, in (DN/s)²

    def sigma(self, rate: float) -> float:
        """Return the standard deviation of a measured rate, in DN/s."""
        return float(np.sqrt(rate / (self.gain * self.seconds) + self.read_variance))


def draw_rate(
    rate: NDArray[np.float64], detector: Detector, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw what one integration measures of a noiseless rate, (ny, nx) in DN/s, not negative.

    Returns the measured rate, and the variance that its counting noise was drawn with:
    (ny, nx) float64, DN/s and (DN/s)².
    """
    electrons = detector.gain * detector.seconds
    data = rng.poisson(rate * electrons) / electrons
    data += np.sqrt(detector.read_variance) * rng.standard_normal(rate.shape, dtype=np.float32)
    return data, rate / electrons


def reference_pixels(window: Window, frame: Window, instrument: str) -> NDArray[np.bool_]:
    """Return where a window holds reference pixels: (ny, nx) bool."""
    columns = np.arange(window.x0, window.x1)
    rows = np.arange(window.y0, window.y1)
    edge = (columns < REFERENCE_BORDER) | (columns >= frame.nx - REFERENCE_BORDER)
    if instrument == "MIRI":
        return np.broadcast_to(edge, window.shape).copy()
    ends = (rows < REFERENCE_BORDER) | (rows >= frame.ny - REFERENCE_BORDER)
    return ends[:, None] | edge


def defects(window: Window, frame: Window, instrument: str, seed: int) -> NDArray[np.uint32]:
    """Return the DQ that a detector has in every exposure: (ny, nx) uint32.

    Dead and hot pixels and reference pixels, all of them DO_NOT_USE as well.
    """
    rng = generator(seed, Stream.DEFECTS)
    pixels = rng.integers(frame.nx * frame.ny, size=round(DEFECT_FRACTION * frame.nx * frame.ny))
    rows, columns = np.divmod(pixels, frame.nx)
    kinds = np.where(rng.random(pixels.size) < 0.5, DEAD, HOT)
    here = (rows >= window.y0) & (rows < window.y1)
    here &= (columns >= window.x0) & (columns < window.x1)
    flags = np.zeros(window.shape, dtype=np.uint32)
    flags[rows[here] - window.y0, columns[here] - window.x0] = kinds[here] | DO_NOT_USE
    flags[reference_pixels(window, frame, instrument)] = REFERENCE_PIXEL | DO_NOT_USE
    return flags


def jumps(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.uint32]:
    """Return the flags of ramps that were mended: (ny, nx) uint32, JUMP_DET or 0."""
    flags = np.zeros(shape, dtype=np.uint32)
    flags.flat[rng.integers(flags.size, size=round(JUMP_FRACTION * flags.size))] = JUMP_DET
    return flags
