"""Simulated slitless programs: dispersed exposures of one field under a known sky.

A grism smears the edge of the pick-off mirror's field and mixes the orders of the sky, so that
its image has steps along the dispersion; stray light adds patches of its own. The components
that are built in have such steps and patches, with round numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.errors import SettingsError, ShapeError
from bkgflow.io.fits.hdus import walk
from bkgflow.io.fits.planes import read_rows
from bkgflow.io.storage.lists import split_list
from bkgflow.io.storage.location import Location
from bkgflow.simulate.arguments import MOST, Argument, OnExposure, Seed, Size, check, check_share
from bkgflow.simulate.exposures import TARGET, assemble, cutout, plan_exposure, projection
from bkgflow.simulate.grism import Beam, grism_wcs, read_specwcs
from bkgflow.simulate.instruments import Slitless, slitless_instrument
from bkgflow.simulate.noise import Stream, generator, reference_pixels
from bkgflow.simulate.sky import Axis
from bkgflow.simulate.slitless_files import all_files, component_names, member_names
from bkgflow.simulate.spectra import SlitlessTruth, draw_sources, observe
from bkgflow.simulate.truth import Dither
from bkgflow.simulate.writer import Shot, Simulated, write_program

__all__ = ["built_in_template", "simulate_wfss"]

SHARES = ((1.0,), (0.7, 0.3), (0.6, 0.25, 0.15))
"""How much of the sky each component gives, on average."""

CHANGE = 0.3
"""How far a component's light goes up and down between exposures, of its average."""

STEP = (3.0, -2.0)
"""Pixels by which the sources move from one exposure to the next."""

MOST_CROWDED = 0.9

MOST_COMPONENTS = len(SHARES)

Name = str | PathLike[str]

Template = NDArray[np.float32]
"""What a component looks like on the whole detector: (ny, nx), 0 where it is unknown."""


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
    camera = slitless.dispersed
    numbers = {"exposures": (exposures, 1, MOST), "components": (components, 1, MOST_COMPONENTS)}
    check(camera.frame, size, seed, **numbers)
    check_share("crowding", crowding, MOST_CROWDED)
    images = _templates(slitless, templates, components)
    beams = slitless.beams if specwcs is None else _real_beams(slitless, specwcs)
    window, planned = cutout(camera, size), []
    for i in range(exposures):
        x, y = (i * step * camera.scale for step in STEP)
        point = Dither(position=i + 1, total=exposures, x=x, y=y)
        planned.append(plan_exposure(camera, (TARGET, i), window, target="FIELD-1", dither=point))
    sources = draw_sources(slitless, beams, window, crowding, seed)
    scales = [_scales(slitless, images, seed, i) for i in range(exposures)]
    truth = assemble(
        SlitlessTruth,
        camera,
        seed,
        observe(camera, planned, sources, scales),
        instrument=camera.name,
        axis=slitless.axis,
        band=slitless.band,
        beams=beams,
        components=component_names(slitless, len(images)),
        catalog=member_names(slitless)["sourcecat"],
    )
    shots, extras = _shots(truth, slitless, images), all_files(truth, slitless, images)
    return write_program(out, camera, truth, shots, extras, on_exposure)


def _shots(truth: SlitlessTruth, slitless: Slitless, images: Sequence[Template]) -> Iterator[Shot]:
    """Yield the exposures with their spectra and their sky, in a single integration each."""
    camera = slitless.dispersed
    members = {name: exptype for exptype, name in member_names(slitless).items()}
    for exposure in truth.exposures:
        rate = truth.sources(exposure.name)
        for scale, template in zip(exposure.scales, images, strict=True):
            rate += scale * template[exposure.window.slices_in(camera.frame)].astype(np.float64)
        wcs = grism_wcs(truth.instrument, truth.axis, truth.beams, projection(camera, exposure))
        yield Shot(exposure, [(np.maximum(rate, 0.0), 0.0)], members, wcs)


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
    return [_read_template(path, frame) for path in paths]


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


def built_in_template(component: int, axis: Axis, frame: Window, instrument: str) -> Template:
    """Return a component of the sky on the whole detector, dispersed along an axis.

    0 is the dispersed zodiacal light, 1 a broad patch of stray light, 2 a glow that grows
    towards the long end of the dispersion: (ny, nx) float32, 0 in the instrument's reference
    pixels. The median over the others is 1.
    """
    ny, nx = frame.shape
    columns, rows = (np.arange(nx) + 0.5) / nx, ((np.arange(ny) + 0.5) / ny)[:, None]
    along, across = (columns, rows) if axis == "x" else (rows, columns)
    image = np.broadcast_to(_PATTERNS[component](along, across), frame.shape)
    dark = reference_pixels(frame, frame, instrument)
    return np.where(dark, 0.0, image / np.median(image[~dark])).astype(np.float32)


def _zodiacal(along: NDArray[np.float64], across: NDArray[np.float64]) -> NDArray[np.float64]:
    steps = 0.25 * np.tanh((along - 0.18) / 0.04) - 0.15 * np.tanh((along - 0.82) / 0.06)
    return 1.0 + steps + 0.08 * (across - 0.5) + 0.03 * np.sin(7.0 * across + 3.0 * along)


def _patch(along: NDArray[np.float64], across: NDArray[np.float64]) -> NDArray[np.float64]:
    ridge = np.exp(-(((across - 0.45 - 0.2 * (along - 0.5)) / 0.2) ** 2))
    return 0.3 + ridge * (0.6 + 0.4 * np.cos(5.0 * along))


def _glow(along: NDArray[np.float64], across: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.3 + 1.4 * along**2 + 0.2 * (across - 0.5) ** 2


_PATTERNS = (_zodiacal, _patch, _glow)


def _read_template(path: str | Path, frame: Window) -> Template:
    """Read a real template, the first image of a FITS file; it is 0 where that is not finite.

    FileError if it cannot be read, ShapeError if it does not cover the whole detector.
    """
    arrays = [hdu.data for hdu in walk(path).values()]
    found = next((each for each in arrays if each.shape == frame.shape), None)
    if found is None:
        raise ShapeError(
            f"A template must cover the whole detector, {frame.ny}×{frame.nx}",
            file=path,
            value=", ".join(str(each.shape) for each in arrays),
            cure="Give a template of this instrument's full frame",
        )
    image = np.empty(frame.shape, np.float64)
    with Location.of(path).open() as stream:
        read_rows(stream, found, Window(0, 0, frame.nx, frame.ny), image)
    return np.nan_to_num(image, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float32)
