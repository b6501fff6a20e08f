"""What is true of a simulated program: everything its files were drawn from.

The truth is kept as parameters, in ``truth/truth.json`` beside the files, and gives every
noiseless image back.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Generic, Literal, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from bkgflow.detector import Window
from bkgflow.errors import FileError, SettingsError
from bkgflow.io.storage.location import Location
from bkgflow.simulate.noise import Detector, Stream, generator
from bkgflow.simulate.sky import SkyPlane, Star, Trace, Transit, stars_image

__all__ = ["TRUTH", "Cut", "Dither", "E_co", "Exposure", "Image", "Program", "SkyTruth", "Truth"]

TRUTH = "truth/truth.json"
"""The truth's file, below a program's folder."""

RAY_SIGMAS = (100.0, 500.0)
"""How far a ray that stayed unnoticed lifts a pixel, in sigmas of the sky's noise."""

Image = NDArray[np.float64]
Scalar = TypeVar("Scalar", bound=np.generic)


class Dither(BaseModel, frozen=True):
    """A point of a dither or nod pattern."""

    position: int = 1  # which of how many, from 1
    total: int = 1
    x: float = 0.0  # arcsec
    y: float = 0.0


class Cut(NamedTuple):
    """What part of a time series a file is."""

    segment: int  # from 1
    first: int  # its first integration, from 0
    total: int  # integrations of all segments
    segments: int = 1  # how many there are


class Exposure(BaseModel, frozen=True):
    """One simulated exposure.

    Random numbers depend on the program's seed and on the exposure's key, not on what was
    simulated before.
    """

    name: str  # its file
    role: Literal["target", "background"]  # nods are targets, and each other's backgrounds
    key: tuple[int, int]  # the role's number, and the number within the role
    window: Window  # what of the detector was read
    integrations: int | None = None  # of a cube; None for an image
    target: str  # what it points at
    ra: float  # degrees
    dec: float
    observation: int
    number: int  # within the observation
    start: datetime  # UTC
    dither: Dither = Dither()
    stars: tuple[Star, ...] = ()
    trace: Trace | None = None
    transit: Transit | None = None
    ray_fraction: float = 0.0  # share of the pixels that an unnoticed cosmic ray struck

    @property
    def cut(self) -> Cut:
        """Its part of the time series that it belongs to: the whole, but for segments."""
        return Cut(1, 0, self.integrations or 1)

    def part(self, whole: NDArray[Scalar]) -> NDArray[Scalar]:
        """Return its own integrations out of an array of the whole time series."""
        return whole[self.cut.first : self.cut.first + (self.integrations or 1)]

    def stream(self, stream: Stream, integration: int) -> tuple[int, ...]:
        """Return the key of the random numbers of one integration (from 0)."""
        return (*self.key, stream, integration)

    def image(self) -> Image:
        """Return its noiseless sources out of transit: (ny, nx) float64, DN/s."""
        image = stars_image(self.stars, self.window)
        return image if self.trace is None else image + self.trace.image(self.window)

    def light_curve(self) -> NDArray[np.float64]:
        """Return the share of the light in each integration: (n_integrations,) float64."""
        total = self.cut.total
        return self.part(np.ones(total) if self.transit is None else self.transit.curve(total))


E_co = TypeVar("E_co", bound=Exposure, covariant=True)


class Program(BaseModel, Generic[E_co], frozen=True, populate_by_name=True):
    """What the truths of all simulated programs share: exposures, and a file to be kept in."""

    program: str  # its number
    seed: int  # what all random numbers come from
    detector: Detector  # the noise of one integration
    exposures: tuple[E_co, ...]  # targets first

    def exposure(self, name: str) -> E_co:
        """Return an exposure by its file name; SettingsError where there is none."""
        for exposure in self.exposures:
            if exposure.name == name:
                return exposure
        raise SettingsError(
            "The exposure must be one of the simulated program",
            value=name,
            cure=f"Ask for one of its {len(self.exposures)} files by name, without a folder",
        )

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read the truth of the program in a folder.

        FileError where it holds no program of this kind, or a damaged one.
        """
        path = Path(folder) / TRUTH
        try:
            return cls.model_validate_json(Location.of(path).read_text())
        except (OSError, ValueError) as error:
            raise FileError(
                "A simulated program's folder must hold truth/truth.json, whole",
                value=error,
                cure="Give the folder that was simulated into, or simulate it again",
                file=path,
            ) from error


class SkyTruth(Program[E_co], Generic[E_co]):
    """A program whose exposures see sources through one sky."""

    exp_type: str = Field(alias="mode")  # the truth's file calls it so
    plane: SkyPlane

    def sky(self, window: Window) -> Image:
        """Return the noiseless sky in a window on the detector: (ny, nx) float64, DN/s."""
        return self.plane.image(window)

    def sky_course(self, name: str) -> NDArray[np.float64]:
        """Return the sky over its mean in each integration: (n_integrations,) float64."""
        return np.ones(self.exposure(name).integrations or 1)

    def sources(self, name: str, integration: int | None = None) -> Image:
        """Return an exposure's noiseless sources without the sky: (ny, nx) float64, DN/s.

        (n_integrations, ny, nx) for cubes, unless one integration (from 0) is asked for.
        """
        exposure = self.exposure(name)
        image, light = exposure.image(), exposure.light_curve()
        if exposure.integrations is None or integration is not None:
            return image * float(light[integration or 0])
        return np.multiply(image, light[:, None, None])

    def rays(self, name: str, integration: int | None = None) -> Image:
        """Return what unnoticed cosmic rays added to an exposure; shaped as ``sources``."""
        exposure = self.exposure(name)
        if exposure.integrations is not None and integration is None:
            return np.stack([self.rays(name, i) for i in range(exposure.integrations)])
        rays = np.zeros(exposure.window.shape)
        if exposure.ray_fraction > 0:
            n = max(1, round(exposure.ray_fraction * rays.size))
            rng = generator(self.seed, *exposure.stream(Stream.RAYS, integration or 0))
            sigma = self.detector.sigma(self.plane.level)
            rays.flat[rng.choice(rays.size, n, replace=False)] = sigma * rng.uniform(*RAY_SIGMAS, n)
        return rays

    def added(self, name: str, integration: int) -> Image:
        """Return what an integration shows besides light and noise, DN/s: here, the rays."""
        return self.rays(name, integration)

    def light(self, exposure: Exposure) -> Iterator[tuple[Image, Image]]:
        """Yield what each integration shows without noise: the light, and what is added, DN/s."""
        sky, sources = self.sky(exposure.window), exposure.image()
        courses = self.sky_course(exposure.name), exposure.light_curve()
        for i, (course, share) in enumerate(zip(*courses, strict=True)):
            yield course * sky + share * sources, self.added(exposure.name, i)


class Truth(SkyTruth[Exposure]):
    """A simulated program of images, spectra or time series."""
