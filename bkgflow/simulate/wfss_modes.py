"""The slitless modes that are simulated: NIRISS, NIRCam and MIRI, and where they send light.

Passbands and dispersions are round numbers from the instruments' pages of the JWST user
documentation (JDox: "NIRISS GR150 Grisms", "NIRCam Grisms", "MIRI Low Resolution
Spectroscopy"). A grism sends the wavelength λ of order m to (m λ − λ₀)/δ pixels from the
source, λ₀ being the wavelength that order 1 leaves where it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from bkgflow.errors import SettingsError
from bkgflow.simulate.files.grism import Beam
from bkgflow.simulate.modes import MIR_IMAGE, NIR_FRAME, NIR_STEPS, NRC_IMAGE, Mode, Readout
from bkgflow.simulate.sky import SkyPlane

__all__ = ["BANDS", "EXTRACTED", "ORDERS", "Slitless", "slitless_mode"]

Axis = Literal["x", "y"]

BANDS: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "NIRISS": {
        "F115W": (1.013, 1.283),
        "F090W": (0.796, 1.005),
        "F140M": (1.331, 1.480),
        "F150W": (1.330, 1.671),
        "F158M": (1.488, 1.688),
        "F200W": (1.751, 2.226),
    },
    "NIRCAM": {
        "F356W": (3.135, 3.981),
        "F277W": (2.416, 3.127),
        "F322W2": (2.430, 4.013),
        "F444W": (3.880, 4.982),
    },
    "MIRI": {"P750L": (5.0, 14.0)},
}
"""First and last wavelength of each passband in microns; an instrument's first is its default."""

GRISMS: Mapping[str, Mapping[str, Axis]] = {
    "NIRISS": {"GR150C": "x", "GR150R": "y"},
    "NIRCAM": {"GRISMR": "x", "GRISMC": "y"},
    "MIRI": {"P750L": "y"},
}
"""The axis along which each grism disperses; an instrument's first is its default."""

DISPERSION = {"NIRISS": 0.0047, "NIRCAM": 0.001}
"""Microns per pixel in order 1."""

UNDEVIATED = {"NIRISS": 1.4, "NIRCAM": 3.95}
"""λ₀ in microns."""

ORDERS = {"NIRISS": (0, 1, 2), "NIRCAM": (1, 2), "MIRI": (1,)}
EXTRACTED = {"NIRISS": (1, 2), "NIRCAM": (1, 2), "MIRI": (1,)}
"""Orders of which there is light, and those that the wavelengthrange reference extracts."""

ORDER_0_LENGTH = 3.0
"""Pixels over which the glass of the grism smears order 0."""

TILT = 0.01
"""How far a trace moves across the dispersion per pixel along it."""

FIELD = 2e-6
"""Relative change of a trace's length per pixel of the source's place."""

PRISM = (190.0, -620.0, 240.0)
"""Rows of MIRI's prism spectrum as a polynomial of t: 380 rows, the red end far more spread."""

NIS_IMAGE = replace(
    NRC_IMAGE,
    instrument="NIRISS",
    detector="NIS",
    aperture="NIS_CEN",
    optics={},
    steps=(*NIR_STEPS, "persistence", "jump", "ramp_fit"),
    axes=(-2, -1),
    readout=Readout("NIS", 10.73677, 4, 0, 12, gain=1.6, noise=7.0),
    pointing=(-292.831818, -697.685516, 0.32571),
    scale=0.0656,
    sky=SkyPlane(level=0.6, slope_x=0.0, slope_y=0.0, frame=NIR_FRAME),
)


@dataclass(frozen=True, slots=True)
class Slitless:
    """A slitless mode.

    Attributes
    ----------
    mode, direct : Mode
        Of the dispersed exposures, and of the direct image that goes with them.
    axis : "x" or "y"
        The detector axis of the dispersion.
    band : str
        The passband, which the wavelengthrange reference goes by.
    passband : (float, float)
        Its first and last wavelength, in microns.
    orders, extracted : tuple of int
        Orders of which there is light, and those that are extracted by default.
    beams : tuple of Beam
        Their traces, in pixels of the exposure.
    """

    mode: Mode
    direct: Mode
    axis: Axis
    band: str
    passband: tuple[float, float]
    orders: tuple[int, ...]
    extracted: tuple[int, ...]
    beams: tuple[Beam, ...]


def slitless_mode(
    instrument: str, grism: str | None, module: str | None, band: str | None
) -> Slitless:
    """Return a slitless mode; what is None is the instrument's default.

    Raises
    ------
    SettingsError
        If the instrument has no such grism, module or passband.
    """
    instrument = _one_of("instrument", instrument, tuple(BANDS))
    grism = _one_of("grism", grism, tuple(GRISMS[instrument]))
    band = _one_of("band", band, tuple(BANDS[instrument]))
    modules = ("A", "B") if instrument == "NIRCAM" else ()
    module = _one_of("module", module, modules) if modules or module is not None else ""
    axis = GRISMS[instrument][grism]
    passband = BANDS[instrument][band]
    mode, direct = _modes(instrument, grism, module, band)
    return Slitless(
        mode=mode,
        direct=direct,
        axis=axis,
        band=band,
        passband=passband,
        orders=ORDERS[instrument],
        extracted=EXTRACTED[instrument],
        beams=_beams(instrument, axis, module, passband),
    )


def _one_of(name: str, value: str | None, known: tuple[str, ...]) -> str:
    if value is None and known:
        return known[0]
    chosen = str(value).upper()
    if chosen in known:
        return chosen
    raise SettingsError(
        f"{name} must be {' or '.join(known) if known else 'left out for this instrument'}",
        value=value,
        cure="Give one of these" if known else f"Leave {name} out",
    )


def _modes(instrument: str, grism: str, module: str, band: str) -> tuple[Mode, Mode]:
    """Return the modes of the dispersed exposures and of their direct image."""
    if instrument == "MIRI":
        direct = replace(MIR_IMAGE, program="99012", optics={"filter": "F560W"})
        optics: dict[str, str | float] = {"filter": band}
        exp_type, rule = "MIR_WFSS", "Asn_Lv2WFSSMIR"
    elif instrument == "NIRCAM":
        shared: dict[str, str | float] = {"filter": band, "module": module, "channel": "LONG"}
        detector = {"A": "NRCALONG", "B": "NRCBLONG"}[module]
        v2, v3, angle = NRC_IMAGE.pointing
        direct = replace(
            NRC_IMAGE,
            program="99011",
            detector=detector,
            aperture=f"NRC{module}5_FULL",
            optics=shared | {"pupil": "CLEAR"},
            pointing=(v2 if module == "A" else -v2, v3, angle),
        )
        optics = shared | {"pupil": grism}
        exp_type, rule = "NRC_WFSS", "Asn_Lv2WFSSNRC"
    else:
        direct = replace(
            NIS_IMAGE,
            program="99010",
            exp_type="NIS_IMAGE",
            optics={"filter": "CLEAR", "pupil": band},
        )
        optics = {"filter": grism, "pupil": band, "filter_position": 0.0}
        exp_type, rule = "NIS_WFSS", "Asn_Lv2WFSSNIS"
    dispersed = replace(direct, exp_type=exp_type, optics=optics, association=("spec2", rule))
    return dispersed, direct


def _beams(
    instrument: str, axis: Axis, module: str, passband: tuple[float, float]
) -> tuple[Beam, ...]:
    if instrument == "MIRI":
        terms = tuple((value, value * FIELD, 0.0) for value in PRISM)
        return (Beam(1, *passband, x=((0.0, 0.0, 0.0), (2.0, 0.0, 0.0)), y=terms),)
    # NIRCam's module B has its row grism turned round (JDox).
    sign = -1.0 if module == "B" and axis == "x" else 1.0
    return tuple(_beam(instrument, axis, sign, order, passband) for order in ORDERS[instrument])


def _beam(
    instrument: str, axis: Axis, sign: float, order: int, passband: tuple[float, float]
) -> Beam:
    start, stop = (
        sign * (order * wave - UNDEVIATED[instrument]) / DISPERSION[instrument] for wave in passband
    )
    length = stop - start if order else sign * ORDER_0_LENGTH
    along = ((start, 0.0, 0.0), (length, length * FIELD, -length * FIELD))
    across = ((TILT * start, 0.0, 0.0), (TILT * length, 0.0, 0.0))
    x, y = (along, across) if axis == "x" else (across, along)
    return Beam(order, *passband, x=x, y=y)
