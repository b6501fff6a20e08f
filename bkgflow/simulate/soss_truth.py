"""What is true of a simulated SOSS time series: its sky library, its scales, its star."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from scipy.signal import lfilter

from bkgflow.detector import Window
from bkgflow.methods.soss.regions import discontinuity
from bkgflow.simulate.instruments import load_instrument
from bkgflow.simulate.noise import Stream, generator
from bkgflow.simulate.program import TARGET
from bkgflow.simulate.sky import Trace
from bkgflow.simulate.truth import Cut, Exposure, Image, SkyTruth

__all__ = ["STRIP256", "SossSegment", "SossSky", "SossTruth"]

STRIP256 = load_instrument("SUBSTRIP256").native
"""The larger subarray, which the library covers in any case."""

CORRELATION = 0.7
"""Of the stripes of neighbouring columns: readout noise grows towards low frequencies."""


class SossSky(BaseModel, frozen=True):
    """A library of skies, and which of them shines.

    Levels and slopes are near those of the SOSS sky: 4.7 DN/s left of the step, 7.4 right of
    it, falling to half along the rows.
    """

    templates: int  # how many
    true: int  # the one that shines
    scales: tuple[float, float]  # by how much, left and right of its step
    drift: float = 0.0  # the sky's relative change from the first integration to the last

    def library(self) -> NDArray[np.float32]:
        """Return all templates: (n_templates, 256, 2048) float32, DN/s."""
        return np.stack([self._template(k) for k in range(self.templates)]).astype(np.float32)

    def image(self) -> Image:
        """Return the noiseless sky without its drift: (256, 2048) float64, DN/s."""
        template = self._template(self.true).astype(np.float32)
        left = np.arange(STRIP256.nx) < discontinuity(template)[:, None]
        return np.asarray(template * np.where(left, *self.scales), np.float64)

    def course(self, integrations: int) -> NDArray[np.float64]:
        """Return the sky over its mean in each integration: (integrations,) float64."""
        return 1.0 + self.drift * ((np.arange(integrations) + 0.5) / integrations - 0.5)

    def _template(self, k: int) -> Image:
        """Return a template; they differ in the height of the step and in their slopes."""
        slope = k / max(1, self.templates - 1) - 0.5
        rows, columns = np.arange(STRIP256.ny)[:, None], np.arange(STRIP256.nx)
        rise = 1.0 / (1.0 + np.exp(-(columns - 700.0 - 0.01 * (rows - 128.0)) / 5.0))
        left = 4.7 * (1.0 + 0.15 * slope * (columns - 350.0) / 350.0)
        fall = 3.8 * (np.clip(columns - 700.0, 0.0, None) / 1348.0) ** 1.5
        right = 7.4 * (1.0 + 0.3 * slope) - fall
        tilt = 1.0 + 0.2 * slope * (rows - 128.0) / 128.0
        return np.asarray((left * (1.0 - rise) + right * rise) * tilt, np.float64)


class SossSegment(Exposure, frozen=True):
    """One segment of a time series."""

    segment: int  # its number, from 1
    first: int  # its first integration, from 0, of all
    total: int  # integrations of all segments
    traces: tuple[Trace, ...]  # the spectral orders of the star

    @property
    def cut(self) -> Cut:
        """Its part of the time series."""
        return Cut(self.segment, self.first, self.total)

    @property
    def association(self) -> int:
        """The number of its association: all segments are one exposure."""
        return self.segment

    def stream(self, stream: Stream, integration: int) -> tuple[int, ...]:
        """Return a key by the integration's number in the time series, however that is cut."""
        return TARGET, self.first + integration, stream

    def image(self) -> Image:
        """Return the star's orders out of transit: (ny, nx) float64, DN/s."""
        return np.asarray(sum(trace.image(self.window) for trace in self.traces), np.float64)


class SossTruth(SkyTruth[SossSegment]):
    """A simulated SOSS time series; ``exposures`` are its segments."""

    library_sky: SossSky
    subarray: str
    stripes: float  # standard deviation of the columns' offsets in each integration, DN/s

    def sky(self, window: Window) -> Image:
        """Return the noiseless sky in a window, the mean of all integrations: DN/s."""
        return self.library_sky.image()[window.slices_in(STRIP256)]

    def sky_course(self, name: str) -> NDArray[np.float64]:
        """Return the sky over its mean in each integration of a segment."""
        segment = self.exposure(name)
        return segment.part(self.library_sky.course(segment.total))

    def added(self, name: str, integration: int) -> NDArray[np.float64]:
        """Return the stripes: an offset of each column, (nx,) float64, DN/s."""
        segment = self.exposure(name)
        key = TARGET, Stream.STRIPES, segment.first + integration
        noise = generator(self.seed, *key).normal(0, 1, segment.window.nx)
        start = np.array([CORRELATION * noise[0]])
        white = np.sqrt(1 - CORRELATION**2)
        offsets, _ = lfilter([white], [1.0, -CORRELATION], noise, zi=start)
        return np.asarray(self.stripes * offsets, np.float64)
