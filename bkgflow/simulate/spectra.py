"""The sources of a simulated slitless program: their spectra, and their truth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field

from bkgflow.detector import Window
from bkgflow.simulate.exposures import TARGET, projection
from bkgflow.simulate.grism import Beam, pixel_to_sky, sky_to_pixel
from bkgflow.simulate.instruments import Instrument, Slitless
from bkgflow.simulate.noise import Stream, generator
from bkgflow.simulate.sky import Axis
from bkgflow.simulate.truth import Exposure, Image, Program

__all__ = [
    "BOX_RADIUS", "SlitlessExposure", "SlitlessTruth", "Source", "box_of", "draw_sources",
    "observe", "spectra_image",
]  # fmt: skip

STAMP_RADIUS = 4
"""Pixels from the middle of a trace to where its light is cut off: four sigmas."""

BOX_RADIUS = STAMP_RADIUS + 1
"""Pixels from a source's centre to the edge of its box in the catalog."""

ORDER_LIGHT = {0: 3.0, 1: 1.0, 2: 0.1}
"""Light per pixel of the trace, over that of order 1."""

FAR_ORDER_LIGHT = 0.05

FAINTEST = 10.0
"""The faintest spectrum's light per pixel along it, in sigmas of the sky's noise."""

BRIGHTEST = 200.0
"""The brightest spectrum's light over that of the faintest."""

FAINT_MAGNITUDE = 25.0
"""AB magnitude that the catalog gives the faintest source."""

NEAR_ORDERS = (0, 1)
"""Orders whose light decides how far around the window there are sources."""

MOST_SOURCES = 5000


class Source(NamedTuple):
    """A point source."""

    label: int
    x: float  # column and row in the direct image, on the detector
    y: float
    flux: float  # of its spectrum at its brightest, across the trace, DN/s per pixel along it
    abmag: float  # what the catalog says


class SlitlessExposure(Exposure, frozen=True):
    """A slitless exposure."""

    scales: tuple[float, ...]  # what each component's template was multiplied by
    sources: tuple[Source, ...]  # as a direct image with the same pointing would show them


class SlitlessTruth(Program[SlitlessExposure]):
    """A simulated slitless program."""

    kind: Literal["wfss"] = "wfss"  # tells it from other programs
    instrument: str  # INSTRUME
    axis: Axis  # of the dispersion
    band: str  # the passband
    beams: tuple[Beam, ...]  # the traces of all orders that were drawn
    components: tuple[str, ...]  # the sky templates' files, below the program's folder
    catalog: str = Field(alias="catalogue")  # the source catalog; the truth's file calls it so

    def sources(self, name: str) -> Image:
        """Return an exposure's noiseless spectra: (ny, nx) float64, DN/s."""
        exposure = self.exposure(name)
        return spectra_image(exposure.sources, self.beams, exposure.window)


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
        ends = beam.pixels(x0, y0, np.array([0.0, 1.0]))
        length = max(float(np.ptp(end)) for end in ends)
        t = np.linspace(0.0, 1.0, max(2, math.ceil(length) + 1))
        x, y = beam.pixels(x0, y0, t)
        step = np.hypot(np.gradient(x), np.gradient(y))
        spectrum = np.clip(np.sin(np.pi * t), 0.0, 1.0) ** 0.25
        light = source.flux * ORDER_LIGHT.get(beam.order, FAR_ORDER_LIGHT) * spectrum * step
        seen = (x > -BOX_RADIUS) & (x < window.nx + BOX_RADIUS)
        seen &= (y > -BOX_RADIUS) & (y < window.ny + BOX_RADIUS)
        if seen.any():
            yield x[seen], y[seen], light[seen]


def box_of(source: Source, beam: Beam, window: Window) -> tuple[slice, slice]:
    """Return the (y, x) slices of a window that the spectrum of one order can reach."""
    x, y = beam.pixels(source.x - window.x0, source.y - window.y0, np.array([0.0, 1.0]))
    return _reach(y, window.ny), _reach(x, window.nx)


def _reach(ends: Image, size: int) -> slice:
    first = round(float(ends.min()) - BOX_RADIUS)
    last = round(float(ends.max()) + BOX_RADIUS)
    return slice(min(max(first, 0), size), min(max(last + 1, 0), size))


def draw_sources(
    slitless: Slitless, beams: Sequence[Beam], window: Window, crowding: float, seed: int
) -> list[Source]:
    """Draw sources around a window until their extracted spectra cover enough of it.

    They lie where light of order 0 or 1 can fall into the window.
    """
    rng = generator(seed, TARGET, 0, Stream.STARS)
    faintest = FAINTEST * slitless.dispersed.readout.detector().sigma(slitless.dispersed.sky.level)
    near = [beam for beam in beams if beam.order in NEAR_ORDERS]
    extracted = [beam for beam in beams if beam.order in slitless.table.extracted]
    middle = (window.x0 + window.nx / 2, window.y0 + window.ny / 2)
    ends = np.hstack([beam.pixels(*middle, np.array([0.0, 1.0])) for beam in near])
    covered = np.zeros(window.shape, bool)
    sources: list[Source] = []
    n_covered = 0
    while n_covered <= crowding * covered.size and len(sources) < MOST_SOURCES:
        x, y = (
            rng.uniform(start - float(end.max() - centre), start + size - float(end.min() - centre))
            for start, size, end, centre in zip(
                (window.x0, window.y0), (window.nx, window.ny), ends, middle, strict=True
            )
        )
        # N(> f) ∝ 1/f, as for stars.
        share = 1.0 / max(1.0 - rng.random(), 1.0 / BRIGHTEST)
        magnitude = FAINT_MAGNITUDE - 2.5 * math.log10(share)
        source = Source(len(sources) + 1, x, y, faintest * share, magnitude)
        sources.append(source)
        for beam in extracted:
            box = covered[box_of(source, beam, window)]
            n_covered += box.size - int(np.count_nonzero(box))
            box[...] = True
    return sources


def observe(
    camera: Instrument,
    exposures: Sequence[Exposure],
    sources: Sequence[Source],
    scales: Sequence[tuple[float, ...]],
) -> list[SlitlessExposure]:
    """Return exposures with the sources, drawn for the first, where each pointing puts them."""
    first, observed = exposures[0].window, []
    x, y = np.array([(source.x - first.x0, source.y - first.y0) for source in sources]).T
    sky = pixel_to_sky(projection(camera, exposures[0]), x, y)
    for exposure, own in zip(exposures, scales, strict=True):
        places = zip(sources, *sky_to_pixel(projection(camera, exposure), *sky), strict=True)
        moved = tuple(
            source._replace(x=float(x) + exposure.window.x0, y=float(y) + exposure.window.y0)
            for source, x, y in places
        )
        observed.append(SlitlessExposure(**dict(exposure), scales=own, sources=moved))
    return observed
