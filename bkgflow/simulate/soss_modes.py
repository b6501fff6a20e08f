"""NIRISS SOSS as it is simulated: detector, optics, readout, and the orders of a star.

Windows are those of the mode; readout times, gain, noise and pointing are near the real ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from bkgflow.simulate.modes import NIR_FRAME, Mode, Readout
from bkgflow.simulate.sky import SkyPlane, Trace
from bkgflow.simulate.soss_truth import STRIP96, STRIP256

__all__ = ["SOSS_MODES", "Subarray", "soss_traces"]

Subarray = Literal["SUBSTRIP256", "SUBSTRIP96"]

NIS_SOSS = Mode(
    program="99005",
    exp_type="NIS_SOSS",
    instrument="NIRISS",
    detector="NIS",
    aperture="NIS_SUBSTRIP256",
    suffix="rateints",
    kind="CubeModel",
    association=("tso-spec2", "Asn_Lv2SpecTSO"),
    optics={"filter": "CLEAR", "pupil": "GR700XD"},
    steps=(
        "dq_init", "saturation", "superbias", "refpix", "linearity", "dark_sub", "jump", "ramp_fit"
    ),
    frame=NIR_FRAME,
    native=STRIP256,
    subarray="SUBSTRIP256",
    axes=(-2, -1),
    readout=Readout("NISRAPID", 5.494, 1, 0, 8, gain=1.6, noise=6.0),
    pointing=(-290.1, -697.5, -0.57),
    scale=0.0656,
    sky=SkyPlane(level=5.0, slope_x=0.0, slope_y=0.0, frame=NIR_FRAME),
)  # fmt: skip

SOSS_MODES: Mapping[Subarray, Mode] = {
    "SUBSTRIP256": NIS_SOSS,
    "SUBSTRIP96": replace(
        NIS_SOSS,
        aperture="NIS_SUBSTRIP96",
        native=STRIP96,
        subarray="SUBSTRIP96",
        readout=replace(NIS_SOSS.readout, frame_time=2.214, ngroups=20),
    ),
}
"""The mode by subarray."""

TRACES = (
    # centre above the strip's first row, tilt, peak in DN/s, last column
    (60.0, 0.012, 900.0, 2300.0),
    (95.0, 0.035, 250.0, 1900.0),
    (150.0, 0.050, 60.0, 1100.0),
)
"""Orders 1 to 3; they are Gaussian across the dispersion and have no far wings."""

TRACE_SIGMA = 7.0


def soss_traces() -> tuple[Trace, ...]:
    """Return the spectral orders of the simulated star, the first one first."""
    return tuple(
        Trace(
            axis="x",
            centre=STRIP256.y0 + row,
            tilt=tilt,
            sigma=TRACE_SIGMA,
            peak=peak,
            start=-200.0,
            stop=stop,
        )
        for row, tilt, peak, stop in TRACES
    )
