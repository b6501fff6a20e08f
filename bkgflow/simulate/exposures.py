"""Exposures: how they are named, pointed and timed, and what their headers say."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.simulate.grism import Projection
from bkgflow.simulate.instruments import Instrument
from bkgflow.simulate.truth import Dither, Exposure, Program

__all__ = [
    "BACKGROUND", "TARGET", "assemble", "cutout", "exposure_meta", "integration_times",
    "plan_exposure", "projection", "subarray",
]  # fmt: skip

GROUP = "02101"
"""Visit group, parallel sequence and activity of every simulated exposure, as in file names."""

MJD_ZERO = datetime(1858, 11, 17)

SCALES, MOMENTS = ("MJD_UTC", "BJD_TDB"), ("start", "mid", "end")
"""Of the columns of INT_TIMES, as the ``int_times`` schema of stdatamodels names them."""

Values = dict[str, object]
"""Header values by their keys, in the order that the tree in the file keeps."""

START = datetime(2024, 3, 5, 6, 0, 0)
"""When a simulated program's first exposure starts, UTC."""

OVERHEAD = timedelta(minutes=2)
"""Between the end of one exposure and the start of the next."""

FIELD = (53.16, -27.79)
"""Where a simulated program points, in degrees: near the Hubble Ultra Deep Field."""

TARGET, BACKGROUND = 0, 1
"""The roles' numbers in the exposures' keys."""

RAY_FRACTION = 1e-3
"""Pixels of a dedicated background that an unnoticed cosmic ray struck."""

P = TypeVar("P", bound=Program[Exposure])


def plan_exposure(
    instrument: Instrument,
    key: tuple[int, int],
    window: Window,
    *,
    observation: int = 1,
    number: int | None = None,
    offset: tuple[float, float] = (0.0, 0.0),
    dither: Dither = Dither(),  # noqa: B008
    **values: object,
) -> Exposure:
    """Return an exposure with its name and pointing worked out; ``values`` are its other fields.

    Its number is by default that within its role, from 1; ``offset`` is its distance from the
    program's field in RA and Dec, in degrees, and ``dither`` how far its sources have moved on
    the detector. A background is an empty field, struck by rays.
    """
    number = key[1] + 1 if number is None else number
    if key[0] == BACKGROUND:
        values = {"target": "SKY", "ray_fraction": RAY_FRACTION} | values
    root = f"jw{instrument.visit(observation)}_{GROUP}_{number:05d}_{instrument.detector.lower()}"
    ra, dec = FIELD[0] + offset[0], FIELD[1] + offset[1]
    # A source that moved by (x, y) on the detector says that the telescope moved the other way.
    east, north = (-(x * dither.x + y * dither.y) / 3600.0 for x, y in instrument.rotation())
    return Exposure(
        name=f"{root}_{instrument.suffix}.fits",
        role="target" if key[0] == TARGET else "background",
        key=key,
        window=window,
        ra=ra + east / math.cos(math.radians(dec)),
        dec=dec + north,
        observation=observation,
        number=number,
        start=START,
        dither=dither,
        **values,
    )


def assemble(
    truth: type[P], camera: Instrument, seed: int, exposures: Sequence[Exposure], /, **own: object
) -> P:
    """Return the truth of a program whose exposures are taken one after the other.

    ``own`` is what it holds besides what all or most of them do.
    """
    shared = {"exp_type": camera.exp_type, "program": camera.program, "seed": seed}
    shared |= {"plane": camera.sky, "detector": camera.readout.detector()}
    timed = tuple(_one_after_the_other(camera, exposures))
    return truth.model_validate(shared | {"exposures": timed} | own)


def _one_after_the_other(
    instrument: Instrument, exposures: Sequence[Exposure]
) -> Iterator[Exposure]:
    """Yield exposures with the times at which they start; the segments of one start together."""
    start = START
    for exposure in exposures:
        yield exposure.model_copy(update={"start": start})
        if exposure.cut.first + (exposure.integrations or 1) == exposure.cut.total:
            seconds = instrument.readout.integration_time * exposure.cut.total
            start += timedelta(seconds=seconds) + OVERHEAD


def cutout(instrument: Instrument, size: int | None) -> Window:
    """Return a square at the middle of the right edge, or the whole frame.

    There it holds reference pixels, and neither its first column nor its first row is the
    detector's.
    """
    frame = instrument.frame
    if size is None:
        return frame
    return Window(frame.x1 - size, (frame.ny - size) // 2, size, size)


def integration_times(instrument: Instrument, exposure: Exposure) -> NDArray[np.void]:
    """Return the INT_TIMES table of a cube: (n_integrations,) structured, MJD in days.

    The barycentric times are the spacecraft's own: nothing in a simulated program moves.
    """
    times = [(f"int_{moment}_{scale}", "f8") for scale in SCALES for moment in MOMENTS]
    table = np.zeros(exposure.cut.total, dtype=[("integration_number", "i4"), *times])
    table["integration_number"] = np.arange(1, len(table) + 1)
    day = instrument.readout.integration_time / 86400.0
    start = _mjd(exposure.start) + day * np.arange(len(table))
    for scale in SCALES:
        for moment, time in zip(MOMENTS, (start, start + day / 2, start + day), strict=True):
            table[f"int_{moment}_{scale}"] = time
    return exposure.part(table)


def _mjd(time: datetime) -> float:
    return (time - MJD_ZERO) / timedelta(days=1)


def _seconds(instrument: Instrument, exposure: Exposure) -> float:
    return instrument.readout.integration_time * exposure.cut.total


def projection(instrument: Instrument, exposure: Exposure) -> Projection:
    """Return how an exposure's pixels lie on the sky."""
    window, native = exposure.window, instrument.native
    # The aperture's reference point is the middle of the window that is usually read.
    x, y = native.x0 + (native.nx + 1) / 2, native.y0 + (native.ny + 1) / 2
    crpix, crval = (x - window.x0, y - window.y0), (exposure.ra, exposure.dec)
    return Projection(crpix, crval, instrument.scale / 3600.0, instrument.rotation())


# As many values to a line as fit: fmt would give each a line of its own.
# fmt: off
def subarray(name: str, window: Window) -> Values:
    """Return the header values of a window on the detector, by their key below ``meta``."""
    return {
        "subarray.name": name, "subarray.xstart": window.x0 + 1, "subarray.ystart": window.y0 + 1,
        "subarray.xsize": window.nx, "subarray.ysize": window.ny,
    }


def exposure_meta(instrument: Instrument, exposure: Exposure) -> Values:
    """Return all header values of an exposure, by their key below ``meta``."""
    dither, window = exposure.dither, exposure.window
    groups: dict[str, Values] = {
        "": {
            "filename": exposure.name, "filetype": "countrate", "origin": "bkgflow simulate",
            "telescope": "JWST", "time_unit": "s", "bunit_data": "DN/s", "bunit_err": "DN/s",
            "coordinates.reference_frame": "ICRS",
            "program.title": "A simulated program with a known sky", "program.pi_name": "bkgflow",
            "program.category": "CAL",
        },
        "observation.": _observation(instrument, exposure),
        "visit.": {
            "type": "PRIME_TARGETED_FIXED", "status": "SUCCESSFUL",
            "tsovisit": instrument.model == "CubeModel", "internal_target": False,
        },
        "target.": {
            "proposer_name": exposure.target, "catalog_name": exposure.target, "type": "FIXED",
            "ra": exposure.ra, "dec": exposure.dec,
            "source_type_apt": "EXTENDED" if exposure.trace is None else "POINT",
        },
        "instrument.": {
            "name": instrument.name, "detector": instrument.detector, **instrument.optics
        },
        "exposure.": _timing(instrument, exposure),
    }
    meta = {group + key: value for group, values in groups.items() for key, value in values.items()}
    meta |= subarray(instrument.name_of(window), window)
    meta |= {
        "subarray.fastaxis": instrument.axes[0], "subarray.slowaxis": instrument.axes[1],
        "dither.position_number": dither.position, "dither.total_points": dither.total,
        "dither.x_offset": dither.x, "dither.y_offset": dither.y,
    }
    if instrument.exp_type == "NRS_FIXEDSLIT":
        # Only these three patterns have a name of their own in APT.
        named = dither.total in (2, 3, 5)
        meta["dither.primary_type"] = f"{dither.total}-POINT-NOD" if named else "NONE"
    meta |= {f"wcsinfo.{key}": value for key, value in _wcsinfo(instrument, exposure).items()}
    meta |= {f"cal_step.{step}": "COMPLETE" for step in instrument.steps.split()}
    meta |= {f"cal_step.{step}": "SKIPPED" for step in ("gain_scale", "group_scale", "ipc")}
    return meta | {"aperture.name": instrument.aperture, "pointing.pa_v3": 0.0}


def _observation(instrument: Instrument, exposure: Exposure) -> Values:
    begin, visit = exposure.start, instrument.visit(exposure.observation)
    end = begin + timedelta(seconds=_seconds(instrument, exposure))
    return {
        "date": begin.date().isoformat(), "time": begin.time().isoformat("milliseconds"),
        "date_beg": begin.isoformat(timespec="milliseconds"),
        "date_end": end.isoformat(timespec="milliseconds"),
        "obs_id": f"V{visit}P00000000{GROUP}", "visit_id": visit,
        "program_number": instrument.program,
        "observation_number": f"{exposure.observation:03d}", "visit_number": "001",
        "visit_group": GROUP[:2], "sequence_id": GROUP[2], "activity_id": GROUP[3:],
        "exposure_number": f"{exposure.number:05d}", "bkgdtarg": exposure.role == "background",
    }


def _timing(instrument: Instrument, exposure: Exposure) -> Values:
    """Return the values of the whole exposure, and which part of it a segment is."""
    readout, (segment, first, nints, segments) = instrument.readout, exposure.cut
    seconds = _seconds(instrument, exposure)
    begin, end = _mjd(exposure.start), _mjd(exposure.start + timedelta(seconds=seconds))
    return {
        "type": instrument.exp_type, "prime_parallel": "PRIME",
        "start_time": begin, "mid_time": (begin + end) / 2, "end_time": end,
        "start_time_mjd": begin, "mid_time_mjd": (begin + end) / 2, "end_time_mjd": end,
        "readpatt": readout.pattern, "nints": nints, "integration_start": first + 1,
        "integration_end": first + (exposure.integrations or 1), "segment_number": segment,
        "segment_total": segments,
        "ngroups": readout.ngroups, "nframes": readout.nframes, "groupgap": readout.groupgap,
        "nsamples": 1, "sample_time": 10.0, "frame_time": readout.frame_time,
        "group_time": readout.group_time, "integration_time": readout.integration_time,
        "exposure_time": seconds, "effective_exposure_time": seconds, "duration": seconds,
        "elapsed_exposure_time": seconds, "gain_factor": 1.0,
    }


def _wcsinfo(instrument: Instrument, exposure: Exposure) -> Values:
    """Return pointing, orientation and dispersion."""
    crpix, crval, cdelt, ((pc1_1, pc1_2), (pc2_1, pc2_2)) = projection(instrument, exposure)
    v2, v3, angle = instrument.pointing
    values: Values = {
        "wcsaxes": 2, "crpix1": crpix[0], "crpix2": crpix[1], "crval1": crval[0],
        "crval2": crval[1], "ctype1": "RA---TAN", "ctype2": "DEC--TAN",
        "cunit1": "deg", "cunit2": "deg", "cdelt1": cdelt, "cdelt2": cdelt,
        "pc1_1": pc1_1, "pc1_2": pc1_2, "pc2_1": pc2_1, "pc2_2": pc2_2,
        "v2_ref": v2, "v3_ref": v3, "v3yangle": angle, "vparity": -1,
        "ra_ref": exposure.ra, "dec_ref": exposure.dec, "roll_ref": 0.0,
    }
    axis = instrument.dispersion if exposure.trace is None else exposure.trace.axis
    return values if axis is None else values | {"dispersion_direction": 1 if axis == "x" else 2}
