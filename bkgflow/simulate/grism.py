"""World coordinates of slitless spectra: from a dispersed pixel to the sky, and back.

The frames and transforms are the pipeline's: ``grism_detector`` (the dispersed pixel, the
direct-image pixel and the order), ``detector`` (the direct-image pixel, wavelength and order),
``world`` (right ascension and declination in degrees, wavelength in microns, order).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy import coordinates
from astropy import units as u
from astropy.modeling import models
from gwcs import WCS
from gwcs import coordinate_frames as frames
from numpy.polynomial import Polynomial
from numpy.typing import NDArray
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.transforms import models as grisms

from bkgflow.errors import FileError

__all__ = ["Beam", "Projection", "grism_wcs", "pixel_to_sky", "read_specwcs", "sky_to_pixel"]

Coefficient = tuple[float, float, float]
"""A coefficient's value, and how much it changes per column and per row of the source."""

Array = NDArray[np.float64]


class Projection(NamedTuple):
    """How a direct image lies on the sky: tangential, in the words of FITS."""

    crpix: tuple[float, float]
    crval: tuple[float, float]  # degrees
    cdelt: float  # degrees per pixel, of both axes
    pc: tuple[tuple[float, float], tuple[float, float]]

    def to_sky(self) -> models.Mapping:
        """Return the transform of pixels (0-based) to the sky, in degrees."""
        shift = models.Shift(1.0 - self.crpix[0]) & models.Shift(1.0 - self.crpix[1])
        matrix = np.array(self.pc) * self.cdelt
        turn = models.AffineTransformation2D(matrix=matrix, translation=[0.0, 0.0])
        rotate = models.RotateNative2Celestial(*self.crval, 180.0)
        return shift | turn | models.Pix2Sky_TAN() | rotate


@dataclass(frozen=True, slots=True)
class Beam:
    """The trace of one spectral order: polynomials of t, which is 0 at one end and 1 at the other.

    The polynomials give the distance in pixels from the source in the direct image, lowest
    power first; between the ends, t is linear in wavelength.
    """

    order: int
    first: float  # wavelength at t = 0, in microns
    last: float  # and at t = 1
    x: tuple[Coefficient, ...]
    y: tuple[Coefficient, ...]

    def t(self, wavelength: Array | float) -> Array:
        """Return how far along the trace a wavelength in microns falls."""
        return (np.asarray(wavelength) - self.first) / (self.last - self.first)

    def pixels(self, x0: Array | float, y0: Array | float, t: Array | float) -> tuple[Array, Array]:
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
) -> Array | float:
    return sum((c + cx * x0 + cy * y0) * t**power for power, (c, cx, cy) in enumerate(terms))


def grism_wcs(instrument: str, along: str, beams: Sequence[Beam], projection: Projection) -> WCS:
    """Return the coordinates of a slitless exposure, whose own pixels they start from.

    It has the instrument's own transforms, for a dispersion along "x" or "y".
    """
    pixels, micron = (u.pix, u.pix), (u.micron,)
    pixel = frames.Frame2D(name="grism_detector", axes_names=("x_grism", "y_grism"), unit=pixels)
    direct = frames.Frame2D(name="detectorspatial", axes_order=(0, 1), unit=pixels)
    spectral = frames.SpectralFrame(
        name="spectral", axes_order=(2,), unit=micron, axes_names=("wavelength",)
    )
    sky = frames.CelestialFrame(reference_frame=coordinates.ICRS(), name="sky")
    detector = frames.CompositeFrame([direct, spectral], name="detector")
    world = frames.CompositeFrame([sky, spectral], name="world")
    dispersion = _dispersion(instrument, along, beams)
    to_sky = projection.to_sky() & models.Identity(2)
    return WCS([(pixel, dispersion), (detector, to_sky), (world, None)])


def pixel_to_sky(projection: Projection, x: Array, y: Array) -> tuple[Array, Array]:
    """Return right ascension and declination, in degrees, of pixels of the direct image."""
    ra, dec = projection.to_sky()(x, y)
    return np.asarray(ra), np.asarray(dec)


def sky_to_pixel(projection: Projection, ra: Array, dec: Array) -> tuple[Array, Array]:
    """Return the pixels of the direct image at places on the sky in degrees."""
    x, y = projection.to_sky().inverse(ra, dec)
    return np.asarray(x), np.asarray(y)


def read_specwcs(path: str | Path) -> tuple[Beam, ...]:
    """Read the traces of a NIRCam ``specwcs`` reference whose polynomials depend on t alone.

    FileError if it is no such file.
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
            "A specwcs reference of NIRCam must hold polynomials of t for each order",
            file=path,
            value=f"{type(problem).__name__}: {problem}"[:200],
            cure="Give another file, or none to use round numbers",
        ) from None


def _terms(polynomial: models.Polynomial1D) -> tuple[Coefficient, ...]:
    return tuple((float(value), 0.0, 0.0) for value in polynomial.parameters)


def _dispersion(instrument: str, along: str, beams: Sequence[Beam]) -> models.Mapping:
    """Return the transform of dispersed pixels into direct ones, with its inverse."""
    orders = [beam.order for beam in beams]
    waves = [models.Polynomial1D(1, c0=beam.first, c1=beam.last - beam.first) for beam in beams]
    xs = [[_plane(term) for term in beam.x] for beam in beams]
    ys = [[_plane(term) for term in beam.y] for beam in beams]
    forward, backward = _CLASSES[instrument, along]
    if instrument == "NIRCAM":  # wavelengths in lists, the same both ways, as its references have
        waves = inverse = [[wave] for wave in waves]
    else:
        inverse = [
            models.Polynomial1D(1, c0=float(beam.t(0.0)), c1=1.0 / (beam.last - beam.first))
            for beam in beams
        ]
    turn = {"theta": 0.0} if instrument == "NIRISS" else {}
    transform = forward(orders, waves, xs, ys, **turn)
    transform.inverse = backward(orders, inverse, xs, ys, **turn)
    return transform


_NIRCAM, _NIRISS = grisms.NIRCAMBackwardGrismDispersion, grisms.NIRISSBackwardGrismDispersion
_CLASSES = {
    ("NIRCAM", "x"): (grisms.NIRCAMForwardRowGrismDispersion, _NIRCAM),
    ("NIRCAM", "y"): (grisms.NIRCAMForwardColumnGrismDispersion, _NIRCAM),
    ("NIRISS", "x"): (grisms.NIRISSForwardRowGrismDispersion, _NIRISS),
    ("NIRISS", "y"): (grisms.NIRISSForwardColumnGrismDispersion, _NIRISS),
    ("MIRI", "y"): (grisms.MIRIWFSSForwardDispersion, grisms.MIRIWFSSBackwardDispersion),
}
"""The transforms there and back, by instrument and axis of the dispersion."""


def _plane(term: Coefficient) -> models.Polynomial2D:
    return models.Polynomial2D(1, c0_0=term[0], c1_0=term[1], c0_1=term[2])
