"""The four observing modes that are simulated: detector, optics, readout, sky and stars.

Windows, axes, readout times and reference points are those of pipeline products of the same
kind, NIRSpec's to a tenth of an arcsec; gains and read noises are round numbers near those of
the reference files; skies are round numbers of the right order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bkgflow.detector import Window
from bkgflow.io.models import ModelKind
from bkgflow.simulate.noise import Detector
from bkgflow.simulate.sky import SkyPlane

__all__ = [
    "MIR_IMAGE",
    "MIR_LRS_SLITLESS",
    "MODES",
    "NIR_FRAME",
    "NRC_IMAGE",
    "NRS_FIXEDSLIT",
    "Mode",
    "Readout",
]

NIR_FRAME = Window(0, 0, 2048, 2048)
"""The whole of a near-infrared detector."""

MIRI_FRAME = Window(0, 0, 1032, 1024)

NIR_STEPS = ("dq_init", "saturation", "superbias", "refpix", "linearity", "dark_sub")
MIRI_STEPS = ("dq_init", "saturation", "firstframe", "lastframe", "reset", "linearity", "rscd")
LAST_STEPS = ("jump", "ramp_fit")


@dataclass(frozen=True, slots=True)
class Readout:
    """How a mode's ramps are read.

    Attributes
    ----------
    pattern : str
        READPATT.
    frame_time : float
        Seconds between frames.
    nframes, groupgap, ngroups : int
        Frames averaged into a group, frames dropped between groups, groups per integration.
    gain : float
        Electrons per DN.
    noise : float
        Read noise of a group, in DN.
    """

    pattern: str
    frame_time: float
    nframes: int
    groupgap: int
    ngroups: int
    gain: float
    noise: float

    @property
    def group_time(self) -> float:
        """Seconds between groups."""
        return self.frame_time * (self.nframes + self.groupgap)

    @property
    def integration_time(self) -> float:
        """Seconds that an integration takes."""
        return self.group_time * self.ngroups

    def detector(self) -> Detector:
        """Return the noise of one integration.

        A ramp of n groups, fitted with equal weights, has the read variance
        12 R² / ((n³ − n) t²) and the counting variance rate / (gain (n − 1) t), t the group time
        (the pipeline's ramp-fitting documentation gives both).
        """
        n = self.ngroups
        variance = 12 * self.noise**2 / ((n**3 - n) * self.group_time**2)
        return Detector(gain=self.gain, seconds=self.group_time * (n - 1), read_variance=variance)


@dataclass(frozen=True, slots=True)
class Mode:
    """An observing mode.

    Attributes
    ----------
    program : str
        The program's number, five digits.
    exp_type, instrument, detector, aperture : str
        As in the header.
    suffix, kind : str
        How the files end, and the data model in them.
    association : (str, str)
        asn_type and asn_rule.
    optics : mapping
        Header values below ``meta.instrument``.
    steps : tuple of str
        Steps of the pipeline's first stage that have been done.
    frame, native : Window
        The whole detector, and the window the mode usually reads.
    subarray : str
        The name of the native window.
    axes : (int, int)
        FASTAXIS and SLOWAXIS.
    readout : Readout
        How ramps are read.
    pointing : (float, float, float)
        V2_REF and V3_REF in arcsec, V3I_YANG in degrees. VPARITY is −1 for all.
    scale : float
        Arcsec per pixel.
    sky : SkyPlane
        The sky, in DN/s.
    """

    program: str
    exp_type: str
    instrument: str
    detector: str
    aperture: str
    suffix: str
    kind: ModelKind
    association: tuple[str, str]
    optics: Mapping[str, str | float]
    steps: tuple[str, ...]
    frame: Window
    native: Window
    subarray: str
    axes: tuple[int, int]
    readout: Readout
    pointing: tuple[float, float, float]
    scale: float
    sky: SkyPlane

    def rotation(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return the matrix from pixel steps to (RA cos Dec, Dec) steps, the roll being 0."""
        angle = math.radians(self.pointing[2])
        sine, cosine = math.sin(angle), math.cos(angle)
        return (-cosine, sine), (sine, cosine)

    def name_of(self, window: Window) -> str:
        """Return SUBARRAY for a window."""
        if window == self.native:
            return self.subarray
        return "FULL" if window == self.frame else "GENERIC"


NRC_IMAGE = Mode(
    program="99001",
    exp_type="NRC_IMAGE",
    instrument="NIRCAM",
    detector="NRCALONG",
    aperture="NRCA5_FULL",
    suffix="rate",
    kind="ImageModel",
    association=("image2", "Asn_Lv2Image"),
    optics={"filter": "F356W", "pupil": "CLEAR", "module": "A", "channel": "LONG"},
    steps=(*NIR_STEPS, "persistence", *LAST_STEPS),
    frame=NIR_FRAME,
    native=NIR_FRAME,
    subarray="FULL",
    axes=(-1, 2),
    readout=Readout("MEDIUM8", 10.73677, 8, 2, 10, gain=1.8, noise=2.6),
    pointing=(86.039011, -493.385704, -0.073851),
    scale=0.063,
    sky=SkyPlane(level=0.35, slope_x=0.03, slope_y=-0.02, frame=NIR_FRAME),
)

MIR_IMAGE = Mode(
    program="99002",
    exp_type="MIR_IMAGE",
    instrument="MIRI",
    detector="MIRIMAGE",
    aperture="MIRIM_FULL",
    suffix="rate",
    kind="ImageModel",
    association=("image2", "Asn_Lv2Image"),
    optics={"filter": "F770W", "ccc_state": "OPEN"},
    steps=(*MIRI_STEPS, "dark_sub", "refpix", *LAST_STEPS),
    frame=MIRI_FRAME,
    native=MIRI_FRAME,
    subarray="FULL",
    axes=(1, 2),
    readout=Readout("FASTR1", 2.77504, 1, 0, 40, gain=3.1, noise=6.0),
    pointing=(-453.559116, -373.814447, 5.0152),
    scale=0.11,
    sky=SkyPlane(level=25.0, slope_x=1.5, slope_y=-0.8, frame=MIRI_FRAME),
)

NRS_FIXEDSLIT = Mode(
    program="99003",
    exp_type="NRS_FIXEDSLIT",
    instrument="NIRSPEC",
    detector="NRS1",
    aperture="NRS_S200A1_SLIT",
    suffix="rate",
    kind="ImageModel",
    association=("spec2", "Asn_Lv2NRSFSS"),
    optics={
        "filter": "F290LP",
        "grating": "G395M",
        "fixed_slit": "S200A1",
        "lamp_mode": "FIXEDSLIT",
        "lamp_state": "NONE",
        "gwa_xtilt": 0.35896975,
        "gwa_ytilt": 0.13438272,
        "gwa_tilt": 36.05197530,
    },
    steps=(*NIR_STEPS, *LAST_STEPS),
    frame=NIR_FRAME,
    native=Window(0, 1040, 2048, 64),
    subarray="SUBS200A1",
    axes=(2, 1),
    readout=Readout("NRSRAPID", 1.55725, 1, 0, 200, gain=1.0, noise=11.0),
    pointing=(332.1, -479.2, 138.6),
    scale=0.1,
    sky=SkyPlane(level=0.06, slope_x=0.03, slope_y=0.0, frame=NIR_FRAME, slit=(1056.0, 1087.0)),
)

MIR_LRS_SLITLESS = Mode(
    program="99004",
    exp_type="MIR_LRS-SLITLESS",
    instrument="MIRI",
    detector="MIRIMAGE",
    aperture="MIRIM_SLITLESSPRISM",
    suffix="rateints",
    kind="CubeModel",
    association=("tso-spec2", "Asn_Lv2SpecTSO"),
    optics={"filter": "P750L", "ccc_state": "OPEN"},
    steps=(*MIRI_STEPS, "dark_sub", *LAST_STEPS),
    frame=MIRI_FRAME,
    native=Window(0, 528, 72, 416),
    subarray="SLITLESSPRISM",
    axes=(1, 2),
    readout=Readout("FASTR1", 0.15904, 1, 0, 120, gain=3.1, noise=6.0),
    pointing=(-378.832074, -344.944543, 4.75797),
    scale=0.11,
    sky=SkyPlane(level=40.0, slope_x=1.0, slope_y=30.0, frame=MIRI_FRAME),
)

MODES: Mapping[str, Mode] = {
    mode.exp_type: mode for mode in (NRC_IMAGE, MIR_IMAGE, NRS_FIXEDSLIT, MIR_LRS_SLITLESS)
}
"""The modes by EXP_TYPE."""
