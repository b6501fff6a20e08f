"""The headers of simulated exposures, whole enough for the pipeline's second stage."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from bkgflow.simulate.modes import Mode
from bkgflow.simulate.truth import Exposure

__all__ = ["GROUP", "exposure_meta", "integration_times", "root_name"]

GROUP = "02101"
"""Visit group, parallel sequence and activity of every simulated exposure, as in file names."""

MJD_ZERO = datetime(1858, 11, 17)

TIMES_DTYPE = np.dtype(
    [("integration_number", "i4")]
    + [
        (f"int_{moment}_{scale}", "f8")
        for scale in ("MJD_UTC", "BJD_TDB")
        for moment in ("start", "mid", "end")
    ]
)
"""The columns of INT_TIMES, from the ``int_times`` schema of stdatamodels."""


def root_name(mode: Mode, observation: int, number: int) -> str:
    """Return an exposure's name as the archive makes it, without suffix and extension."""
    return f"jw{mode.program}{observation:03d}001_{GROUP}_{number:05d}_{mode.detector.lower()}"


def exposure_meta(mode: Mode, exposure: Exposure) -> dict[str, object]:
    """Return all header values of an exposure, by their place below ``meta``."""
    parts: tuple[tuple[str, Iterator[tuple[str, object]]], ...] = (
        ("", _file(exposure)),
        ("program.", _program()),
        ("observation.", _observation(mode, exposure)),
        ("visit.", _visit(mode)),
        ("target.", _target(mode, exposure)),
        ("instrument.", _instrument(mode)),
        ("exposure.", _exposure(mode, exposure)),
        ("subarray.", _subarray(mode, exposure)),
        ("dither.", _dither(mode, exposure)),
        ("wcsinfo.", _wcsinfo(mode, exposure)),
        ("cal_step.", _cal_step(mode)),
    )
    return {prefix + place: value for prefix, values in parts for place, value in values} | {
        "aperture.name": mode.aperture,
        "pointing.pa_v3": 0.0,
    }


def integration_times(mode: Mode, exposure: Exposure) -> NDArray[np.void]:
    """Return the INT_TIMES table of a cube: (n_integrations,) structured, MJD in days.

    The barycentric times are the spacecraft's own: nothing in a simulated program moves.
    """
    n = exposure.integrations or 1
    day = mode.readout.integration_time / 86400.0
    start = _mjd(exposure.start) + day * np.arange(n)
    table = np.zeros(n, dtype=TIMES_DTYPE)
    table["integration_number"] = np.arange(1, n + 1)
    for scale in ("MJD_UTC", "BJD_TDB"):
        table[f"int_start_{scale}"] = start
        table[f"int_mid_{scale}"] = start + day / 2
        table[f"int_end_{scale}"] = start + day
    return table


def _mjd(time: datetime) -> float:
    return (time - MJD_ZERO) / timedelta(days=1)


def _end(mode: Mode, exposure: Exposure) -> datetime:
    seconds = mode.readout.integration_time * (exposure.integrations or 1)
    return exposure.start + timedelta(seconds=seconds)


def _file(exposure: Exposure) -> Iterator[tuple[str, object]]:
    yield "filename", exposure.name
    yield "filetype", "countrate"
    yield "origin", "bkgflow simulate"
    yield "telescope", "JWST"
    yield "time_unit", "s"
    yield "bunit_data", "DN/s"
    yield "bunit_err", "DN/s"
    yield "coordinates.reference_frame", "ICRS"


def _program() -> Iterator[tuple[str, object]]:
    yield "title", "A simulated program with a known sky"
    yield "pi_name", "bkgflow"
    yield "category", "CAL"


def _observation(mode: Mode, exposure: Exposure) -> Iterator[tuple[str, object]]:
    begin, end = exposure.start, _end(mode, exposure)
    visit = f"{mode.program}{exposure.observation:03d}001"
    yield "date", begin.date().isoformat()
    yield "time", begin.time().isoformat("milliseconds")
    yield "date_beg", begin.isoformat(timespec="milliseconds")
    yield "date_end", end.isoformat(timespec="milliseconds")
    yield "obs_id", f"V{visit}P00000000{GROUP}"
    yield "visit_id", visit
    yield "program_number", mode.program
    yield "observation_number", f"{exposure.observation:03d}"
    yield "visit_number", "001"
    yield "visit_group", GROUP[:2]
    yield "sequence_id", GROUP[2]
    yield "activity_id", GROUP[3:]
    yield "exposure_number", f"{exposure.number:05d}"
    yield "bkgdtarg", exposure.role == "background"


def _visit(mode: Mode) -> Iterator[tuple[str, object]]:
    yield "type", "PRIME_TARGETED_FIXED"
    yield "status", "SUCCESSFUL"
    yield "tsovisit", mode.kind == "CubeModel"
    yield "internal_target", False


def _target(mode: Mode, exposure: Exposure) -> Iterator[tuple[str, object]]:
    spectrum = exposure.trace is not None
    yield "proposer_name", exposure.target
    yield "catalog_name", exposure.target
    yield "type", "FIXED"
    yield "ra", exposure.ra
    yield "dec", exposure.dec
    yield "source_type_apt", "POINT" if spectrum else "EXTENDED"


def _instrument(mode: Mode) -> Iterator[tuple[str, object]]:
    yield "name", mode.instrument
    yield "detector", mode.detector
    yield from mode.optics.items()


def _exposure(mode: Mode, exposure: Exposure) -> Iterator[tuple[str, object]]:
    readout, nints = mode.readout, exposure.integrations or 1
    begin, end = _mjd(exposure.start), _mjd(_end(mode, exposure))
    seconds = readout.integration_time * nints
    yield "type", mode.exp_type
    yield "prime_parallel", "PRIME"
    yield from (("start_time", begin), ("mid_time", (begin + end) / 2), ("end_time", end))
    yield from (("start_time_mjd", begin), ("mid_time_mjd", (begin + end) / 2))
    yield "end_time_mjd", end
    yield "readpatt", readout.pattern
    yield "nints", nints
    yield from (("integration_start", 1), ("integration_end", nints), ("segment_number", 1))
    yield "ngroups", readout.ngroups
    yield "nframes", readout.nframes
    yield "groupgap", readout.groupgap
    yield from (("nsamples", 1), ("sample_time", 10.0))
    yield "frame_time", readout.frame_time
    yield "group_time", readout.group_time
    yield "integration_time", readout.integration_time
    yield "exposure_time", seconds
    yield "effective_exposure_time", seconds
    yield from (("duration", seconds), ("elapsed_exposure_time", seconds))
    yield "gain_factor", 1.0


def _subarray(mode: Mode, exposure: Exposure) -> Iterator[tuple[str, object]]:
    window = exposure.window
    yield "name", mode.name_of(window)
    yield from (("xstart", window.x0 + 1), ("ystart", window.y0 + 1))
    yield from (("xsize", window.nx), ("ysize", window.ny))
    yield from (("fastaxis", mode.axes[0]), ("slowaxis", mode.axes[1]))


def _dither(mode: Mode, exposure: Exposure) -> Iterator[tuple[str, object]]:
    dither = exposure.dither
    yield "position_number", dither.position
    yield "total_points", dither.total
    yield from (("x_offset", dither.x), ("y_offset", dither.y))
    if mode.exp_type == "NRS_FIXEDSLIT":
        # Only these three patterns have a name of their own in APT.
        named = dither.total in (2, 3, 5)
        yield "primary_type", f"{dither.total}-POINT-NOD" if named else "NONE"


def _wcsinfo(mode: Mode, exposure: Exposure) -> Iterator[tuple[str, object]]:
    window, native = exposure.window, mode.native
    v2, v3, angle = mode.pointing
    step = mode.scale / 3600.0
    yield "wcsaxes", 2
    # The aperture's reference point is the middle of the window that the mode usually reads.
    yield "crpix1", native.x0 + (native.nx + 1) / 2 - window.x0
    yield "crpix2", native.y0 + (native.ny + 1) / 2 - window.y0
    yield from (("crval1", exposure.ra), ("crval2", exposure.dec))
    yield from (("ctype1", "RA---TAN"), ("ctype2", "DEC--TAN"))
    yield from (("cunit1", "deg"), ("cunit2", "deg"), ("cdelt1", step), ("cdelt2", step))
    for i, row in enumerate(mode.rotation(), start=1):
        yield from ((f"pc{i}_{j}", value) for j, value in enumerate(row, start=1))
    yield from (("v2_ref", v2), ("v3_ref", v3), ("v3yangle", angle), ("vparity", -1))
    yield from (("ra_ref", exposure.ra), ("dec_ref", exposure.dec), ("roll_ref", 0.0))
    if exposure.trace is not None:
        yield "dispersion_direction", 1 if exposure.trace.axis == "x" else 2


def _cal_step(mode: Mode) -> Iterator[tuple[str, object]]:
    yield from ((step, "COMPLETE") for step in mode.steps)
    yield from ((step, "SKIPPED") for step in ("gain_scale", "group_scale", "ipc"))
