"""Small slitless exposures with a grism WCS, catalogues and references, for several tests."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy import coordinates as coord
from astropy.modeling.models import (
    Identity,
    Pix2Sky_TAN,
    Polynomial1D,
    Polynomial2D,
    RotateNative2Celestial,
    Rotation2D,
    Scale,
    Shift,
)
from astropy.table import QTable
from gwcs import WCS
from gwcs import coordinate_frames as cf
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.transforms import models as grisms

from tests.helpers.exposures import write_association

SHAPE, CORNER, SCALE = (220, 240), (30, 40), 0.6
"""Of the scene: rows and columns, its first column and row from 0, the strength of its sky."""

RA, DEC = 53.16, -27.79


@dataclass(frozen=True)
class Mode:
    """One grism of one instrument; the coefficients are near the flight ones."""

    name: str
    instrument: str
    exp_type: str
    detector: str
    filter: str
    pupil: str
    module: str | None
    axis: int
    orders: dict  # order: (offset, length in pixels for t = 0 to 1)
    wavelengths: tuple  # at t = 0 and 1, micron
    band: tuple  # of the blocking filter, micron
    theta: float = 0.0

    @property
    def blocking(self):
        return self.pupil if self.instrument == "NIRISS" else self.filter


NIRCAM_ORDERS = {1: (-1530.9, 2589.6), 2: (859.6, 5179.3)}
NIRISS_ORDERS = {1: (-30.0, 140.0), 2: (60.0, 290.0), 0: (-230.0, 4.0), -1: (-420.0, -130.0)}
NIS_BAND, NIS_WAVES = (1.013, 1.283), (0.9, 1.4)

MODES = {
    mode.name: mode
    for mode in (
        Mode("A-R", "NIRCAM", "NRC_WFSS", "NRCALONG", "F356W", "GRISMR", "A", 1, NIRCAM_ORDERS,
             (2.4, 5.0), (3.1, 4.0)),
        Mode("A-C", "NIRCAM", "NRC_WFSS", "NRCALONG", "F356W", "GRISMC", "A", 2, NIRCAM_ORDERS,
             (2.4, 5.0), (3.1, 4.0)),
        Mode("B-R", "NIRCAM", "NRC_WFSS", "NRCBLONG", "F444W", "GRISMR", "B", 1,
             {1: (1530.9, -2589.6), 2: (-859.6, -5179.3)}, (2.4, 5.0), (3.86, 4.99)),
        Mode("B-C", "NIRCAM", "NRC_WFSS", "NRCBLONG", "F444W", "GRISMC", "B", 2, NIRCAM_ORDERS,
             (2.4, 5.0), (3.86, 4.99)),
        Mode("NIS-R", "NIRISS", "NIS_WFSS", "NIS", "GR150R", "F115W", None, 2, NIRISS_ORDERS,
             NIS_WAVES, NIS_BAND, 0.3),
        Mode("NIS-C", "NIRISS", "NIS_WFSS", "NIS", "GR150C", "F115W", None, 1, NIRISS_ORDERS,
             NIS_WAVES, NIS_BAND, -0.2),
        Mode("MIRI", "MIRI", "MIR_WFSS", "MIRIMAGE", "P750L", "", None, 2, {1: (-300.0, 390.0)},
             (5.0, 14.0), (5.0, 14.0)),
    )
}  # fmt: skip


def dispersion(mode):
    """The transform grism_detector → detector with its inverse, as assign_wcs builds it."""
    trace, across, waves, inverse = [], [], [], []
    first, last = mode.wavelengths
    for offset, length in mode.orders.values():
        trace.append([plane(offset, 2e-3, -1e-3), plane(length, 1e-6 * length, 2e-5)])
        across.append([plane(0.7, 1e-4, 3e-4), plane(-1.3, 2e-4, 0.0)])
        waves.append(Polynomial1D(1, c0=first, c1=last - first))
        inverse.append(Polynomial1D(1, c0=-first / (last - first), c1=1 / (last - first)))
    x, y = (trace, across) if mode.axis == 1 else (across, trace)
    orders = list(mode.orders)
    if mode.instrument == "NIRCAM":
        row = mode.axis == 1
        forward = (
            grisms.NIRCAMForwardRowGrismDispersion if row
            else grisms.NIRCAMForwardColumnGrismDispersion
        )  # fmt: skip
        # As the flight references: wavelengths depend on the place too, and have no inverse.
        waves = [[plane(first, 1e-6, 2e-6), plane(last - first, -1e-6, 0.0)] for _ in orders]
        models = {"lmodels": waves, "xmodels": x, "ymodels": y}
        transform = forward(orders, **models)
        transform.inverse = grisms.NIRCAMBackwardGrismDispersion(orders, **models)
    elif mode.instrument == "NIRISS":
        forward = (
            grisms.NIRISSForwardRowGrismDispersion if mode.axis == 1
            else grisms.NIRISSForwardColumnGrismDispersion
        )  # fmt: skip
        transform = forward(orders, lmodels=waves, xmodels=x, ymodels=y, theta=mode.theta)
        transform.inverse = grisms.NIRISSBackwardGrismDispersion(
            orders, lmodels=inverse, xmodels=x, ymodels=y, theta=-mode.theta
        )
    else:
        transform = grisms.MIRIWFSSForwardDispersion(orders, lmodels=waves, xmodels=x, ymodels=y)
        transform.inverse = grisms.MIRIWFSSBackwardDispersion(
            orders, lmodels=inverse, xmodels=x, ymodels=y
        )
    return transform


def plane(c0, cx, cy):
    return Polynomial2D(1, c0_0=c0, c1_0=cx, c0_1=cy)


def imaging(corner, pixel=0.063):
    """Detector pixels of a subarray with this 0-based corner → sky."""
    x0, y0 = corner
    centre = 1023.5
    to_plane = (
        Shift(x0 - centre) & Shift(y0 - centre)
        | Scale(-pixel / 3600) & Scale(pixel / 3600)
        | Rotation2D(33.0)
    )
    return to_plane | Pix2Sky_TAN() | RotateNative2Celestial(RA, DEC, 180.0)


def grism_wcs(mode, corner, transform=None):
    """A WCS with the frames that assign_wcs gives: grism_detector, detector, world."""
    spectral = cf.SpectralFrame(name="spectral", axes_order=(2,), unit=(u.micron,))
    order = cf.CoordinateFrame(1, "OTHER", (3,), unit=(u.one,), name="order")
    pixels = cf.Frame2D(name="pixels", axes_order=(0, 1), unit=(u.pix, u.pix))
    sky = cf.CelestialFrame(name="sky", axes_order=(0, 1), reference_frame=coord.ICRS())
    grism = cf.Frame2D(name="grism_detector", axes_order=(0, 1), unit=(u.pix, u.pix))
    detector = cf.CompositeFrame([pixels, spectral, order], name="detector")
    world = cf.CompositeFrame([sky, spectral, order], name="world")
    to_detector = dispersion(mode) if transform is None else transform
    to_sky = imaging(corner) & Identity(2)
    return WCS([(grism, to_detector), (detector, to_sky), (world, None)])


def exposure(mode, shape, corner=(0, 0), *, rng=None, wcs=True):
    """An ImageModel of noise; ``corner`` is 0-based."""
    model = datamodels.ImageModel(shape, validate_on_assignment=False)
    rng = rng or np.random.default_rng(0)
    model.data = rng.normal(0.5, 0.05, shape).astype(np.float32)
    model.err = np.full(shape, 0.05, np.float32)
    model.dq = np.zeros(shape, np.uint32)
    model.meta.filename = "jw_test_rate.fits"
    model.meta.instrument.name = mode.instrument
    model.meta.instrument.detector = mode.detector
    model.meta.instrument.filter = mode.filter
    model.meta.instrument.pupil = mode.pupil or None
    model.meta.instrument.module = mode.module
    model.meta.exposure.type = mode.exp_type
    model.meta.observation.date, model.meta.observation.time = "2026-01-01", "12:00:00"
    model.meta.subarray.xstart, model.meta.subarray.ystart = corner[0] + 1, corner[1] + 1
    model.meta.subarray.xsize, model.meta.subarray.ysize = shape[1], shape[0]
    model.meta.wcsinfo.dispersion_direction = mode.axis
    if wcs:
        model.meta.wcs = grism_wcs(mode, corner)
    return model


def write_catalog(path, mode, shape, corner, n, rng, *, drop=(), abmag=None):
    """A catalogue of n sources on and around the frame; some magnitudes are NaN."""
    ny, nx = shape
    reach = 1800 if mode.instrument == "NIRCAM" else 500
    x = rng.uniform(-reach, nx + reach, n) if mode.axis == 1 else rng.uniform(-30, nx + 30, n)
    y = rng.uniform(-reach, ny + reach, n) if mode.axis == 2 else rng.uniform(-30, ny + 30, n)
    width, height = rng.uniform(0.2, 15, (2, n))
    to_sky = imaging(corner)
    table = QTable()
    table["label"] = np.arange(1, n + 1)
    table["xcentroid"], table["ycentroid"] = x * u.pix, y * u.pix
    table["sky_centroid"] = coord.SkyCoord(*to_sky(x, y), unit="deg")
    for name, sx, sy in (("ll", -1, -1), ("lr", 1, -1), ("ul", -1, 1), ("ur", 1, 1)):
        ra, dec = to_sky(x + sx * width, y + sy * height)
        table[f"sky_bbox_{name}"] = coord.SkyCoord(ra, dec, unit="deg")
    mags = rng.uniform(18, 28, n) if abmag is None else np.broadcast_to(abmag, n).astype(float)
    if abmag is None:
        mags[rng.random(n) < 0.1] = np.nan
    table["isophotal_abmag"] = mags
    table["isophotal_abmag_err"] = np.full(n, 0.1)
    table["is_extended"] = rng.random(n) < 0.5
    table.remove_columns(list(drop))
    table.write(str(path), format="ascii.ecsv", overwrite=True)
    return Path(path)


def write_ranges(path, mode, *, extract=None, filters=None, exp_type=None):
    """A wavelengthrange reference of one mode."""
    rows = [
        [order, name, *mode.band] for name in filters or (mode.blocking,) for order in mode.orders
    ]
    chosen = extract or [order for order in mode.orders if order in (1, 2)]
    model = datamodels.WavelengthrangeModel(
        wrange=rows,
        order=list(mode.orders),
        extract_orders=[[name, chosen] for name in filters or (mode.blocking,)],
        wunits=u.micron,
    )
    model.meta.exposure.type = exp_type or mode.exp_type
    model.meta.instrument.name = mode.instrument
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(str(path))
    return Path(path)


def write_reference(path, data, *, dq=None, corner=(0, 0), instrument="NIRCAM", dq_def=None):
    """A wfssbkg reference; ``corner`` is 0-based."""
    model = datamodels.WfssBkgModel(np.asarray(data, np.float32))
    model.dq = np.zeros(data.shape, np.uint32) if dq is None else dq
    model.meta.instrument.name = instrument
    model.meta.subarray.xstart, model.meta.subarray.ystart = corner[0] + 1, corner[1] + 1
    model.meta.subarray.xsize, model.meta.subarray.ysize = data.shape[1], data.shape[0]
    if dq_def is not None:
        model.dq_def = dq_def
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(str(path))
    return Path(path)


def make_scene(tmp_path, mode, sources=12, *, wcs=True):
    """A program of one exposure and its catalog, and references in a folder."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:400, :500]
    sky = (1 + 0.3 * np.sin(x / 150) + y / 900).astype(np.float32)
    program, references = tmp_path / "program", tmp_path / "references"
    program.mkdir()
    references.mkdir()
    model = exposure(mode, SHAPE, CORNER, wcs=wcs)
    part = sky[CORNER[1] : CORNER[1] + SHAPE[0], CORNER[0] : CORNER[0] + SHAPE[1]]
    model.err = np.full(SHAPE, 0.05, np.float32)
    model.data = (SCALE * part + rng.normal(0, 0.05, SHAPE)).astype(np.float32)
    model.meta.filename = "e1_rate.fits"
    model.save(str(program / "e1_rate.fits"))
    write_catalog(program / "e1_cat.ecsv", mode, SHAPE, CORNER, sources, rng)
    ranges = write_ranges(references / "ranges.asdf", mode)
    with datamodels.WavelengthrangeModel(str(ranges)) as reference:
        reference.meta.instrument.name = mode.instrument
        reference.meta.reftype = "wavelengthrange"
        reference.save(str(ranges))
    background = write_reference(references / "sky.fits", sky, instrument=mode.instrument)
    with datamodels.WfssBkgModel(str(background)) as reference:
        reference.meta.reftype = "bkg"
        reference.meta.exposure.type = mode.exp_type
        reference.save(str(background))
    write_association(
        program / "e1_asn.json", [("e1", "e1_rate.fits", [])], [("e1_cat.ecsv", "sourcecat")]
    )
    return program, references
