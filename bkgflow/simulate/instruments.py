"""The instruments that are simulated, as ``instruments.toml`` describes them."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from pydantic import BaseModel

from bkgflow.detector import Window
from bkgflow.simulate.arguments import one_of
from bkgflow.simulate.grism import Beam
from bkgflow.simulate.noise import Detector
from bkgflow.simulate.sky import Axis, SkyPlane

__all__ = ["Grisms", "Instrument", "Readout", "Slitless", "load_instrument", "slitless_instrument"]

Table = dict[str, Any]  # of TOML

ORDER_0_LENGTH = 3.0
"""Pixels over which the glass of the grism smears order 0."""

TILT = 0.01
"""How far a trace moves across the dispersion per pixel along it."""

PRISM_TILT = 2.0
"""How far a prism's trace moves across the dispersion, in pixels."""

FIELD = 2e-6
"""Relative change of a trace's length per pixel of the source's column or row."""


class Readout(BaseModel, frozen=True):
    """How an instrument's ramps are read."""

    pattern: str  # READPATT
    frame_time: float  # seconds between frames
    nframes: int  # averaged into a group
    groupgap: int  # frames dropped between groups
    ngroups: int  # per integration
    gain: float  # electrons per DN
    noise: float  # read noise of a group, in DN

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


class Instrument(BaseModel, frozen=True):
    """An instrument with its optics, window and readout chosen."""

    program: str  # the program's number, five digits
    exp_type: str
    name: str  # INSTRUME
    detector: str
    aperture: str
    suffix: str  # how the files end
    model: str  # the data model in them
    association: tuple[str, str]  # asn_type and asn_rule
    optics: Mapping[str, str | float]  # header values below meta.instrument
    steps: str  # of the pipeline's first stage, that have been done
    frame: Window  # the whole detector
    native: Window  # what is usually read of it
    subarray: str  # the name of that
    axes: tuple[int, int]  # FASTAXIS and SLOWAXIS
    readout: Readout
    pointing: tuple[float, float, float]  # V2_REF and V3_REF in arcsec, V3I_YANG in degrees
    scale: float  # arcsec per pixel
    sky: SkyPlane  # DN/s
    trace: Mapping[str, str | float] = {}  # of a star's spectrum, as far as that is the same
    dispersion: Axis | None = None  # where all light is dispersed

    def rotation(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return the matrix from pixel steps to (RA cos Dec, Dec) steps, the roll being 0."""
        angle = math.radians(self.pointing[2])
        sine, cosine = math.sin(angle), math.cos(angle)
        return (-cosine, sine), (sine, cosine)

    def visit(self, observation: int) -> str:
        """Return the number of an observation's only visit, with those of what it belongs to."""
        return f"{self.program}{observation:03d}001"

    def name_of(self, window: Window) -> str:
        """Return SUBARRAY for a window."""
        if window == self.native:
            return self.subarray
        return "FULL" if window == self.frame else "GENERIC"


class Grisms(BaseModel, frozen=True):
    """The grisms of one camera, or its prism; the table's own comments say what is what."""

    like: str
    program: str
    exp_type: str
    rule: str
    optics: Mapping[str, str | float]
    direct_optics: Mapping[str, str | float]
    element: str
    axes: Mapping[str, Axis]
    modules: Mapping[str, Mapping[str, object]] = {}
    bands: Mapping[str, tuple[float, float]]
    orders: tuple[int, ...]
    extracted: tuple[int, ...]
    dispersion: float = math.nan
    undeviated: float = math.nan
    prism: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Slitless:
    """A slitless instrument."""

    dispersed: Instrument  # of the dispersed exposures
    direct: Instrument  # of the direct image that goes with them
    axis: Axis  # of the dispersion
    band: str  # the passband, which the wavelengthrange reference goes by
    table: Grisms  # what all grisms of the camera share
    element: str  # of the direct image, as names of products have it
    beams: tuple[Beam, ...]  # the traces of all orders, in pixels of the exposure


@cache
def load_instrument(name: str) -> Instrument:
    """Return an instrument by its name in the table, which most share with their EXP_TYPE."""
    values = _values(name)
    return Instrument.model_validate(values | {"sky": values["sky"] | {"frame": values["frame"]}})


def _values(name: str) -> Table:
    own: Table = _table()["instruments"][name]
    return _values(own["like"]) | own if "like" in own else own


@cache
def _table() -> Table:
    text = resources.files(__package__).joinpath("instruments.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def slitless_instrument(
    camera: str, grism: str | None = None, module: str | None = None, band: str | None = None
) -> Slitless:
    """Return a slitless instrument; what is None is the camera's default.

    SettingsError if the camera has no such grism, module or passband.
    """
    cameras = _table()["grisms"]
    table = Grisms.model_validate(cameras[one_of("instrument", camera, cameras)])
    grism = one_of("grism", grism, table.axes)
    band = one_of("band", band, table.bands)
    module = one_of("module", module, table.modules)
    chosen = {"grism": grism, "band": band, "module": module}
    own: Table = {"program": table.program, "optics": _filled(table.direct_optics, chosen)}
    own |= table.modules.get(module, {})
    direct = load_instrument(table.like).model_copy(update=own)
    axis, optics = table.axes[grism], _filled(table.optics, chosen)
    own = {"exp_type": table.exp_type, "association": ("spec2", table.rule), "optics": optics}
    dispersed = direct.model_copy(update=own | {"dispersion": axis})
    # NIRCam's module B has its row grism turned round (JDox).
    sign = -1.0 if module == "B" and axis == "x" else 1.0
    passband = table.bands[band]
    beams = tuple(_beam(table, axis, sign, order, passband) for order in table.orders)
    element = table.element.format(**chosen).lower()
    return Slitless(dispersed, direct, axis, band, table, element, beams)


def _filled(optics: Mapping[str, str | float], chosen: Mapping[str, str]) -> dict[str, str | float]:
    """Put the chosen names where the table has braces."""
    return {
        key: value.format(**chosen) if isinstance(value, str) else value
        for key, value in optics.items()
    }


def _beam(
    table: Grisms, axis: Axis, sign: float, order: int, passband: tuple[float, float]
) -> Beam:
    if table.prism:
        along = tuple((value, value * FIELD, 0.0) for value in table.prism)
        across = ((0.0, 0.0, 0.0), (PRISM_TILT, 0.0, 0.0))
    else:
        start, stop = (
            sign * (order * wave - table.undeviated) / table.dispersion for wave in passband
        )
        length = stop - start if order else sign * ORDER_0_LENGTH
        along = ((start, 0.0, 0.0), (length, length * FIELD, -length * FIELD))
        across = ((TILT * start, 0.0, 0.0), (TILT * length, 0.0, 0.0))
    x, y = (along, across) if axis == "x" else (across, along)
    return Beam(order, *passband, x=x, y=y)
