"""Simulated slitless programs: dispersed exposures of one field under a known sky."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike, fspath
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.errors import SettingsError
from bkgflow.io.storage.location import split_list
from bkgflow.simulate.files.grism import Beam, read_specwcs
from bkgflow.simulate.noise import Stream, generator
from bkgflow.simulate.plan import (
    MOST,
    TARGET,
    check_number,
    check_size,
    cutout,
    one_after_the_other,
    plan_exposure,
)
from bkgflow.simulate.truth import Dither, Exposure
from bkgflow.simulate.wfss_field import draw_sources, observe, on_the_sky
from bkgflow.simulate.wfss_files import SimulatedSlitless, member_names, write_slitless
from bkgflow.simulate.wfss_modes import Slitless, slitless_mode
from bkgflow.simulate.wfss_references import component_names
from bkgflow.simulate.wfss_sky import MOST_COMPONENTS, built_in_template, read_template
from bkgflow.simulate.wfss_truth import SlitlessTruth

__all__ = ["simulate_wfss"]

SHARES = ((1.0,), (0.7, 0.3), (0.6, 0.25, 0.15))
"""How much of the sky each component gives, on average."""

CHANGE = 0.3
"""How far a component's light goes up and down between exposures, of its average."""

STEP = (3.0, -2.0)
"""Pixels by which the sources move from one exposure to the next."""

MOST_CROWDED = 0.9

Template = str | PathLike[str]


def simulate_wfss(
    out: str | Path,
    *,
    instrument: str = "NIRISS",
    grism: str | None = None,
    module: str | None = None,
    band: str | None = None,
    exposures: int = 2,
    components: int = 1,
    crowding: float = 0.15,
    size: int | None = None,
    seed: int = 0,
    templates: Template | Sequence[Template] | None = None,
    specwcs: str | Path | None = None,
    on_exposure: Callable[[Path], None] | None = None,
) -> SimulatedSlitless:
    """Simulate dithered slitless exposures of a field of point sources.

    Each exposure comes with an association that names the direct image, its segmentation map
    and its catalogue; the reference files lie in a folder below the program's.

    Parameters
    ----------
    out : path-like
        The folder to write to.
    instrument : "NIRISS", "NIRCAM" or "MIRI"
        Which camera.
    grism : str, optional
        GR150C or GR150R for NIRISS, GRISMR or GRISMC for NIRCam.
    module : "A" or "B", optional
        Of NIRCam.
    band : str, optional
        The passband: NIRISS's blocking filter, NIRCam's filter.
    exposures : int
        How many.
    components : int
        Of the sky, up to 3; each exposure has other scales.
    crowding : float
        Share of the pixels, up to 0.9, that the boxes of the spectra cover at least, as far as
        5000 sources can; there is always one spectrum.
    size : int, optional
        Side of a square cut-out, in pixels; the full frame by default.
    seed : int
        What all random numbers come from; not negative.
    templates : path-like or sequence, optional
        Real sky templates of the full frame, one for each component, instead of built-in ones.
    specwcs : path-like, optional
        A NIRCam dispersion reference whose polynomials depend on t alone, instead of round
        numbers.
    on_exposure : callable, optional
        Called with the path of each exposure as soon as it is written.

    Raises
    ------
    SettingsError, FileError, ShapeError, OutputError
        Where an argument is out of bounds; where a template or the specwcs cannot be used;
        where the folder cannot be written to, or holds another simulated program.
    """
    slitless = slitless_mode(instrument, grism, module, band)
    paths = _template_paths(templates)
    components = _check(exposures, components, crowding, seed, paths)
    check_size(size, slitless.mode)
    images = _templates(slitless, paths, components)
    beams = slitless.beams if specwcs is None else _real_beams(slitless, specwcs)
    planned = _dithered(slitless, cutout(slitless.mode, size), exposures)
    sources = draw_sources(slitless, beams, planned[0].window, crowding, seed)
    sky = on_the_sky(slitless, planned[0], sources)
    truth = SlitlessTruth(
        program=slitless.mode.program,
        seed=seed,
        instrument=slitless.mode.instrument,
        axis=slitless.axis,
        band=slitless.band,
        beams=beams,
        detector=slitless.mode.readout.detector(),
        components=component_names(slitless, components),
        catalogue=member_names(slitless)["sourcecat"],
        exposures=tuple(
            observe(slitless, exposure, sources, sky, _scales(slitless, images, seed, i))
            for i, exposure in enumerate(planned)
        ),
    )
    return write_slitless(out, truth, slitless, images, on_exposure)


def _template_paths(templates: Template | Sequence[Template] | None) -> list[str]:
    given = [templates] if isinstance(templates, PathLike) else templates
    return [fspath(each) for each in split_list(given)]


def _check(exposures: int, components: int, crowding: float, seed: int, paths: list[str]) -> int:
    """Refuse arguments out of bounds; return the number of components."""
    check_number("exposures", exposures, 1, MOST)
    check_number("components", components, 1, MOST_COMPONENTS)
    check_number("seed", seed, 0)
    if not 0.0 <= crowding <= MOST_CROWDED:
        raise SettingsError(
            f"crowding must be from 0 to {MOST_CROWDED}",
            value=crowding,
            cure="Give the share of the pixels that spectra cover",
        )
    if not paths:
        return components
    if components not in (1, len(paths)) or len(paths) > MOST_COMPONENTS:
        raise SettingsError(
            f"There is one template for each component, up to {MOST_COMPONENTS}",
            value=f"components={components}, {len(paths)} templates",
            cure="Leave components out, or give as many templates",
        )
    return len(paths)


def _templates(
    slitless: Slitless, paths: Sequence[str], components: int
) -> list[NDArray[np.float32]]:
    mode = slitless.mode
    if paths:
        return [read_template(path, mode.frame) for path in paths]
    return [
        built_in_template(i, slitless.axis, mode.frame, mode.instrument) for i in range(components)
    ]


def _real_beams(slitless: Slitless, specwcs: str | Path) -> tuple[Beam, ...]:
    """Read the traces and cut them to the passband."""
    if slitless.mode.instrument != "NIRCAM":
        raise SettingsError(
            "specwcs is a reference of NIRCam",
            value=slitless.mode.instrument,
            cure="Leave specwcs out, or choose NIRCAM",
        )
    return tuple(beam.within(*slitless.passband) for beam in read_specwcs(specwcs))


def _dithered(slitless: Slitless, window: Window, exposures: int) -> tuple[Exposure, ...]:
    mode = slitless.mode
    return one_after_the_other(
        mode,
        [
            plan_exposure(
                mode,
                (TARGET, i),
                window,
                target="FIELD-1",
                dither=Dither(
                    position=i + 1,
                    total=exposures,
                    x=i * STEP[0] * mode.scale,
                    y=i * STEP[1] * mode.scale,
                ),
            )
            for i in range(exposures)
        ],
    )


def _scales(
    slitless: Slitless, templates: Sequence[NDArray[np.float32]], seed: int, i: int
) -> tuple[float, ...]:
    """Draw the scales of one exposure's sky, so that it is about as bright as the mode's."""
    rng = generator(seed, TARGET, i, Stream.SCALES)
    shares = SHARES[len(templates) - 1]
    return tuple(
        slitless.mode.sky.level
        * share
        * (1.0 + CHANGE * rng.uniform(-1.0, 1.0))
        / float(np.median(template[template > 0]))
        for share, template in zip(shares, templates, strict=True)
    )
