"""What goes with slitless exposures: references, direct image, segmentation map, catalog."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import StringIO

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable
from numpy.typing import NDArray

from bkgflow.detector import DO_NOT_USE, Window
from bkgflow.simulate.exposures import exposure_meta, projection, subarray
from bkgflow.simulate.grism import Projection, pixel_to_sky
from bkgflow.simulate.instruments import Slitless
from bkgflow.simulate.sky import Star, stars_image
from bkgflow.simulate.spectra import BOX_RADIUS, SlitlessTruth, Source
from bkgflow.simulate.writer import Extra, build_model

__all__ = ["all_files", "component_names", "member_names"]

REFERENCES = "references"
"""The folder of the reference files, below the program's."""

DIRECT_LIGHT = 50.0
"""A source's flux in the direct image over the light per pixel of its spectrum."""

CORNERS = ("ll", "ul", "lr", "ur")
"""Corners of a source's box in the direct image: lower or upper, left or right."""


def member_names(slitless: Slitless) -> dict[str, str]:
    """Return the files that go with every exposure, by their type in an association."""
    direct = slitless.direct
    root = f"jw{direct.program}-o001_t001_{direct.name.lower()}_{slitless.element}"
    suffixes = {"direct_image": "i2d.fits", "sourcecat": "cat.ecsv", "segmap": "segm.fits"}
    return {exptype: f"{root}_{suffix}" for exptype, suffix in suffixes.items()}


def component_names(slitless: Slitless, components: int) -> tuple[str, ...]:
    """Return the templates' paths below the program's folder.

    Several lie in a folder of their own: beside each other, no header could tell which is which.
    """
    if components == 1:
        return (_bkg_name(slitless),)
    return tuple(_bkg_name(slitless, "components/", i + 1) for i in range(components))


def all_files(
    truth: SlitlessTruth, slitless: Slitless, templates: Sequence[NDArray[np.float32]]
) -> Iterator[Extra]:
    """Make the wavelengths, the sky (for several components also their mean mixture), the field."""
    yield _wavelengthrange(slitless)
    bkg = templates[0]
    if len(templates) > 1:
        components = zip(truth.components, templates, strict=True)
        for i, (name, template) in enumerate(components, start=1):
            yield _template(f"component{i}", name, slitless, template)
        mean = np.mean([exposure.scales for exposure in truth.exposures], axis=0)
        mixture = sum(scale * template for scale, template in zip(mean, templates, strict=True))
        bkg = np.asarray(mixture, np.float32)
    yield _template("bkg", _bkg_name(slitless), slitless, bkg)
    yield from _direct_files(truth, slitless)


def _template(kind: str, name: str, slitless: Slitless, template: NDArray[np.float32]) -> Extra:
    instrument = slitless.dispersed
    axes, optics = instrument.axes, dict(instrument.optics)
    optics.pop("filter_position", None)  # a grism's own, which its references leave open
    meta = _reference_meta(slitless, "bkg", "Background of slitless exposures")
    meta |= {f"instrument.{name}": value for name, value in optics.items()}
    meta |= {"instrument.detector": instrument.detector, **subarray("FULL", instrument.frame)}
    meta |= {"subarray.fastaxis": axes[0], "subarray.slowaxis": axes[1]}
    dq = np.where(template == 0, DO_NOT_USE, 0).astype(np.uint32)
    arrays = {"data": template, "err": np.zeros_like(template), "dq": dq}
    return Extra(kind, name, build_model("WfssBkgModel", arrays, meta))


def _wavelengthrange(slitless: Slitless) -> Extra:
    """Make the wavelengths of every order, with those to extract for every passband."""
    instrument, table = slitless.dispersed, slitless.table
    tables = {
        "wrange": [[m, band, *ends] for m in table.orders for band, ends in table.bands.items()],
        "order": list(table.orders),
        "wrange_selector": list(table.bands),
        "extract_orders": [[band, list(table.extracted)] for band in table.bands],
    }
    meta = _reference_meta(slitless, "wavelengthrange", "Wavelengths of slitless orders")
    meta["exposure.p_exptype"] = f"{instrument.exp_type}|"
    name = f"{REFERENCES}/jw{instrument.program}_{instrument.name.lower()}_wavelengthrange.asdf"
    return Extra("wavelengthrange", name, build_model("WavelengthrangeModel", tables, meta))


def _reference_meta(slitless: Slitless, reftype: str, description: str) -> dict[str, object]:
    return {
        "telescope": "JWST", "instrument.name": slitless.dispersed.name,
        "exposure.type": slitless.dispersed.exp_type, "reftype": reftype,
        "useafter": "2022-01-01T00:00:00", "author": "bkgflow simulate", "pedigree": "DUMMY",
        "description": description,
    }  # fmt: skip


def _bkg_name(slitless: Slitless, folder: str = "", number: int | str = "") -> str:
    camera = slitless.dispersed
    elements = [str(camera.optics[key]) for key in ("filter", "pupil") if key in camera.optics]
    stem = "_".join([f"jw{camera.program}", camera.detector, *elements]).lower()
    return f"{REFERENCES}/{folder}{stem}_bkg{number}.fits"


def _direct_files(truth: SlitlessTruth, slitless: Slitless) -> Iterator[Extra]:
    """Make the direct image, its segments and its catalog: those of the first pointing."""
    exposure, instrument, names = truth.exposures[0], slitless.direct, member_names(slitless)
    window, sources = exposure.window, exposure.sources
    stars = [Star(each.x, each.y, DIRECT_LIGHT * each.flux) for each in sources]
    image = (stars_image(stars, window) + instrument.sky.level).astype(np.float32)
    meta = exposure_meta(instrument, exposure) | {"filename": names["direct_image"]}
    dq = np.zeros(window.shape, np.uint32)
    planes = {"data": image, "err": np.sqrt(np.abs(image)), "dq": dq}
    yield Extra("direct_image", names["direct_image"], build_model("ImageModel", planes, meta))
    meta |= {"filename": names["segmap"]}
    planes = {"data": _segments(sources, window)}
    yield Extra("segmap", names["segmap"], build_model("SegmentationMapModel", planes, meta))
    catalog = _catalog(sources, window, projection(instrument, exposure))
    yield Extra("sourcecat", names["sourcecat"], catalog)


def _catalog(sources: Sequence[Source], window: Window, projection: Projection) -> str:
    """Return a direct image's point sources as the pipeline's ``source_catalog`` has them (ECSV).

    Their fluxes are summed rates.
    """

    def sky(dx: int, dy: int) -> SkyCoord:
        ra, dec = pixel_to_sky(projection, x + dx, y + dy)
        return SkyCoord(ra=ra * u.deg, dec=dec * u.deg)

    x = np.array([each.x for each in sources]) - window.x0
    y = np.array([each.y for each in sources]) - window.y0
    flux = DIRECT_LIGHT * np.array([each.flux for each in sources])
    n, steps = len(flux), {"l": -BOX_RADIUS, "r": BOX_RADIUS, "u": BOX_RADIUS}
    table = QTable()
    table["label"] = np.arange(1, n + 1)
    table["xcentroid"], table["ycentroid"] = x * u.pix, y * u.pix
    table["sky_centroid"] = sky(0, 0)
    table["area"] = np.full(n, float((2 * BOX_RADIUS + 1) ** 2)) * u.pix**2
    table["source_sum"] = flux.astype(np.float32)
    table["source_sum_err"] = np.sqrt(np.abs(flux)).astype(np.float32)
    for axis in ("semimajor", "semiminor"):
        table[f"{axis}_axis_sigma"] = np.full(n, 1.0) * u.pix
    table["orientation"] = np.zeros(n) * u.deg
    for corner in CORNERS:
        table[f"sky_bbox_{corner}"] = sky(steps[corner[1]], steps[corner[0]])
    table["orientation_sky"] = np.zeros(n) * u.deg
    table["isophotal_abmag"] = np.array([each.abmag for each in sources])
    table["isophotal_abmag_err"] = np.full(n, 0.01, np.float32)
    table["is_extended"] = np.zeros(n, bool)
    text = StringIO()
    table.write(text, format="ascii.ecsv")
    return text.getvalue()


def _segments(sources: Sequence[Source], window: Window) -> NDArray[np.uint32]:
    segments = np.zeros(window.shape, np.uint32)
    for source in sources:
        x, y = round(source.x) - window.x0, round(source.y) - window.y0
        rows = slice(max(0, y - BOX_RADIUS), max(0, y + BOX_RADIUS + 1))
        columns = slice(max(0, x - BOX_RADIUS), max(0, x + BOX_RADIUS + 1))
        segments[rows, columns] = source.label
    return segments
