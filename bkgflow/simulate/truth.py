"""What is true of a simulated program: everything its files were drawn from.

The truth is kept as parameters, in ``truth/truth.json`` beside the files, and gives every
noiseless image back.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from bkgflow.detector import Window
from bkgflow.errors import FileError, SettingsError
from bkgflow.simulate.noise import Detector, Stream, cosmic_rays, generator
from bkgflow.simulate.sky import SkyPlane, Star, Trace, Transit, stars_image

__all__ = ["Dither", "Exposure", "Program", "Truth"]

Image = NDArray[np.float64]


class Dither(BaseModel):
    """A place in a dither or nod pattern: which of how many (from 1), offsets in arcsec."""

    model_config = ConfigDict(frozen=True)

    position: int = 1
    total: int = 1
    x: float = 0.0
    y: float = 0.0


class Exposure(BaseModel):
    """One simulated exposure.

    Attributes
    ----------
    name : str
        Its file.
    role : "target" or "background"
        What it was taken for; nods are targets, and backgrounds for each other.
    key : (int, int)
        The role's number and the number within the role: random numbers depend on the program's
        seed and on this, not on what was simulated before.
    window : Window
        Its place on the detector.
    integrations : int or None
        Of a cube; None for an image.
    target, ra, dec : str, float, float
        What it points at; degrees.
    observation, number : int
        The parts of its name.
    start : datetime
        UTC.
    dither : Dither
        Its place in the pattern.
    stars, trace, transit
        What shines in it besides the sky.
    ray_fraction : float
        Share of the pixels that an unnoticed cosmic ray struck.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    role: Literal["target", "background"]
    key: tuple[int, int]
    window: Window
    integrations: int | None = None
    target: str
    ra: float
    dec: float
    observation: int
    number: int
    start: datetime
    dither: Dither = Dither()
    stars: tuple[Star, ...] = ()
    trace: Trace | None = None
    transit: Transit | None = None
    ray_fraction: float = 0.0

    def image(self) -> Image:
        """Return its noiseless sources out of transit: (ny, nx) float64, DN/s."""
        image = stars_image(self.stars, self.window)
        return image if self.trace is None else image + self.trace.image(self.window)

    def light_curve(self) -> NDArray[np.float64]:
        """Return the share of the light in each integration: (n_integrations,) float64."""
        n = self.integrations or 1
        return np.ones(n) if self.transit is None else self.transit.curve(n)


class Program(BaseModel):
    """What the truths of all simulated programs share: exposures, and a file to be kept in.

    Attributes
    ----------
    program : str
        Its number.
    seed : int
        What all random numbers come from.
    detector : Detector
        The noise of one integration.
    """

    model_config = ConfigDict(frozen=True)

    program: str
    seed: int
    detector: Detector
    exposures: tuple[Exposure, ...]

    def exposure(self, name: str) -> Exposure:
        """Return an exposure by its file name.

        Raises
        ------
        SettingsError
            Where the program has no such exposure.
        """
        for exposure in self.exposures:
            if exposure.name == name:
                return exposure
        raise SettingsError(
            "The exposure must be one of the simulated program",
            value=name,
            cure=f"Ask for one of its {len(self.exposures)} files by name, without a folder",
        )

    def save(self, folder: str | Path) -> Path:
        """Write the truth below a program's folder and return the file."""
        path = _file(folder)
        path.parent.mkdir(exist_ok=True)
        path.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read the truth of the program in a folder.

        Raises
        ------
        FileError
            Where the folder holds no simulated program, or its truth is damaged.
        """
        path = _file(folder)
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValidationError) as error:
            raise FileError(
                "A simulated program's folder must hold truth/truth.json, whole",
                value=error,
                cure="Give the folder that was simulated into, or simulate it again",
                file=path,
            ) from error


class Truth(Program):
    """A simulated program.

    Attributes
    ----------
    mode : str
        Its EXP_TYPE.
    plane : SkyPlane
        The sky of all its exposures.
    exposures : tuple of Exposure
        Targets first.
    """

    model_config = ConfigDict(frozen=True)

    mode: str
    plane: SkyPlane

    def sky(self, window: Window) -> Image:
        """Return the noiseless sky in a window on the detector: (ny, nx) float64, DN/s."""
        return self.plane.image(window)

    def sources(self, name: str, integration: int | None = None) -> Image:
        """Return the noiseless sources of an exposure, without the sky.

        Returns
        -------
        (ny, nx) or (n_integrations, ny, nx) float64, DN/s
            A cube for cubes, unless one integration (from 0) is asked for.
        """
        exposure = self.exposure(name)
        image = exposure.image()
        if exposure.integrations is None:
            return image
        light = exposure.light_curve()
        if integration is not None:
            return image * float(light[integration])
        return np.multiply(image, light[:, None, None])

    def rays(self, name: str, integration: int | None = None) -> Image:
        """Return what unnoticed cosmic rays added to an exposure; shaped as ``sources``."""
        exposure = self.exposure(name)
        if exposure.integrations is None:
            return self._rays_of(exposure, 0)
        if integration is not None:
            return self._rays_of(exposure, integration)
        return np.stack([self._rays_of(exposure, i) for i in range(exposure.integrations)])

    def _rays_of(self, exposure: Exposure, integration: int) -> Image:
        return cosmic_rays(
            exposure.window.shape,
            exposure.ray_fraction,
            self.detector.sigma(self.plane.level),
            generator(self.seed, *exposure.key, Stream.RAYS, integration),
        )


def _file(folder: str | Path) -> Path:
    return Path(folder) / "truth" / "truth.json"
