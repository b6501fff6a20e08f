"""The field of a simulated slitless program: its sources, on the sky and in each exposure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.simulate.files.grism import Beam, pixel_to_sky, sky_to_pixel
from bkgflow.simulate.headers import exposure_meta
from bkgflow.simulate.modes import Mode
from bkgflow.simulate.noise import Stream, generator
from bkgflow.simulate.plan import TARGET
from bkgflow.simulate.truth import Exposure
from bkgflow.simulate.wfss_modes import Slitless
from bkgflow.simulate.wfss_truth import SlitlessExposure, Source, box_of

__all__ = ["draw_sources", "observe", "on_the_sky", "wcsinfo_of"]

FAINTEST = 10.0
"""The faintest spectrum's light per pixel along it, in sigmas of the sky's noise."""

BRIGHTEST = 200.0
"""The brightest spectrum's light over that of the faintest."""

FAINT_MAGNITUDE = 25.0
"""AB magnitude that the catalogue gives the faintest source."""

NEAR_ORDERS = (0, 1)
"""Orders whose light decides how far around the window there are sources."""

MOST_SOURCES = 5000


def wcsinfo_of(mode: Mode, exposure: Exposure) -> dict[str, Any]:
    """Return an exposure's header values below ``meta.wcsinfo``."""
    prefix = "wcsinfo."
    return {
        place.removeprefix(prefix): value
        for place, value in exposure_meta(mode, exposure).items()
        if place.startswith(prefix)
    }


def draw_sources(
    slitless: Slitless, beams: Sequence[Beam], window: Window, crowding: float, seed: int
) -> list[Source]:
    """Draw sources around a window until their extracted spectra cover enough of it.

    They lie where light of order 0 or 1 can fall into the window.
    """
    rng = generator(seed, TARGET, 0, Stream.STARS)
    faintest = FAINTEST * slitless.mode.readout.detector().sigma(slitless.mode.sky.level)
    near = [beam for beam in beams if beam.order in NEAR_ORDERS]
    extracted = [beam for beam in beams if beam.order in slitless.extracted]
    middle = (window.x0 + window.nx / 2, window.y0 + window.ny / 2)
    ends = np.hstack([beam.place(*middle, np.array([0.0, 1.0])) for beam in near])
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


def on_the_sky(
    slitless: Slitless, exposure: Exposure, sources: Sequence[Source]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where the sources of the first exposure are on the sky, in degrees."""
    x = np.array([source.x - exposure.window.x0 for source in sources])
    y = np.array([source.y - exposure.window.y0 for source in sources])
    return pixel_to_sky(wcsinfo_of(slitless.mode, exposure), x, y)


def observe(
    slitless: Slitless,
    exposure: Exposure,
    sources: Sequence[Source],
    sky: tuple[NDArray[np.float64], NDArray[np.float64]],
    scales: tuple[float, ...],
) -> SlitlessExposure:
    """Return an exposure with the sources where its pointing puts them."""
    x, y = sky_to_pixel(wcsinfo_of(slitless.mode, exposure), *sky)
    window = exposure.window
    moved = tuple(
        source._replace(x=float(column) + window.x0, y=float(row) + window.y0)
        for source, column, row in zip(sources, x, y, strict=True)
    )
    values = {name: getattr(exposure, name) for name in Exposure.model_fields}
    return SlitlessExposure(**values, scales=scales, sources=moved)
