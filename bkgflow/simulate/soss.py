"""A simulated transit that NIRISS watches with SOSS, in segments, with its sky library."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from bkgflow.simulate.arguments import MOST, Argument, OnExposure, Seed, check, check_share, one_of
from bkgflow.simulate.files.models import build_model
from bkgflow.simulate.headers import GROUP
from bkgflow.simulate.instruments import Instrument, load_instrument
from bkgflow.simulate.noise import Stream, generator
from bkgflow.simulate.program import TARGET, assemble, plan_exposure
from bkgflow.simulate.scene import Extra, SkyScene
from bkgflow.simulate.sky import Trace, Transit
from bkgflow.simulate.soss_truth import STRIP256, SossSegment, SossSky, SossTruth
from bkgflow.simulate.writer import Simulated, write_scene

__all__ = ["SossScene", "plan_series", "simulate_soss"]

Subarray = Literal["SUBSTRIP256", "SUBSTRIP96"]
SUBARRAYS = ("SUBSTRIP256", "SUBSTRIP96")

LIBRARY = "jwst_niriss_soss_bkg.fits"
"""The reference file's name in a simulated program's folder."""

LIBRARY_META: dict[str, object] = {
    "reftype": "bkg", "telescope": "JWST", "instrument.name": "NIRISS",
    "instrument.detector": "NIS", "instrument.filter": "CLEAR", "instrument.pupil": "GR700XD",
    "exposure.type": "NIS_SOSS", "author": "bkgflow", "pedigree": "SIMULATION",
    "description": "Simulated SOSS sky", "useafter": "2022-01-01T00:00:00",
    "bunit_data": "DN/s", "subarray.name": "SUBSTRIP256",
    "subarray.xstart": STRIP256.x0 + 1, "subarray.ystart": STRIP256.y0 + 1,
    "subarray.xsize": STRIP256.nx, "subarray.ysize": STRIP256.ny,
}  # fmt: skip
"""With the keywords that the reference server files it by."""

ORDERS = ((60.0, 0.012, 900.0, 2300.0), (95.0, 0.035, 250.0, 1900.0), (150.0, 0.050, 60.0, 1100.0))
"""Centre above the strip's first row, tilt, peak in DN/s and last column of orders 1 to 3; they
are Gaussian across the dispersion and have no far wings."""


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

    Raises
    ------
    SettingsError, OutputError
        Where an argument is out of bounds; where the folder ``out`` cannot be written to, or
        holds another simulated program.
    """
    strip = load_instrument(one_of("subarray", subarray, SUBARRAYS))
    check(strip.frame, None, seed, integrations=(integrations, 1), templates=(templates, 1, MOST))
    check(strip.frame, None, seed, segments=(segments, 1, min(MOST, integrations)))
    check_share("depth", depth, 1.0)
    check_share("drift", abs(drift), 1.0)
    check_share("stripes", stripes)
    sky = _draw_sky(templates, drift, seed)
    transit = Transit(depth=depth, middle=0.5, duration=0.4, ingress=0.1)
    truth = plan_series(
        strip, integrations, segments, sky=sky, transit=transit, stripes=stripes, seed=seed
    )
    return write_scene(SossScene(truth, strip), out, on_exposure)


@dataclass(frozen=True)
class SossScene(SkyScene[SossTruth, SossSegment]):
    """A time series and its library of skies."""

    def extras(self) -> Iterator[Extra]:
        """Make the library."""
        library = {"data": self.truth.library_sky.library()}
        yield Extra("bkg", LIBRARY, build_model("SossBkgModel", library, LIBRARY_META))


def _draw_sky(templates: int, drift: float, seed: int) -> SossSky:
    rng = generator(seed, TARGET, Stream.SKY)
    left, right = rng.uniform(0.8, 1.2, 2).tolist()
    true = int(rng.integers(templates))
    return SossSky(templates=templates, true=true, scales=(left, right), drift=drift)


def plan_series(
    strip: Instrument,
    integrations: int,
    segments: int,
    *,
    sky: SossSky,
    transit: Transit,
    stripes: float,
    seed: int,
) -> SossTruth:
    """Return the truth of a time series, for arguments that are within their bounds."""
    traces = _traces()
    base = plan_exposure(
        strip,
        (TARGET, 0),
        strip.native,
        target="STAR-1",
        trace=traces[0],
        integrations=integrations,
        transit=transit,
    )
    program = assemble(strip, seed, [base])
    parts, first = [], 0
    for number, part in enumerate(np.array_split(np.arange(integrations), segments), start=1):
        values = dict(program.exposures[0]) | {
            "name": _segment_name(strip, number),
            "key": (TARGET, number - 1),
            "integrations": len(part),
        }
        parts.append(
            SossSegment(**values, segment=number, first=first, total=integrations, traces=traces)
        )
        first += len(part)
    values = dict(program) | {"exposures": tuple(parts)}
    return SossTruth(**values, library_sky=sky, subarray=strip.subarray, stripes=stripes)


def _segment_name(strip: Instrument, segment: int) -> str:
    """Return a segment's file name as the archive makes it."""
    return (
        f"jw{strip.program}001001_{GROUP}_00001-seg{segment:03d}_{strip.detector.lower()}"
        f"_{strip.suffix}.fits"
    )


def _traces() -> tuple[Trace, ...]:
    """Return the spectral orders of the simulated star, the first one first."""
    shape = {"sigma": 7.0, "start": -200.0}
    return tuple(
        Trace(axis="x", centre=STRIP256.y0 + row, tilt=tilt, peak=peak, stop=stop, **shape)
        for row, tilt, peak, stop in ORDERS
    )
