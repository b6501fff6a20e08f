"""What is true of a simulated SOSS time series: its sky library, its scales, its star."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.signal import lfilter

from bkgflow.detector import Window
from bkgflow.methods.soss.regions import discontinuity
from bkgflow.simulate.noise import Stream, generator
from bkgflow.simulate.sky import Trace
from bkgflow.simulate.truth import Exposure, Truth

__all__ = ["STRIP96", "STRIP256", "SossSegment", "SossSky", "SossTruth"]

Image = NDArray[np.float64]

STRIP256 = Window(0, 1792, 2048, 256)
STRIP96 = Window(0, 1802, 2048, 96)
"""The two subarrays of the mode. Row 10 of the larger one is the smaller one's first."""

CORRELATION = 0.7
"""Of the stripes of neighbouring columns: readout noise grows towards low frequencies."""


class SossSky(BaseModel):
    """A library of skies, and which of them shines.

    Levels and slopes are near those of the SOSS sky: 4.7 DN/s left of the step, 7.4 right of
    it, falling to half along the rows.

    Attributes
    ----------
    templates : int
        How many.
    true : int
        The one that shines.
    scales : (float, float)
        By how much, left and right of its step.
    drift : float
        The sky's relative change from the first integration to the last.
    """

    model_config = ConfigDict(frozen=True)

    templates: int
    true: int
    scales: tuple[float, float]
    drift: float = 0.0

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
        place = k / max(1, self.templates - 1) - 0.5
        rows, columns = np.arange(STRIP256.ny)[:, None], np.arange(STRIP256.nx)
        rise = 1.0 / (1.0 + np.exp(-(columns - 700.0 - 0.01 * (rows - 128.0)) / 5.0))
        left = 4.7 * (1.0 + 0.15 * place * (columns - 350.0) / 350.0)
        fall = 3.8 * (np.clip(columns - 700.0, 0.0, None) / 1348.0) ** 1.5
        right = 7.4 * (1.0 + 0.3 * place) - fall
        tilt = 1.0 + 0.2 * place * (rows - 128.0) / 128.0
        return np.asarray((left * (1.0 - rise) + right * rise) * tilt, np.float64)


class SossSegment(Exposure):
    """One segment of a time series.

    Attributes
    ----------
    segment : int
        Its number, from 1.
    first : int
        Its first integration, from 0, of all.
    total : int
        Integrations of all segments.
    traces : tuple of Trace
        The spectral orders of the star.
    """

    segment: int
    first: int
    total: int
    traces: tuple[Trace, ...]

    def image(self) -> Image:
        """Return the star's orders out of transit: (ny, nx) float64, DN/s."""
        return np.asarray(sum(trace.image(self.window) for trace in self.traces), np.float64)

    def light_curve(self) -> NDArray[np.float64]:
        """Return the share of the light in each of its integrations."""
        stop = self.first + (self.integrations or 1)
        whole = np.ones(self.total) if self.transit is None else self.transit.curve(self.total)
        return whole[self.first : stop]


class SossTruth(Truth):
    """A simulated SOSS time series; ``exposures`` are its segments.

    Attributes
    ----------
    library_sky : SossSky
        The sky.
    subarray : str
        SUBSTRIP256 or SUBSTRIP96.
    stripes : float
        Standard deviation of the columns' common offsets in each integration, DN/s.
    """

    exposures: tuple[SossSegment, ...]
    library_sky: SossSky
    subarray: Literal["SUBSTRIP256", "SUBSTRIP96"]
    stripes: float

    def sky(self, window: Window) -> Image:
        """Return the noiseless sky in a window, the mean of all integrations: DN/s."""
        return self.library_sky.image()[window.slices_in(STRIP256)]

    def sky_course(self, name: str) -> NDArray[np.float64]:
        """Return the sky over its mean in each integration of a segment."""
        segment = self.segment(name)
        whole = self.library_sky.course(segment.total)
        return whole[segment.first : segment.first + (segment.integrations or 1)]

    def segment(self, name: str) -> SossSegment:
        """Return a segment by its file name.

        Raises
        ------
        SettingsError
            Where there is none of that name.
        """
        found = self.exposure(name)
        assert isinstance(found, SossSegment)
        return found

    def columns(self, name: str, integration: int) -> NDArray[np.float64]:
        """Return the offsets of an integration's columns: (nx,) float64, DN/s."""
        segment = self.segment(name)
        key = segment.first + integration
        noise = generator(self.seed, 0, Stream.STRIPES, key).normal(0, 1, segment.window.nx)
        start = np.array([CORRELATION * noise[0]])
        white = np.sqrt(1 - CORRELATION**2)
        offsets, _ = lfilter([white], [1.0, -CORRELATION], noise, zi=start)
        return np.asarray(self.stripes * offsets, np.float64)
