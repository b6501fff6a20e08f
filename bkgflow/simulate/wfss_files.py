"""From a slitless program's truth to its files: exposures, catalogue, references, associations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import DO_NOT_USE, Window
from bkgflow.io.catalogue_writing import CORNERS, write_catalogue
from bkgflow.io.grism import attach_wcs, grism_wcs, pixel_to_sky
from bkgflow.io.models import build_model, write_model
from bkgflow.simulate.headers import exposure_meta
from bkgflow.simulate.modes import Mode
from bkgflow.simulate.noise import defects
from bkgflow.simulate.sky import Star, stars_image
from bkgflow.simulate.truth import Exposure
from bkgflow.simulate.wfss_modes import BANDS, EXTRACTED, ORDERS, Slitless
from bkgflow.simulate.wfss_truth import (
    BOX_RADIUS,
    SlitlessExposure,
    SlitlessTruth,
    Source,
    spectra_image,
)
from bkgflow.simulate.writing import (
    HOT_EXCESS,
    measure,
    prepare_folder,
    unwritable,
    write_association,
)

__all__ = [
    "REFERENCES",
    "SimulatedSlitless",
    "component_names",
    "member_names",
    "wcsinfo_of",
    "write_slitless",
]

REFERENCES = "references"
"""The folder of the reference files, below the program's."""

DIRECT_LIGHT = 50.0
"""A source's flux in the direct image over the light per pixel of its spectrum."""

USEAFTER = "2022-01-01T00:00:00"

Image = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SimulatedSlitless:
    """A simulated slitless program on disk.

    Attributes
    ----------
    folder : Path
        Where it lies.
    associations : tuple of Path
        One for each exposure.
    exposures : tuple of Path
        The dispersed exposures.
    truth : SlitlessTruth
        Everything it was drawn from; ``SlitlessTruth.load(folder)`` gives the same.
    references : Path
        The folder with one ``bkg`` and one ``wavelengthrange`` reference.
    components : tuple of Path
        The template of each component of the sky; for a single one, the ``bkg`` reference.
    catalogue, direct_image : Path
        The source catalogue, and the image that it belongs to.
    """

    folder: Path
    associations: tuple[Path, ...]
    exposures: tuple[Path, ...]
    truth: SlitlessTruth
    references: Path
    components: tuple[Path, ...]
    catalogue: Path
    direct_image: Path


def component_names(slitless: Slitless, components: int) -> tuple[str, ...]:
    """Return the templates' paths below the program's folder.

    Several lie in a folder of their own: beside each other, no header could tell which is which.
    """
    stem = _stem(slitless)
    if components == 1:
        return (f"{REFERENCES}/{stem}_bkg.fits",)
    folder = f"{REFERENCES}/components"
    return tuple(f"{folder}/{stem}_bkg{i + 1}.fits" for i in range(components))


def member_names(slitless: Slitless) -> dict[str, str]:
    """Return the files that go with every exposure, by their type in an association."""
    direct = slitless.direct
    instrument = direct.instrument.lower()
    elements = {"NIRISS": f"clear-{slitless.band}", "NIRCAM": f"{slitless.band}-clear"}
    element = elements.get(direct.instrument, str(direct.optics["filter"])).lower()
    root = f"jw{direct.program}-o001_t001_{instrument}_{element}"
    return {
        "direct_image": f"{root}_i2d.fits",
        "sourcecat": f"{root}_cat.ecsv",
        "segmap": f"{root}_segm.fits",
    }


def wcsinfo_of(mode: Mode, exposure: Exposure) -> dict[str, Any]:
    """Return an exposure's header values below ``meta.wcsinfo``."""
    prefix = "wcsinfo."
    return {
        place.removeprefix(prefix): value
        for place, value in exposure_meta(mode, exposure).items()
        if place.startswith(prefix)
    }


def write_slitless(
    folder: str | Path,
    truth: SlitlessTruth,
    slitless: Slitless,
    templates: Sequence[Image],
    on_exposure: Callable[[Path], None] | None = None,
) -> SimulatedSlitless:
    """Write all files of a program; its truth comes last, as the sign that it is whole.

    Parameters
    ----------
    folder : path-like
        Created where it is missing; it may hold the same program, but no other one.
    truth : SlitlessTruth
        What to draw.
    slitless : Slitless
        How it is observed.
    templates : sequence of (ny, nx) float32
        The components of the sky on the whole detector, in the order of the scales.
    on_exposure : callable, optional
        Called with the path of each exposure as soon as it is written.

    Raises
    ------
    OutputError
        Where the folder cannot be written to, or holds another simulated program.
    """
    folder = prepare_folder(folder, truth)
    components = _write_templates(folder, truth, slitless, templates)
    _write_wavelengthrange(folder, slitless)
    members = member_names(slitless)
    _write_direct(folder, truth, slitless, members)
    exposures = []
    for exposure in truth.exposures:
        exposures.append(_write_exposure(folder, truth, slitless, templates, exposure))
        if on_exposure is not None:
            on_exposure(exposures[-1])
    try:
        others = [(name, kind) for kind, name in members.items()]
        associations = tuple(
            write_association(folder, slitless.mode, exposure, others)
            for exposure in truth.exposures
        )
        truth.save(folder)
    except OSError as error:
        raise unwritable(folder, error) from error
    return SimulatedSlitless(
        folder=folder,
        associations=associations,
        exposures=tuple(exposures),
        truth=truth,
        references=folder / REFERENCES,
        components=components,
        catalogue=folder / members["sourcecat"],
        direct_image=folder / members["direct_image"],
    )


def _write_exposure(
    folder: Path,
    truth: SlitlessTruth,
    slitless: Slitless,
    templates: Sequence[Image],
    exposure: SlitlessExposure,
) -> Path:
    mode, window = slitless.mode, exposure.window
    here = window.slices_in(mode.frame)
    rate = spectra_image(exposure.sources, truth.beams, window)
    for scale, template in zip(exposure.scales, templates, strict=True):
        rate += scale * template[here].astype(np.float64)
    flags = defects(window, mode.frame, mode.instrument, truth.seed)
    arrays = measure([np.maximum(rate, 0.0)], exposure, truth, flags, HOT_EXCESS * mode.sky.level)
    meta = exposure_meta(mode, exposure)
    meta["wcsinfo.dispersion_direction"] = 1 if truth.axis == "x" else 2
    wcs = grism_wcs(truth.instrument, truth.axis, truth.beams, wcsinfo_of(mode, exposure))
    planes = {name: array[0] for name, array in arrays.items()}
    with build_model("ImageModel", planes, meta) as model:
        attach_wcs(model, wcs)
        return write_model(model, folder / exposure.name)


def _write_templates(
    folder: Path, truth: SlitlessTruth, slitless: Slitless, templates: Sequence[Image]
) -> tuple[Path, ...]:
    """Write each component, and for several of them their mean mixture as the reference."""
    paths = [folder / name for name in truth.components]
    for path, template in zip(paths, templates, strict=True):
        _write_template(path, slitless, template)
    if len(paths) > 1:
        mean = np.mean([exposure.scales for exposure in truth.exposures], axis=0)
        mixture = sum(scale * template for scale, template in zip(mean, templates, strict=True))
        path = folder / component_names(slitless, 1)[0]
        _write_template(path, slitless, np.asarray(mixture, np.float32))
    return tuple(paths)


def _write_template(path: Path, slitless: Slitless, template: Image) -> None:
    mode = slitless.mode
    frame = mode.frame
    optics = {name: value for name, value in mode.optics.items() if name != "filter_position"}
    meta = _reference_meta(slitless, "bkg", "Background of slitless exposures") | {
        **{f"instrument.{name}": value for name, value in optics.items()},
        "instrument.detector": mode.detector,
        "subarray.name": "FULL",
        **{"subarray.xstart": 1, "subarray.ystart": 1},
        **{"subarray.xsize": frame.nx, "subarray.ysize": frame.ny},
        **{"subarray.fastaxis": mode.axes[0], "subarray.slowaxis": mode.axes[1]},
    }
    arrays = {
        "data": template,
        "err": np.zeros_like(template),
        "dq": np.where(template == 0, DO_NOT_USE, 0).astype(np.uint32),
    }
    with build_model("WfssBkgModel", arrays, meta) as model:
        write_model(model, path)


def _write_wavelengthrange(folder: Path, slitless: Slitless) -> None:
    """Write the wavelengths of every order, with those to extract for every passband."""
    instrument = slitless.mode.instrument
    orders, bands = ORDERS[instrument], BANDS[instrument]
    tables = {
        "wrange": [[order, band, *ends] for order in orders for band, ends in bands.items()],
        "order": list(orders),
        "wrange_selector": list(bands),
        "extract_orders": [[band, list(EXTRACTED[instrument])] for band in bands],
    }
    meta = _reference_meta(slitless, "wavelengthrange", "Wavelengths of slitless orders")
    meta["exposure.p_exptype"] = f"{slitless.mode.exp_type}|"
    name = f"jw{slitless.mode.program}_{instrument.lower()}_wavelengthrange.asdf"
    with build_model("WavelengthrangeModel", tables, meta) as model:
        write_model(model, folder / REFERENCES / name)


def _reference_meta(slitless: Slitless, reftype: str, description: str) -> dict[str, object]:
    return {
        "telescope": "JWST",
        "instrument.name": slitless.mode.instrument,
        "exposure.type": slitless.mode.exp_type,
        "reftype": reftype,
        "useafter": USEAFTER,
        "author": "bkgflow simulate",
        "pedigree": "DUMMY",
        "description": description,
    }


def _write_direct(
    folder: Path, truth: SlitlessTruth, slitless: Slitless, members: Mapping[str, str]
) -> None:
    """Write the direct image, its segments and its catalogue: those of the first pointing."""
    exposure, mode = truth.exposures[0], slitless.direct
    window = exposure.window
    sources = exposure.sources
    stars = [Star(each.x, each.y, DIRECT_LIGHT * each.flux) for each in sources]
    image = (stars_image(stars, window) + mode.sky.level).astype(np.float32)
    meta = exposure_meta(mode, exposure.model_copy(update={"name": members["direct_image"]}))
    planes = {
        "data": image,
        "err": np.sqrt(np.abs(image)),
        "dq": np.zeros(window.shape, np.uint32),
    }
    with build_model("ImageModel", planes, meta) as model:
        write_model(model, folder / members["direct_image"])
    meta["filename"] = members["segmap"]
    with build_model("SegmentationMapModel", {"data": _segments(sources, window)}, meta) as model:
        write_model(model, folder / members["segmap"])
    _write_sources(folder / members["sourcecat"], sources, wcsinfo_of(mode, exposure), window)


def _segments(sources: Sequence[Source], window: Window) -> NDArray[np.uint32]:
    segments = np.zeros(window.shape, np.uint32)
    for source in sources:
        x, y = round(source.x) - window.x0, round(source.y) - window.y0
        rows, columns = (
            slice(max(0, middle - BOX_RADIUS), max(0, middle + BOX_RADIUS + 1)) for middle in (y, x)
        )
        segments[rows, columns] = source.label
    return segments


def _write_sources(
    path: Path, sources: Sequence[Source], wcsinfo: Mapping[str, Any], window: Window
) -> None:
    """Write the catalogue: each source's place on the sky and the corners of its box."""
    x, y, flux, abmag = (
        np.array([getattr(each, name) for each in sources]) for name in ("x", "y", "flux", "abmag")
    )
    x, y = x - window.x0, y - window.y0
    steps = {"l": -BOX_RADIUS, "r": BOX_RADIUS, "u": BOX_RADIUS}
    places = {"centroid": pixel_to_sky(wcsinfo, x, y)} | {
        corner: pixel_to_sky(wcsinfo, x + steps[corner[1]], y + steps[corner[0]])
        for corner in CORNERS
    }
    area = float((2 * BOX_RADIUS + 1) ** 2)
    write_catalogue(path, (x, y), places, DIRECT_LIGHT * flux, abmag, area)


def _stem(slitless: Slitless) -> str:
    mode = slitless.mode
    elements = [str(mode.optics[name]) for name in ("filter", "pupil") if name in mode.optics]
    return "_".join([f"jw{mode.program}", mode.detector, *elements]).lower()
