"""A simulated transit that NIRISS watches with SOSS, in segments, with its sky library."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import REFERENCE_PIXEL
from bkgflow.errors import SettingsError
from bkgflow.io.models import build_model, write_model
from bkgflow.simulate.headers import GROUP, exposure_meta, integration_times
from bkgflow.simulate.modes import Mode
from bkgflow.simulate.noise import DEAD, HOT, Stream, defects, draw_rate, generator, jumps
from bkgflow.simulate.plan import MOST, TARGET, assemble, check_number, plan_exposure
from bkgflow.simulate.sky import Transit
from bkgflow.simulate.soss_modes import SOSS_MODES, Subarray, soss_traces
from bkgflow.simulate.soss_truth import STRIP256, SossSegment, SossSky, SossTruth
from bkgflow.simulate.writing import (
    HOT_EXCESS,
    Simulated,
    prepare_folder,
    unwritable,
    write_association,
)

__all__ = ["SimulatedSoss", "plan_series", "segment_arrays", "simulate_soss"]

LIBRARY = "jwst_niriss_soss_bkg.fits"
"""The reference file's name in a simulated program's folder."""


@dataclass(frozen=True, slots=True)
class SimulatedSoss(Simulated):
    """A simulated time series on disk: ``exposures`` are its segments.

    Attributes
    ----------
    reference : Path
        The sky library, a ``SossBkgModel``: (n_templates, 256, 2048), DN/s.
    """

    reference: Path
    truth: SossTruth


def simulate_soss(
    out: str | Path,
    *,
    integrations: int = 12,
    segments: int = 4,
    subarray: Subarray = "SUBSTRIP256",
    templates: int = 5,
    depth: float = 0.02,
    drift: float = 0.0,
    stripes: float = 0.05,
    seed: int = 1,
    on_exposure: Callable[[Path], None] | None = None,
) -> SimulatedSoss:
    """Simulate a transit in segments, with a sky that steps near column 700.

    Parameters
    ----------
    out : path-like
        The folder to write to.
    integrations, segments : int
        Of the time series; each segment gets about as many integrations.
    subarray : "SUBSTRIP256" or "SUBSTRIP96"
        What is read out. The library is made for the first in any case.
    templates : int
        In the library. Which one shines, and its scales, come from the seed.
    depth : float
        The fraction of the star's light that is missing in mid-transit, at all wavelengths.
    drift : float
        The sky's relative change from the first integration to the last.
    stripes : float
        Standard deviation of the offsets that the columns of an integration have, DN/s.
    seed : int
        What all random numbers come from; not negative.
    on_exposure : callable, optional
        Called with the path of each segment as soon as it is written.

    Raises
    ------
    SettingsError, OutputError
        Where an argument is out of bounds; where the folder cannot be written to, or holds
        another simulated program.
    """
    if subarray not in SOSS_MODES:
        raise SettingsError(
            f"subarray must be {' or '.join(SOSS_MODES)}", value=subarray, cure="Give one of these"
        )
    check_number("integrations", integrations, 1)
    check_number("segments", segments, 1, min(MOST, integrations))
    check_number("templates", templates, 1, MOST)
    check_number("seed", seed, 0)
    for name, value, most in (("depth", depth, 1.0), ("drift", abs(drift), 1.0)):
        _check_share(name, value, most)
    _check_share("stripes", stripes, math.inf)
    sky = _draw_sky(templates, drift, seed)
    transit = Transit(depth=depth, middle=0.5, duration=0.4, ingress=0.1)
    truth = plan_series(
        subarray, integrations, segments, sky=sky, transit=transit, stripes=stripes, seed=seed
    )
    return _write(out, truth, SOSS_MODES[subarray], on_exposure)


def _draw_sky(templates: int, drift: float, seed: int) -> SossSky:
    rng = generator(seed, TARGET, Stream.SKY)
    left, right = rng.uniform(0.8, 1.2, 2).tolist()
    true = int(rng.integers(templates))
    return SossSky(templates=templates, true=true, scales=(left, right), drift=drift)


def _check_share(name: str, value: float, most: float) -> None:
    if not 0 <= value <= most or not math.isfinite(value):
        raise SettingsError(
            f"{name} must be a number from 0 to {most:g}",
            value=value,
            cure="Give a number within these bounds",
        )


def plan_series(
    subarray: Subarray,
    integrations: int,
    segments: int,
    *,
    sky: SossSky,
    transit: Transit,
    stripes: float,
    seed: int,
) -> SossTruth:
    """Return the truth of a time series, for arguments that are within their bounds."""
    mode = SOSS_MODES[subarray]
    traces = soss_traces()
    base = plan_exposure(
        mode,
        (TARGET, 0),
        mode.native,
        target="STAR-1",
        trace=traces[0],
        integrations=integrations,
        transit=transit,
    )
    program = assemble(mode, seed, [base])
    start = program.exposures[0].start
    parts, first = [], 0
    for number, part in enumerate(np.array_split(np.arange(integrations), segments), start=1):
        values = base.model_dump() | {
            "name": _segment_name(mode, number),
            "key": (TARGET, number - 1),
            "integrations": len(part),
            "start": start,
        }
        parts.append(
            SossSegment(**values, segment=number, first=first, total=integrations, traces=traces)
        )
        first += len(part)
    values = {name: getattr(program, name) for name in ("mode", "program", "seed", "plane")}
    return SossTruth(
        **values,
        detector=program.detector,
        exposures=tuple(parts),
        library_sky=sky,
        subarray=subarray,
        stripes=stripes,
    )


def _segment_name(mode: Mode, segment: int) -> str:
    """Return a segment's file name as the archive makes it."""
    return (
        f"jw{mode.program}001001_{GROUP}_00001-seg{segment:03d}_{mode.detector.lower()}"
        f"_{mode.suffix}.fits"
    )


def _write(
    out: str | Path, truth: SossTruth, mode: Mode, on_exposure: Callable[[Path], None] | None
) -> SimulatedSoss:
    """Write the library, the segments and their associations, and the truth last."""
    folder = prepare_folder(out, truth)
    reference = _write_library(folder, truth)
    paths = []
    for segment in truth.exposures:
        arrays = segment_arrays(truth, segment)
        with build_model(mode.kind, arrays, _segment_meta(mode, segment)) as model:
            paths.append(write_model(model, folder / segment.name))
        if on_exposure is not None:
            on_exposure(paths[-1])
    try:
        associations = tuple(
            write_association(folder, mode, segment, (), segment.segment)
            for segment in truth.exposures
        )
        truth.save(folder)
    except OSError as error:
        raise unwritable(folder, error) from error
    return SimulatedSoss(folder, associations, tuple(paths), truth, reference)


def _write_library(folder: Path, truth: SossTruth) -> Path:
    """Write the reference file with the keywords that the reference server files it by."""
    meta: dict[str, object] = {
        "reftype": "bkg",
        "telescope": "JWST",
        "instrument.name": "NIRISS",
        "instrument.detector": "NIS",
        "instrument.filter": "CLEAR",
        "instrument.pupil": "GR700XD",
        "exposure.type": "NIS_SOSS",
        "author": "bkgflow",
        "pedigree": "SIMULATION",
        "description": "Simulated SOSS sky",
        "useafter": "2022-01-01T00:00:00",
        "bunit_data": "DN/s",
        "subarray.name": "SUBSTRIP256",
        "subarray.xstart": STRIP256.x0 + 1,
        "subarray.ystart": STRIP256.y0 + 1,
        "subarray.xsize": STRIP256.nx,
        "subarray.ysize": STRIP256.ny,
    }
    with build_model("SossBkgModel", {"data": truth.library_sky.library()}, meta) as model:
        return write_model(model, folder / LIBRARY)


def _segment_meta(mode: Mode, segment: SossSegment) -> dict[str, object]:
    """Return the header: that of the whole exposure, but for the place of the segment in it."""
    whole = segment.model_copy(update={"integrations": segment.total})
    stop = segment.first + (segment.integrations or 1)
    return exposure_meta(mode, whole) | {
        "exposure.integration_start": segment.first + 1,
        "exposure.integration_end": stop,
        "exposure.segment_number": segment.segment,
    }


def segment_arrays(truth: SossTruth, segment: SossSegment) -> dict[str, NDArray[Any]]:
    """Draw a segment's arrays.

    Returns
    -------
    dict
        ``data``, ``err``, ``var_poisson``, ``var_rnoise`` (n, ny, nx) float32, DN/s and its
        square; ``dq`` uint32; ``int_times`` (n,) structured.
    """
    mode = SOSS_MODES[truth.subarray]
    window, n = segment.window, segment.integrations or 1
    flags = defects(window, mode.frame, mode.instrument, truth.seed)
    light = (flags & REFERENCE_PIXEL) == 0
    sky, star = truth.sky(window) * light, segment.image() * light
    arrays: dict[str, NDArray[Any]] = {
        name: np.empty((n, *window.shape), np.float32)
        for name in ("data", "err", "var_poisson", "var_rnoise")
    }
    arrays["dq"] = np.empty((n, *window.shape), np.uint32)
    arrays["var_rnoise"][...] = truth.detector.read_variance
    shares = zip(segment.light_curve(), truth.sky_course(segment.name), strict=True)
    for i, (share, course) in enumerate(shares):
        # Drawn by the integration's number in the time series, however it is cut.
        key = (TARGET, segment.first + i)
        noise = generator(truth.seed, *key, Stream.NOISE)
        data, variance = draw_rate(course * sky + share * star, truth.detector, noise)
        arrays["data"][i] = data + truth.columns(segment.name, i)
        arrays["var_poisson"][i] = variance
        arrays["dq"][i] = flags | jumps(window.shape, generator(truth.seed, *key, Stream.JUMPS))
    np.sqrt(arrays["var_poisson"] + arrays["var_rnoise"], out=arrays["err"])
    arrays["data"][:, (flags & HOT) != 0] += np.float32(HOT_EXCESS * truth.plane.level)
    for name in ("data", "err", "var_poisson", "var_rnoise"):
        arrays[name][:, (flags & DEAD) != 0] = np.nan
    whole = segment.model_copy(update={"integrations": segment.total})
    arrays["int_times"] = integration_times(mode, whole)[segment.first : segment.first + n]
    return arrays
