"""World coordinates of slitless spectra: from a dispersed pixel to the sky, and back.

The frames and transforms are the pipeline's: ``grism_detector`` (the dispersed pixel, the
direct-image pixel and the order), ``detector`` (the direct-image pixel, wavelength and order),
``world`` (right ascension and declination in degrees, wavelength in microns, order).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy import coordinates
from astropy import units as u
from astropy.modeling import models
from gwcs import WCS
from gwcs import coordinate_frames as frames
from numpy.polynomial import Polynomial
from numpy.typing import NDArray
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.datamodels import JwstDataModel
from stdatamodels.jwst.transforms import models as grisms

from bkgflow.errors import FileError

__all__ = [
    "Beam",
    "Coefficient",
    "attach_wcs",
    "grism_wcs",
    "pixel_to_sky",
    "read_specwcs",
    "sky_to_pixel",
]

Coefficient = tuple[float, float, float]
"""A coefficient's value, and how much it changes per column and per row of the source."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Beam:
    """The trace of one spectral order: polynomials of t, which is 0 at one end and 1 at the other.

    Attributes
    ----------
    order : int
        The spectral order.
    first, last : float
        Wavelengths at t = 0 and t = 1, in microns; between them t is linear in wavelength.
    x, y : tuple of Coefficient
        Distance in pixels from the source's place in the direct image, lowest power first.
    """

    order: int
    first: float
    last: float
    x: tuple[Coefficient, ...]
    y: tuple[Coefficient, ...]

    def t(self, wavelength: Array | float) -> Array:
        """Return the place on the trace of a wavelength in microns."""
        return (np.asarray(wavelength) - self.first) / (self.last - self.first)

    def place(self, x0: Array | float, y0: Array | float, t: Array | float) -> tuple[Array, Array]:
        """Return where the light of a source at (x0, y0) of the direct image falls, in pixels."""
        dx, dy = _polynomial(self.x, x0, y0, t), _polynomial(self.y, x0, y0, t)
        return np.asarray(x0 + dx), np.asarray(y0 + dy)

    def within(self, first: float, last: float) -> Beam:
        """Return the part of the trace between two wavelengths, in microns."""
        start, stop = float(self.t(first)), float(self.t(last))
        inner = Polynomial([start, stop - start])

        def compose(terms: tuple[Coefficient, ...]) -> tuple[Coefficient, ...]:
            columns = (Polynomial(column)(inner).coef for column in zip(*terms, strict=True))
            padded = [np.pad(column, (0, len(terms) - len(column))) for column in columns]
            return tuple((float(c), float(x), float(y)) for c, x, y in zip(*padded, strict=True))

        return Beam(self.order, first, last, x=compose(self.x), y=compose(self.y))


def _polynomial(
    terms: Sequence[Coefficient], x0: Array | float, y0: Array | float, t: Array | float
) -> Any:
    return sum((c + cx * x0 + cy * y0) * t**power for power, (c, cx, cy) in enumerate(terms))


def grism_wcs(
    instrument: str, along: str, beams: Sequence[Beam], wcsinfo: Mapping[str, Any]
) -> WCS:
    """Return the coordinates of a slitless exposure.

    Parameters
    ----------
    instrument : "NIRCAM", "NIRISS" or "MIRI"
        Whose transforms to use.
    along : "x" or "y"
        The axis of the dispersion.
    beams : sequence of Beam
        One for each order.
    wcsinfo : mapping
        The direct image's place on the sky as FITS has it: ``crpix1``, ``crval1``, ``cdelt1``,
        ``pc1_1``, …, with a tangential projection. Pixels are the exposure's own.
    """
    pixel = frames.Frame2D(
        name="grism_detector", axes_names=("x_grism", "y_grism"), unit=(u.pix, u.pix)
    )
    spectral = frames.SpectralFrame(
        name="spectral", axes_order=(2,), unit=(u.micron,), axes_names=("wavelength",)
    )
    direct = frames.Frame2D(name="detectorspatial", axes_order=(0, 1), unit=(u.pix, u.pix))
    sky = frames.CelestialFrame(reference_frame=coordinates.ICRS(), name="sky")
    return WCS(
        [
            (pixel, _dispersion(instrument, along, beams)),
            (
                frames.CompositeFrame([direct, spectral], name="detector"),
                _to_sky(wcsinfo) & models.Identity(2),
            ),
            (frames.CompositeFrame([sky, spectral], name="world"), None),
        ]
    )


def attach_wcs(model: JwstDataModel, wcs: WCS) -> None:
    """Give a data model its coordinates; they are saved with it."""
    model.meta.wcs = wcs


def pixel_to_sky(wcsinfo: Mapping[str, Any], x: Array, y: Array) -> tuple[Array, Array]:
    """Return right ascension and declination, in degrees, of pixels of the direct image."""
    ra, dec = _to_sky(wcsinfo)(x, y)
    return np.asarray(ra), np.asarray(dec)


def sky_to_pixel(wcsinfo: Mapping[str, Any], ra: Array, dec: Array) -> tuple[Array, Array]:
    """Return the pixels of the direct image at places on the sky in degrees."""
    x, y = _to_sky(wcsinfo).inverse(ra, dec)
    return np.asarray(x), np.asarray(y)


def read_specwcs(path: str | Path) -> tuple[Beam, ...]:
    """Read the traces of a NIRCam ``specwcs`` reference whose polynomials depend on t alone.

    Raises
    ------
    FileError
        If it is no such file.
    """
    try:
        with datamodels.NIRCAMGrismModel(str(path)) as model:
            columns = (model.orders, model.displ, model.dispx, model.dispy)
            orders, waves, xs, ys = (list(column.instance) for column in columns)
        return tuple(
            Beam(int(order), float(wave(0.0)), float(wave(1.0)), _terms(x), _terms(y))
            for order, wave, x, y in zip(orders, waves, xs, ys, strict=True)
        )
    except Exception as problem:  # stdatamodels, asdf and the models each raise their own
        raise FileError(
            "A specwcs reference of NIRCam holds polynomials of t for each order",
            file=path,
            value=f"{type(problem).__name__}: {problem}"[:200],
            cure="Give another file, or none to use round numbers",
        ) from None


def _terms(polynomial: Any) -> tuple[Coefficient, ...]:
    return tuple((float(value), 0.0, 0.0) for value in polynomial.parameters)


def _dispersion(instrument: str, along: str, beams: Sequence[Beam]) -> Any:
    """Return the transform of dispersed pixels into direct ones, with its inverse."""
    orders = [beam.order for beam in beams]
    waves = [models.Polynomial1D(1, c0=beam.first, c1=beam.last - beam.first) for beam in beams]
    inverse = [models.Polynomial1D(1, c0=float(beam.t(0.0)), c1=_rate(beam)) for beam in beams]
    xs = [[_plane(term) for term in beam.x] for beam in beams]
    ys = [[_plane(term) for term in beam.y] for beam in beams]
    row = along == "x"
    if instrument == "NIRCAM":
        kind = (
            grisms.NIRCAMForwardRowGrismDispersion
            if row
            else grisms.NIRCAMForwardColumnGrismDispersion
        )
        lists = [[wave] for wave in waves]  # as its references hold them today
        forward = kind(orders, lists, xs, ys)
        forward.inverse = grisms.NIRCAMBackwardGrismDispersion(orders, lists, xs, ys)
    elif instrument == "NIRISS":
        kind = (
            grisms.NIRISSForwardRowGrismDispersion
            if row
            else grisms.NIRISSForwardColumnGrismDispersion
        )
        forward = kind(orders, waves, xs, ys, theta=0.0)
        forward.inverse = grisms.NIRISSBackwardGrismDispersion(orders, inverse, xs, ys, theta=0.0)
    else:
        forward = grisms.MIRIWFSSForwardDispersion(orders, waves, xs, ys)
        forward.inverse = grisms.MIRIWFSSBackwardDispersion(orders, inverse, xs, ys)
    return forward


def _rate(beam: Beam) -> float:
    return 1.0 / (beam.last - beam.first)


def _plane(term: Coefficient) -> Any:
    return models.Polynomial2D(1, c0_0=term[0], c1_0=term[1], c0_1=term[2])


def _to_sky(wcsinfo: Mapping[str, Any]) -> Any:
    """Return the transform of direct-image pixels (0-based) to the sky, in degrees."""
    shift = models.Shift(1.0 - wcsinfo["crpix1"]) & models.Shift(1.0 - wcsinfo["crpix2"])
    matrix = np.array(
        [[wcsinfo[f"pc{i}_{j}"] * wcsinfo[f"cdelt{i}"] for j in (1, 2)] for i in (1, 2)]
    )
    turn = models.AffineTransformation2D(matrix=matrix, translation=[0.0, 0.0])
    rotate = models.RotateNative2Celestial(wcsinfo["crval1"], wcsinfo["crval2"], 180.0)
    return shift | turn | models.Pix2Sky_TAN() | rotate
