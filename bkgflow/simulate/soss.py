"""A simulated transit that NIRISS watches with SOSS, in segments, with its sky library."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from scipy.signal import lfilter

from bkgflow.detector import Window
from bkgflow.methods.soss.regions import discontinuity
from bkgflow.simulate.arguments import MOST, Argument, OnExposure, Seed, check, check_share, one_of
from bkgflow.simulate.exposures import TARGET, assemble, plan_exposure
from bkgflow.simulate.exposures import subarray as subarray_meta
from bkgflow.simulate.instruments import Instrument, load_instrument
from bkgflow.simulate.noise import Stream, generator
from bkgflow.simulate.sky import Trace, Transit
from bkgflow.simulate.truth import Cut, Exposure, Image, SkyTruth
from bkgflow.simulate.writer import Extra, Simulated, build_model, under_the_sky, write_program

__all__ = ["SossSegment", "SossSky", "SossTruth", "plan_series", "simulate_soss"]

Subarray = Literal["SUBSTRIP256", "SUBSTRIP96"]

STRIP256 = load_instrument("SUBSTRIP256").native
"""The larger subarray, which the library covers in any case."""

LIBRARY = "jwst_niriss_soss_bkg.fits"
"""The reference file's name in a simulated program's folder."""

LIBRARY_META = {
    "reftype": "bkg", "telescope": "JWST", "instrument.name": "NIRISS",
    "instrument.detector": "NIS", "instrument.filter": "CLEAR", "instrument.pupil": "GR700XD",
    "exposure.type": "NIS_SOSS", "author": "bkgflow", "pedigree": "SIMULATION",
    "description": "Simulated SOSS sky", "useafter": "2022-01-01T00:00:00", "bunit_data": "DN/s",
}  # fmt: skip
"""With the keywords that the reference server files it by."""

ORDERS = (
    (60.0, 0.012, 900.0, 2300.0),
    (95.0, 0.035, 250.0, 1900.0),
    (150.0, 0.050, 60.0, 1100.0),
    (200.0, 0.030, 1500.0, 2300.0),
    (240.0, -0.020, 600.0, 2300.0),
)
"""Centre above the strip's first row, tilt, peak in DN/s and last column of orders 1 to 3, and of
the spectra of two companions, which dim with the star. They are Gaussian across the dispersion.
Far wings, which leave hardly a pixel of real exposures dark, they have not: without companions
SUBSTRIP256 would be mostly sky, and the sky right of the step, the brighter one, a source."""

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
    segments: int = 1  # how many there are
    traces: tuple[Trace, ...]  # the spectral orders of the star

    @property
    def cut(self) -> Cut:
        """Its part of the time series."""
        return Cut(self.segment, self.first, self.total, self.segments)

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


def simulate_soss(
    out: str | Path,
    *,
    integrations: Annotated[int, Argument("Integrations of the exposure.")] = 12,
    segments: Annotated[int, Argument("Files that the exposure is cut into.")] = 4,
    subarray: Annotated[Subarray, Argument("SUBSTRIP256 or SUBSTRIP96.")] = "SUBSTRIP256",
    templates: Annotated[int, Argument("Templates of the sky library.")] = 5,
    depth: Annotated[float, Argument("Of the transit.")] = 0.02,
    drift: Annotated[float, Argument("Change of the sky over the exposure.")] = 0.0,
    stripes: Annotated[float, Argument("Column noise, DN/s.")] = 0.05,
    seed: Seed = 1,
    on_exposure: OnExposure = None,
) -> Simulated[SossTruth]:
    """Simulate a transit in segments, with a sky that steps near column 700.

    Each segment gets about as many integrations. The library is made for SUBSTRIP256 in any
    case; which template shines, and its scales, come from the seed. ``depth`` and ``drift`` are
    shares of the star's and the sky's light, ``stripes`` is the standard deviation of the
    offsets that the columns of an integration have.
    """
    strip = load_instrument(one_of("subarray", subarray, get_args(Subarray)))
    check(strip.frame, None, seed, integrations=(integrations, 1), templates=(templates, 1, MOST))
    check(strip.frame, None, seed, segments=(segments, 1, min(MOST, integrations)))
    check_share("depth", depth, 1.0)
    check_share("drift", abs(drift), 1.0)
    check_share("stripes", stripes)
    rng = generator(seed, TARGET, Stream.SKY)
    scales, true = rng.uniform(0.8, 1.2, 2).tolist(), int(rng.integers(templates))
    sky = SossSky(templates=templates, true=true, scales=scales, drift=drift)
    truth = plan_series(
        strip, integrations, segments, sky=sky, depth=depth, stripes=stripes, seed=seed
    )
    return write_program(out, strip, truth, under_the_sky(truth, {}), _library(sky), on_exposure)


def _library(sky: SossSky) -> Iterator[Extra]:
    meta = LIBRARY_META | subarray_meta("SUBSTRIP256", STRIP256)
    yield Extra("bkg", LIBRARY, build_model("SossBkgModel", {"data": sky.library()}, meta))


def plan_series(
    strip: Instrument,
    integrations: int,
    segments: int,
    *,
    sky: SossSky,
    depth: float,
    stripes: float,
    seed: int,
) -> SossTruth:
    """Return the truth of a time series, for arguments that are within their bounds."""
    shape = {"axis": "x", "sigma": 7.0, "start": -200.0}
    traces = tuple(
        Trace(centre=STRIP256.y0 + row, tilt=tilt, peak=peak, stop=stop, **shape)
        for row, tilt, peak, stop in ORDERS
    )
    key, star, transit = (TARGET, 0), traces[0], Transit(depth=depth)
    whole = dict(
        plan_exposure(strip, key, strip.native, target="STAR-1", trace=star, transit=transit)
    )
    parts = []
    for number, part in enumerate(np.array_split(np.arange(integrations), segments), start=1):
        own = {
            "name": whole["name"].replace("_00001_", f"_00001-seg{number:03d}_"),
            "key": (TARGET, number - 1),
            "integrations": len(part),
            "segment": number,
            "first": int(part[0]),
        }
        parts.append(
            SossSegment(**whole | own, total=integrations, segments=segments, traces=traces)
        )
    own = {"library_sky": sky, "subarray": strip.subarray, "stripes": stripes}
    return assemble(SossTruth, strip, seed, parts, **own)
