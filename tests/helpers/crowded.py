"""Dithered exposures of one crowded field, each at a level of its own, with a WCS and the truth."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy import coordinates as coord
from astropy import units as u
from astropy.io import fits
from astropy.modeling.models import (
    Identity,
    Mapping,
    Pix2Sky_TAN,
    Polynomial2D,
    RotateNative2Celestial,
    Rotation2D,
    Scale,
    Shift,
)
from astropy.wcs import WCS as HeaderWCS
from gwcs import WCS
from gwcs import coordinate_frames as cf

from tests.helpers.exposures import make_model, write_association

RA, DEC, PIXEL = 0.001, 12.0, 0.11
"""Where the field is: across the meridian at 0; degrees, and arcseconds of a pixel."""

SHAPE = (130, 144)

FWHM = 2.2

CORE = 3.0
"""Pixels around a star that its mask must hold."""


@dataclass(frozen=True)
class Field:
    """What was written, and what is true.

    ``ra`` and ``dec`` are of the stars, ``x`` and ``y`` (n, stars) are their places in each
    exposure, ``light`` (n, ny, nx) is theirs, ``levels`` what was done to each exposure's sky.
    """

    paths: list[Path]
    ra: np.ndarray
    dec: np.ndarray
    x: np.ndarray
    y: np.ndarray
    light: np.ndarray
    levels: np.ndarray

    def cores(self, i, radius=CORE):
        """The pixels within a distance of a star."""
        rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
        near = np.zeros(SHAPE, bool)
        for x, y in zip(self.x[i], self.y[i], strict=True):
            near |= (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
        return near


def header_of(i=0, shape=SHAPE, pixel=PIXEL):
    """The WCS of a dithered exposure as a rate file's header has it."""
    angle = np.radians(20.0 + 5 * i)
    header = {"ctype1": "RA---TAN", "ctype2": "DEC--TAN", "cunit1": "deg", "cunit2": "deg",
              "crval1": RA, "crval2": DEC, "wcsaxes": 2,
              "crpix1": shape[1] / 2 + 11.0 * i, "crpix2": shape[0] / 2 - 7.3 * i,
              "cdelt1": pixel / 3600, "cdelt2": pixel / 3600,
              "pc1_1": -np.cos(angle), "pc1_2": np.sin(angle),
              "pc2_1": np.sin(angle), "pc2_2": np.cos(angle)}  # fmt: skip
    return header


def cards(header):
    return fits.Header({name.upper(): value for name, value in header.items()})


def gwcs_of(header, bend=2e-4):
    """The same as a gwcs, with a distortion that a header does not have: rows bend columns."""
    bent = Mapping((0, 1, 1)) | Polynomial2D(2, c1_0=1, c0_2=bend) & Identity(1)
    bent.inverse = Mapping((0, 1, 1)) | Polynomial2D(2, c1_0=1, c0_2=-bend) & Identity(1)
    angle = np.degrees(np.arctan2(header["pc1_2"], -header["pc1_1"]))
    scale = header["cdelt1"]
    to_plane = (
        Shift(1 - header["crpix1"]) & Shift(1 - header["crpix2"])
        | bent
        | Rotation2D(angle)
        | Scale(-scale) & Scale(scale)
    )
    sky = Pix2Sky_TAN() | RotateNative2Celestial(header["crval1"], header["crval2"], 180.0)
    detector = cf.Frame2D(name="detector", axes_order=(0, 1), unit=(u.pix, u.pix))
    world = cf.CelestialFrame(name="world", axes_order=(0, 1), reference_frame=coord.ICRS())
    return WCS([(detector, to_plane | sky), (world, None)])


def to_pixel(header, wcs, ra, dec):
    if wcs is None:
        return HeaderWCS(cards(header)).wcs_world2pix(ra, dec, 0)
    return wcs.backward_transform(ra, dec)


def write_field(folder, n=4, *, wcs="header", stars=40, levels=None, factors=None, seed=0,
                cubes=(), noise=1.0, backgrounds=True):  # fmt: skip
    """Write dithered exposures e0 … of a field, each the background of all others.

    ``wcs`` is "header", "gwcs" or "none"; those of ``cubes`` have two integrations.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    levels = np.zeros(n) if levels is None else np.asarray(levels, float)
    factors = np.ones(n) if factors is None else np.asarray(factors, float)
    reach = 0.6 * PIXEL * max(SHAPE) / 3600
    dec = DEC + rng.uniform(-reach, reach, stars)
    ra = (RA + rng.uniform(-reach, reach, stars) / np.cos(np.radians(DEC))) % 360
    peak = 20 * 20 ** rng.random(stars)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    paths, places, lights = [], [], []
    for i in range(n):
        header = header_of(i)
        known = gwcs_of(header) if wcs == "gwcs" else None
        x, y = to_pixel(header, known, ra, dec)
        light = np.zeros(SHAPE)
        for cx, cy, top in zip(x, y, peak, strict=True):
            distance = (columns - cx) ** 2 + (rows - cy) ** 2
            light += top * np.exp(-4 * np.log(2) * distance / FWHM**2)
        sky = (60 + 0.02 * columns) * factors[i] + levels[i]
        shape = (2, *SHAPE) if i in cubes else SHAPE
        image = sky + light + rng.normal(0, noise, shape)
        dq = (rng.random(shape) < 0.01).astype(np.uint32)
        image[dq > 0] = 1e5
        with make_model(image, noise, dq) as model:
            model.meta.observation.exposure_number = str(i + 1)
            if wcs != "none":
                for key, value in header.items():
                    setattr(model.meta.wcsinfo, key, value)
            if known is not None:
                model.meta.wcs = known
            path = folder / f"e{i}_{'rateints' if i in cubes else 'rate'}.fits"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.save(str(path))
        paths.append(path)
        places.append((x, y))
        lights.append(light)
    if backgrounds:
        for i, path in enumerate(paths):
            others = [each.name for each in paths if each != path]
            write_association(folder / f"a{i}_asn.json", [(f"p{i}", path.name, others)])
    x, y = np.moveaxis(np.array(places), 1, 0)
    return Field(paths, ra, dec, x, y, np.array(lights), levels)


def write_map(path, field, *, radius=CORE, shape=(360, 380), pixel=0.08, wcs=None, keys=True):
    """Write a segmentation image of the field, on pixels of its own."""
    header = {**header_of(0, shape, pixel), "crpix1": 190.5, "crpix2": 180.5}
    x, y = to_pixel(header, None if wcs is None else wcs(header), field.ra, field.dec)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, np.uint32)
    for label, (cx, cy) in enumerate(zip(x, y, strict=True), start=1):
        labels[(columns - cx) ** 2 + (rows - cy) ** 2 <= (radius * PIXEL / pixel) ** 2] = label
    own = cards(header) if keys else fits.Header()
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(labels, own, name="SCI")]
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return header
