"""From a slitless program's truth to its files: exposures, catalogue, references, associations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.io.models import build_model, write_model
from bkgflow.simulate.files.catalog import CORNERS, write_catalogue
from bkgflow.simulate.files.grism import attach_wcs, grism_wcs, pixel_to_sky
from bkgflow.simulate.headers import exposure_meta
from bkgflow.simulate.noise import defects
from bkgflow.simulate.sky import Star, stars_image
from bkgflow.simulate.wfss_field import wcsinfo_of
from bkgflow.simulate.wfss_modes import Slitless
from bkgflow.simulate.wfss_references import REFERENCES, write_templates, write_wavelengthrange
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
    "SimulatedSlitless",
    "member_names",
    "write_slitless",
]

DIRECT_LIGHT = 50.0
"""A source's flux in the direct image over the light per pixel of its spectrum."""

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
    components = write_templates(folder, truth, slitless, templates)
    write_wavelengthrange(folder, slitless)
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
