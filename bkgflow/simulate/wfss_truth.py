"""What is true of a simulated slitless program: its sky's scales and its sources' spectra."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.errors import SettingsError
from bkgflow.simulate.files.grism import Beam
from bkgflow.simulate.truth import Exposure, Program

__all__ = [
    "BOX_RADIUS",
    "SlitlessExposure",
    "SlitlessTruth",
    "Source",
    "box_of",
    "spectra_image",
]

STAMP_RADIUS = 4
"""Pixels from the middle of a trace to where its light is cut off: four sigmas."""

BOX_RADIUS = STAMP_RADIUS + 1
"""Pixels from a source's centre to the edge of its box in the catalogue."""

ORDER_LIGHT = {0: 3.0, 1: 1.0, 2: 0.1}
"""Light per pixel of the trace, over that of order 1."""

FAR_ORDER_LIGHT = 0.05

Image = NDArray[np.float64]


class Source(NamedTuple):
    """A point source: label, column and row in the direct image on the detector, light.

    ``flux`` is what its spectrum has at its brightest, summed across the trace, in DN/s per
    pixel along it; ``abmag`` is what the catalogue says.
    """

    label: int
    x: float
    y: float
    flux: float
    abmag: float


class SlitlessExposure(Exposure):
    """A slitless exposure.

    Attributes
    ----------
    scales : tuple of float
        What each component's template was multiplied by.
    sources : tuple of Source
        Where the sources would be in a direct image with the same pointing.
    """

    scales: tuple[float, ...]
    sources: tuple[Source, ...]


class SlitlessTruth(Program):
    """A simulated slitless program.

    Attributes
    ----------
    kind : "wfss"
        Tells it from other programs.
    instrument, axis, band : str
        INSTRUME; the detector axis of the dispersion; the passband.
    beams : tuple of Beam
        The traces of all orders that were drawn.
    components : tuple of str
        The sky templates' files, relative to the program's folder.
    catalogue : str
        The source catalogue's file.
    exposures : tuple of SlitlessExposure
        In the order they were taken.
    """

    kind: Literal["wfss"] = "wfss"
    instrument: str
    axis: Literal["x", "y"]
    band: str
    beams: tuple[Beam, ...]
    components: tuple[str, ...]
    catalogue: str
    exposures: tuple[SlitlessExposure, ...]

    def exposure(self, name: str) -> SlitlessExposure:
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

    def sources(self, name: str) -> Image:
        """Return an exposure's noiseless spectra: (ny, nx) float64, DN/s."""
        exposure = self.exposure(name)
        return spectra_image(exposure.sources, self.beams, exposure.window)

    def scales(self, name: str) -> tuple[float, ...]:
        """Return the scale of each of an exposure's sky components."""
        return self.exposure(name).scales


def spectra_image(sources: tuple[Source, ...], beams: tuple[Beam, ...], window: Window) -> Image:
    """Return the noiseless spectra of sources in a window: (ny, nx) float64, DN/s."""
    image = np.zeros(window.shape)
    near = np.arange(-STAMP_RADIUS, STAMP_RADIUS + 1)
    for source in sources:
        for x, y, light in _traces(source, beams, window):
            columns, rows = np.rint(x).astype(int)[:, None] + near, np.rint(y).astype(int)[:, None]
            rows = rows + near
            wide = np.exp(-0.5 * (columns - x[:, None]) ** 2) / math.sqrt(2 * math.pi)
            high = np.exp(-0.5 * (rows - y[:, None]) ** 2) / math.sqrt(2 * math.pi)
            wide *= (columns >= 0) & (columns < window.nx)
            high *= (rows >= 0) & (rows < window.ny)
            np.add.at(
                image,
                (rows.clip(0, window.ny - 1)[:, :, None], columns.clip(0, window.nx - 1)[:, None]),
                light[:, None, None] * high[:, :, None] * wide[:, None, :],
            )
    return image


def _traces(
    source: Source, beams: tuple[Beam, ...], window: Window
) -> Iterator[tuple[Image, Image, Image]]:
    """Yield columns and rows in the window and the light there, a pixel apart, for each order."""
    x0, y0 = source.x - window.x0, source.y - window.y0
    for beam in beams:
        ends = beam.place(x0, y0, np.array([0.0, 1.0]))
        length = max(float(np.ptp(end)) for end in ends)
        t = np.linspace(0.0, 1.0, max(2, math.ceil(length) + 1))
        x, y = beam.place(x0, y0, t)
        step = np.hypot(np.gradient(x), np.gradient(y))
        spectrum = np.clip(np.sin(np.pi * t), 0.0, 1.0) ** 0.25
        light = source.flux * ORDER_LIGHT.get(beam.order, FAR_ORDER_LIGHT) * spectrum * step
        seen = (x > -BOX_RADIUS) & (x < window.nx + BOX_RADIUS)
        seen &= (y > -BOX_RADIUS) & (y < window.ny + BOX_RADIUS)
        if seen.any():
            yield x[seen], y[seen], light[seen]


def box_of(source: Source, beam: Beam, window: Window) -> tuple[slice, slice]:
    """Return the (y, x) slices of a window that the spectrum of one order can reach."""
    x, y = beam.place(source.x - window.x0, source.y - window.y0, np.array([0.0, 1.0]))
    return _reach(y, window.ny), _reach(x, window.nx)


def _reach(ends: Image, size: int) -> slice:
    first = round(float(ends.min()) - BOX_RADIUS)
    last = round(float(ends.max()) + BOX_RADIUS)
    return slice(min(max(first, 0), size), min(max(last + 1, 0), size))
