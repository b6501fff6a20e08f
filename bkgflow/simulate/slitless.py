"""Simulated slitless programs: dispersed exposures of one field under a known sky."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from bkgflow.detector import Window
from bkgflow.errors import SettingsError
from bkgflow.io.storage.location import split_list
from bkgflow.simulate.arguments import MOST, Argument, OnExposure, Seed, Size, check, check_share
from bkgflow.simulate.files.grism import Beam, grism_wcs, read_specwcs
from bkgflow.simulate.headers import wcsinfo
from bkgflow.simulate.instruments import Instrument, Slitless, slitless_instrument
from bkgflow.simulate.noise import Stream, generator
from bkgflow.simulate.program import TARGET, cutout, one_after_the_other, plan_exposure
from bkgflow.simulate.scene import Extra, Member, Scene
from bkgflow.simulate.slitless_files import (
    component_names,
    direct_files,
    member_names,
    reference_files,
)
from bkgflow.simulate.spectra import (
    SlitlessExposure,
    SlitlessTruth,
    draw_sources,
    observe,
    on_the_sky,
)
from bkgflow.simulate.templates import (
    MOST_COMPONENTS,
    Template,
    built_in_template,
    read_template,
)
from bkgflow.simulate.truth import Dither, Exposure, Image
from bkgflow.simulate.writer import Simulated, write_scene

__all__ = ["SlitlessScene", "simulate_wfss"]

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
    whose polynomials depend on t alone, instead of round numbers.

    Raises
    ------
    SettingsError, FileError, ShapeError, OutputError
        Where an argument is out of bounds; where a template or the specwcs cannot be used;
        where the folder ``out`` cannot be written to, or holds another simulated program.
    """
    slitless = slitless_instrument(instrument, grism, module, band)
    numbers = {"exposures": (exposures, 1, MOST), "components": (components, 1, MOST_COMPONENTS)}
    check(slitless.dispersed.frame, size, seed, **numbers)
    check_share("crowding", crowding, MOST_CROWDED)
    images = _templates(slitless, templates, components)
    beams = slitless.beams if specwcs is None else _real_beams(slitless, specwcs)
    planned = _dithered(slitless.dispersed, cutout(slitless.dispersed, size), exposures)
    sources = draw_sources(slitless, beams, planned[0].window, crowding, seed)
    sky = on_the_sky(slitless, planned[0], sources)
    truth = SlitlessTruth(
        program=slitless.dispersed.program,
        seed=seed,
        instrument=slitless.dispersed.name,
        axis=slitless.axis,
        band=slitless.band,
        beams=beams,
        detector=slitless.dispersed.readout.detector(),
        components=component_names(slitless, len(images)),
        catalog=member_names(slitless)["sourcecat"],
        exposures=tuple(
            observe(slitless, exposure, sources, sky, _scales(slitless, images, seed, i))
            for i, exposure in enumerate(planned)
        ),
    )
    scene = SlitlessScene(truth, slitless.dispersed, slitless, images)
    return write_scene(scene, out, on_exposure)


@dataclass(frozen=True)
class SlitlessScene(Scene[SlitlessTruth, SlitlessExposure]):
    """A field of dispersed sources, and its sky on the whole detector, in the scales' order."""

    truth: SlitlessTruth
    instrument: Instrument
    slitless: Slitless
    templates: Sequence[Template]

    def rates(self, exposure: SlitlessExposure) -> Iterator[Image]:
        """Yield the spectra and the sky of the only integration."""
        here = exposure.window.slices_in(self.instrument.frame)
        rate = self.truth.sources(exposure.name)
        for scale, template in zip(exposure.scales, self.templates, strict=True):
            rate += scale * template[here].astype(np.float64)
        yield np.maximum(rate, 0.0)

    def members(self, exposure: SlitlessExposure) -> list[Member]:
        """Return the direct image, its catalog and its segments, the same for all."""
        return [Member(name, kind) for kind, name in member_names(self.slitless).items()]

    def extras(self) -> Iterator[Extra]:
        """Make the references, and the files of the direct image."""
        yield from reference_files(self.truth, self.slitless, self.templates)
        yield from direct_files(self.truth.exposures[0], self.slitless)

    def coordinates(self, exposure: SlitlessExposure) -> Any:
        """Return the coordinates of an exposure's spectra."""
        truth = self.truth
        direct = wcsinfo(self.instrument, exposure)
        return grism_wcs(truth.instrument, truth.axis, truth.beams, direct)


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


def _dithered(camera: Instrument, window: Window, exposures: int) -> tuple[Exposure, ...]:
    planned = []
    for i in range(exposures):
        x, y = (i * step * camera.scale for step in STEP)
        point = Dither(position=i + 1, total=exposures, x=x, y=y)
        planned.append(plan_exposure(camera, (TARGET, i), window, target="FIELD-1", dither=point))
    return one_after_the_other(camera, planned)


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
