"""What goes with slitless exposures: references, direct image, segmentation map, catalog."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import DO_NOT_USE, Window
from bkgflow.simulate.files.catalog import catalog_text
from bkgflow.simulate.files.models import build_model
from bkgflow.simulate.headers import exposure_meta, wcsinfo
from bkgflow.simulate.instruments import Slitless
from bkgflow.simulate.scene import Extra
from bkgflow.simulate.sky import Star, stars_image
from bkgflow.simulate.spectra import BOX_RADIUS, SlitlessExposure, SlitlessTruth, Source
from bkgflow.simulate.templates import Template

__all__ = ["component_names", "direct_files", "member_names", "reference_files"]

REFERENCES = "references"
"""The folder of the reference files, below the program's."""

DIRECT_LIGHT = 50.0
"""A source's flux in the direct image over the light per pixel of its spectrum."""


def member_names(slitless: Slitless) -> dict[str, str]:
    """Return the files that go with every exposure, by their type in an association."""
    direct = slitless.direct
    root = f"jw{direct.program}-o001_t001_{direct.name.lower()}_{slitless.element}"
    return {
        "direct_image": f"{root}_i2d.fits",
        "sourcecat": f"{root}_cat.ecsv",
        "segmap": f"{root}_segm.fits",
    }


def component_names(slitless: Slitless, components: int) -> tuple[str, ...]:
    """Return the templates' paths below the program's folder.

    Several lie in a folder of their own: beside each other, no header could tell which is which.
    """
    if components == 1:
        return (_bkg_name(slitless),)
    return tuple(
        f"{REFERENCES}/components/{_stem(slitless)}_bkg{i + 1}.fits" for i in range(components)
    )


def reference_files(
    truth: SlitlessTruth, slitless: Slitless, templates: Sequence[Template]
) -> Iterator[Extra]:
    """Make the wavelengths and the sky: for several components also their mean mixture."""
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


def _template(kind: str, name: str, slitless: Slitless, template: Template) -> Extra:
    instrument = slitless.dispersed
    frame, axes, optics = instrument.frame, instrument.axes, dict(instrument.optics)
    optics.pop("filter_position", None)  # a grism's own, which its references leave open
    meta = _reference_meta(slitless, "bkg", "Background of slitless exposures")
    meta |= {f"instrument.{name}": value for name, value in optics.items()}
    meta |= {"instrument.detector": instrument.detector, "subarray.name": "FULL"}
    meta |= {"subarray.xstart": 1, "subarray.ystart": 1}
    meta |= {"subarray.xsize": frame.nx, "subarray.ysize": frame.ny}
    meta |= {"subarray.fastaxis": axes[0], "subarray.slowaxis": axes[1]}
    arrays = {
        "data": template,
        "err": np.zeros_like(template),
        "dq": np.where(template == 0, DO_NOT_USE, 0).astype(np.uint32),
    }
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
        "telescope": "JWST",
        "instrument.name": slitless.dispersed.name,
        "exposure.type": slitless.dispersed.exp_type,
        "reftype": reftype,
        "useafter": "2022-01-01T00:00:00",
        "author": "bkgflow simulate",
        "pedigree": "DUMMY",
        "description": description,
    }


def _bkg_name(slitless: Slitless) -> str:
    return f"{REFERENCES}/{_stem(slitless)}_bkg.fits"


def _stem(slitless: Slitless) -> str:
    instrument = slitless.dispersed
    elements = [
        str(instrument.optics[name]) for name in ("filter", "pupil") if name in instrument.optics
    ]
    return "_".join([f"jw{instrument.program}", instrument.detector, *elements]).lower()


def direct_files(exposure: SlitlessExposure, slitless: Slitless) -> Iterator[Extra]:
    """Make the direct image, its segments and its catalog: those of the first pointing."""
    window, sources, instrument = exposure.window, exposure.sources, slitless.direct
    names = member_names(slitless)
    stars = [Star(each.x, each.y, DIRECT_LIGHT * each.flux) for each in sources]
    image = (stars_image(stars, window) + instrument.sky.level).astype(np.float32)
    meta = exposure_meta(instrument, exposure) | {"filename": names["direct_image"]}
    dq = np.zeros(window.shape, np.uint32)
    planes = {"data": image, "err": np.sqrt(np.abs(image)), "dq": dq}
    yield Extra("direct_image", names["direct_image"], build_model("ImageModel", planes, meta))
    meta |= {"filename": names["segmap"]}
    planes = {"data": _segments(sources, window)}
    yield Extra("segmap", names["segmap"], build_model("SegmentationMapModel", planes, meta))
    x, y, flux, abmag = (
        np.array([getattr(each, name) for each in sources]) for name in ("x", "y", "flux", "abmag")
    )
    catalog = catalog_text(
        wcsinfo(instrument, exposure),
        x - window.x0,
        y - window.y0,
        radius=BOX_RADIUS,
        flux=DIRECT_LIGHT * flux,
        abmag=abmag,
    )
    yield Extra("sourcecat", names["sourcecat"], catalog)


def _segments(sources: Sequence[Source], window: Window) -> NDArray[np.uint32]:
    segments = np.zeros(window.shape, np.uint32)
    for source in sources:
        x, y = round(source.x) - window.x0, round(source.y) - window.y0
        rows, columns = (
            slice(max(0, middle - BOX_RADIUS), max(0, middle + BOX_RADIUS + 1)) for middle in (y, x)
        )
        segments[rows, columns] = source.label
    return segments
