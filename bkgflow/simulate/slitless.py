"""Simulated slitless programs: dispersed exposures of one field under a known sky."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Annotated

import numpy as np
from gwcs import WCS

from bkgflow.detector import Window
from bkgflow.errors import SettingsError
from bkgflow.io.storage.location import split_list
from bkgflow.simulate.arguments import MOST, Argument, OnExposure, Seed, Size, check, check_share
from bkgflow.simulate.grism import Beam, grism_wcs, read_specwcs
from bkgflow.simulate.headers import projection
from bkgflow.simulate.instruments import Instrument, Slitless, slitless_instrument
from bkgflow.simulate.noise import Stream, generator
from bkgflow.simulate.program import TARGET, assemble, cutout, plan_exposure
from bkgflow.simulate.scene import Member, Shot
from bkgflow.simulate.slitless_files import all_files, component_names, member_names
from bkgflow.simulate.spectra import SlitlessExposure, SlitlessTruth, draw_sources, observe
from bkgflow.simulate.templates import MOST_COMPONENTS, Template, built_in_template, read_template
from bkgflow.simulate.truth import Dither, Exposure, Image
from bkgflow.simulate.writer import Simulated, write_program

__all__ = ["simulate_wfss"]

SHARES = ((1.0,), (0.7, 0.3), (0.6, 0.25, 0.15))
"""How much of the sky each component gives, on average."""

CHANGE = 0.3
"""How far a component's light goes up and down between exposures, of its average."""

STEP = (3.0, -2.0)
"""Pixels by which the sources move from one exposure to the next."""

MOST_CROWDED = 0.9

Name = str | PathLike[str]


def simulate_wfss(
    out: str | Path,
    *,
    instrument: Annotated[str, Argument("NIRISS, NIRCam or MIRI.")] = "NIRISS",
    grism: Annotated[str | None, Argument("GR150C, GR150R; GRISMR, GRISMC.", "the first")] = None,
    module: Annotated[str | None, Argument("Of NIRCam: A or B.", "A")] = None,
    band: Annotated[str | None, Argument("Blocking filter.", "the first")] = None,
    exposures: Annotated[int, Argument("Dithered exposures.")] = 2,
    components: Annotated[int, Argument("Components of the sky.")] = 1,
    crowding: Annotated[float, Argument("Share of pixels that boxes cover.")] = 0.15,
    size: Size = None,
    seed: Seed = 0,
    templates: Name | Sequence[Name] | None = None,
    specwcs: str | Path | None = None,
    on_exposure: OnExposure = None,
) -> Simulated[SlitlessTruth]:
    """Simulate dithered slitless exposures of a field of point sources.

    Each exposure comes with an association that names the direct image, its segmentation map
    and its catalog; the reference files lie in a folder below the program's.

    The sky has up to 3 components; each exposure has other scales. The boxes of the spectra
    cover at least the share ``crowding`` of the pixels, up to 0.9, as far as 5000 sources can;
    there is always one spectrum. ``templates`` are real sky templates of the full frame, one
    for each component, instead of built-in ones; ``specwcs`` is a NIRCam dispersion reference
    whose polynomials depend on t alone, instead of round numbers. One of these that cannot be
    used raises FileError or ShapeError.
    """
    slitless = slitless_instrument(instrument, grism, module, band)
    camera, names = slitless.dispersed, member_names(slitless)
    numbers = {"exposures": (exposures, 1, MOST), "components": (components, 1, MOST_COMPONENTS)}
    check(camera.frame, size, seed, **numbers)
    check_share("crowding", crowding, MOST_CROWDED)
    images = _templates(slitless, templates, components)
    beams = slitless.beams if specwcs is None else _real_beams(slitless, specwcs)
    planned = _dithered(camera, cutout(camera, size), exposures)
    sources = draw_sources(slitless, beams, planned[0].window, crowding, seed)
    scales = [_scales(slitless, images, seed, i) for i in range(exposures)]
    truth = assemble(
        SlitlessTruth,
        camera,
        seed,
        observe(camera, planned, sources, scales),
        kind=camera.exp_type.partition("_")[2].lower(),
        instrument=camera.name,
        axis=slitless.axis,
        band=slitless.band,
        beams=beams,
        components=component_names(slitless, len(images)),
        catalog=names["sourcecat"],
    )
    members = [Member(name, exptype) for exptype, name in names.items()]
    shots = (
        Shot(each, _light(truth, camera.frame, images, each), members, _wcs(truth, camera, each))
        for each in truth.exposures
    )
    extras = all_files(truth, slitless, images)
    return write_program(out, camera, truth, shots, extras, on_exposure)


def _light(
    truth: SlitlessTruth, frame: Window, templates: Sequence[Template], exposure: SlitlessExposure
) -> Iterator[tuple[Image, float]]:
    """Yield the spectra and the sky of the only integration; nothing is added."""
    rate = truth.sources(exposure.name)
    for scale, template in zip(exposure.scales, templates, strict=True):
        rate += scale * template[exposure.window.slices_in(frame)].astype(np.float64)
    yield np.maximum(rate, 0.0), 0.0


def _wcs(truth: SlitlessTruth, camera: Instrument, exposure: Exposure) -> WCS:
    return grism_wcs(truth.instrument, truth.axis, truth.beams, projection(camera, exposure))


def _templates(
    slitless: Slitless, templates: Name | Sequence[Name] | None, components: int
) -> list[Template]:
    """Return the sky's components on the whole detector: real ones, or those built in."""
    frame, camera = slitless.dispersed.frame, slitless.dispersed.name
    given = [templates] if isinstance(templates, PathLike) else templates
    paths = [fspath(each) for each in split_list(given)]
    if not paths:
        return [built_in_template(i, slitless.axis, frame, camera) for i in range(components)]
    if components not in (1, len(paths)) or len(paths) > MOST_COMPONENTS:
        raise SettingsError(
            f"There must be one template for each component, up to {MOST_COMPONENTS}",
            value=f"components={components}, {len(paths)} templates",
            cure="Leave components out, or give as many templates",
        )
    return [read_template(path, frame) for path in paths]


def _real_beams(slitless: Slitless, specwcs: str | Path) -> tuple[Beam, ...]:
    """Read the traces and cut them to the passband."""
    if slitless.dispersed.name != "NIRCAM":
        raise SettingsError(
            "specwcs must be left out for all but NIRCam, whose reference it is",
            value=slitless.dispersed.name,
            cure="Leave specwcs out, or choose NIRCAM",
        )
    passband = slitless.table.bands[slitless.band]
    return tuple(beam.within(*passband) for beam in read_specwcs(specwcs))


def _dithered(camera: Instrument, window: Window, exposures: int) -> list[Exposure]:
    planned = []
    for i in range(exposures):
        x, y = (i * step * camera.scale for step in STEP)
        point = Dither(position=i + 1, total=exposures, x=x, y=y)
        planned.append(plan_exposure(camera, (TARGET, i), window, target="FIELD-1", dither=point))
    return planned


def _scales(
    slitless: Slitless, templates: Sequence[Template], seed: int, i: int
) -> tuple[float, ...]:
    """Draw the scales of one exposure's sky, so that it is about as bright as the camera's."""
    rng = generator(seed, TARGET, i, Stream.SCALES)
    shares = SHARES[len(templates) - 1]
    return tuple(
        slitless.dispersed.sky.level
        * share
        * (1.0 + CHANGE * rng.uniform(-1.0, 1.0))
        / float(np.median(template[template > 0]))
        for share, template in zip(shares, templates, strict=True)
    )
