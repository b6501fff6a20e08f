"""The headers of simulated exposures, whole enough for the pipeline's second stage."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bkgflow.simulate.instruments import Instrument
from bkgflow.simulate.truth import Exposure

__all__ = ["GROUP", "exposure_meta", "integration_times", "root_name", "wcsinfo"]

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

Values = dict[str, Any]


def root_name(instrument: Instrument, observation: int, number: int) -> str:
    """Return an exposure's name as the archive makes it, without suffix and extension."""
    visit, detector = _visit(instrument, observation), instrument.detector.lower()
    return f"jw{visit}_{GROUP}_{number:05d}_{detector}"


def exposure_meta(instrument: Instrument, exposure: Exposure) -> Values:
    """Return all header values of an exposure, by their key below ``meta``.

    The tree in the file keeps their order.
    """
    groups = {
        "": _file(exposure),
        **_pointed(instrument, exposure),
        "exposure.": _timing(instrument, exposure),
        **_read(instrument, exposure),
        "wcsinfo.": wcsinfo(instrument, exposure),
        "cal_step.": dict.fromkeys(instrument.steps.split(), "COMPLETE")
        | dict.fromkeys(("gain_scale", "group_scale", "ipc"), "SKIPPED"),
    }
    meta = {group + key: value for group, values in groups.items() for key, value in values.items()}
    return meta | {"aperture.name": instrument.aperture, "pointing.pa_v3": 0.0}


def integration_times(instrument: Instrument, exposure: Exposure) -> NDArray[np.void]:
    """Return the INT_TIMES table of a cube: (n_integrations,) structured, MJD in days.

    The barycentric times are the spacecraft's own: nothing in a simulated program moves.
    """
    total = exposure.cut.total
    day = instrument.readout.integration_time / 86400.0
    start = _mjd(exposure.start) + day * np.arange(total)
    table = np.zeros(total, dtype=TIMES_DTYPE)
    table["integration_number"] = np.arange(1, total + 1)
    for scale in ("MJD_UTC", "BJD_TDB"):
        table[f"int_start_{scale}"] = start
        table[f"int_mid_{scale}"] = start + day / 2
        table[f"int_end_{scale}"] = start + day
    return exposure.part(table)


def _visit(instrument: Instrument, observation: int) -> str:
    return f"{instrument.program}{observation:03d}001"


def _mjd(time: datetime) -> float:
    return (time - MJD_ZERO) / timedelta(days=1)


def _end(instrument: Instrument, exposure: Exposure) -> datetime:
    seconds = instrument.readout.integration_time * exposure.cut.total
    return exposure.start + timedelta(seconds=seconds)


# As many values to a line as fit: fmt would give each a line of its own.
# fmt: off
def _file(exposure: Exposure) -> Values:
    return {
        "filename": exposure.name, "filetype": "countrate", "origin": "bkgflow simulate",
        "telescope": "JWST", "time_unit": "s", "bunit_data": "DN/s", "bunit_err": "DN/s",
        "coordinates.reference_frame": "ICRS",
    }


def _pointed(instrument: Instrument, exposure: Exposure) -> dict[str, Values]:
    """Return what was looked at, by whom and when."""
    begin, end = exposure.start, _end(instrument, exposure)
    visit = _visit(instrument, exposure.observation)
    return {
        "program.": {
            "title": "A simulated program with a known sky", "pi_name": "bkgflow",
            "category": "CAL",
        },
        "observation.": {
            "date": begin.date().isoformat(), "time": begin.time().isoformat("milliseconds"),
            "date_beg": begin.isoformat(timespec="milliseconds"),
            "date_end": end.isoformat(timespec="milliseconds"),
            "obs_id": f"V{visit}P00000000{GROUP}", "visit_id": visit,
            "program_number": instrument.program,
            "observation_number": f"{exposure.observation:03d}", "visit_number": "001",
            "visit_group": GROUP[:2], "sequence_id": GROUP[2], "activity_id": GROUP[3:],
            "exposure_number": f"{exposure.number:05d}",
            "bkgdtarg": exposure.role == "background",
        },
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
    }


def _timing(instrument: Instrument, exposure: Exposure) -> Values:
    """Return the values of the whole exposure, and which part of it a segment is."""
    readout, (segment, first, nints) = instrument.readout, exposure.cut
    begin, end = _mjd(exposure.start), _mjd(_end(instrument, exposure))
    seconds = readout.integration_time * nints
    return {
        "type": instrument.exp_type, "prime_parallel": "PRIME",
        "start_time": begin, "mid_time": (begin + end) / 2, "end_time": end,
        "start_time_mjd": begin, "mid_time_mjd": (begin + end) / 2, "end_time_mjd": end,
        "readpatt": readout.pattern, "nints": nints, "integration_start": first + 1,
        "integration_end": first + (exposure.integrations or 1), "segment_number": segment,
        "ngroups": readout.ngroups, "nframes": readout.nframes, "groupgap": readout.groupgap,
        "nsamples": 1, "sample_time": 10.0, "frame_time": readout.frame_time,
        "group_time": readout.group_time, "integration_time": readout.integration_time,
        "exposure_time": seconds, "effective_exposure_time": seconds, "duration": seconds,
        "elapsed_exposure_time": seconds, "gain_factor": 1.0,
    }


def _read(instrument: Instrument, exposure: Exposure) -> dict[str, Values]:
    """Return what of the detector was read, and the point of the dither pattern."""
    window, dither = exposure.window, exposure.dither
    pattern = {}
    if instrument.exp_type == "NRS_FIXEDSLIT":
        # Only these three patterns have a name of their own in APT.
        named = dither.total in (2, 3, 5)
        pattern = {"primary_type": f"{dither.total}-POINT-NOD" if named else "NONE"}
    return {
        "subarray.": {
            "name": instrument.name_of(window), "xstart": window.x0 + 1, "ystart": window.y0 + 1,
            "xsize": window.nx, "ysize": window.ny,
            "fastaxis": instrument.axes[0], "slowaxis": instrument.axes[1],
        },
        "dither.": {
            "position_number": dither.position, "total_points": dither.total,
            "x_offset": dither.x, "y_offset": dither.y, **pattern
        },
    }


def wcsinfo(instrument: Instrument, exposure: Exposure) -> Values:
    """Return the header values below ``meta.wcsinfo``: pointing, orientation, dispersion."""
    window, native = exposure.window, instrument.native
    v2, v3, angle = instrument.pointing
    step = instrument.scale / 3600.0
    (pc1_1, pc1_2), (pc2_1, pc2_2) = instrument.rotation()
    values = {
        # The aperture's reference point is the middle of the window that is usually read.
        "wcsaxes": 2, "crpix1": native.x0 + (native.nx + 1) / 2 - window.x0,
        "crpix2": native.y0 + (native.ny + 1) / 2 - window.y0,
        "crval1": exposure.ra, "crval2": exposure.dec, "ctype1": "RA---TAN", "ctype2": "DEC--TAN",
        "cunit1": "deg", "cunit2": "deg", "cdelt1": step, "cdelt2": step,
        "pc1_1": pc1_1, "pc1_2": pc1_2, "pc2_1": pc2_1, "pc2_2": pc2_2,
        "v2_ref": v2, "v3_ref": v3, "v3yangle": angle, "vparity": -1,
        "ra_ref": exposure.ra, "dec_ref": exposure.dec, "roll_ref": 0.0,
    }
    axis = instrument.dispersion if exposure.trace is None else exposure.trace.axis
    return values if axis is None else values | {"dispersion_direction": 1 if axis == "x" else 2}
