"""The simulated files that all contenders work on: made once, kept, and linked into programs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.io import fits

from benchmarks.files import empty
from benchmarks.links import link, link_program, renumber
from bkgflow.api import subtract_to_file
from bkgflow.detector import DO_NOT_USE
from bkgflow.simulate import simulate_imaging, simulate_nods, simulate_soss, simulate_wfss

__all__ = ["Inputs", "Note", "Scene"]

Note = Callable[[str], None]

TARGETS = 24
BACKGROUNDS = 16
"""Full-frame exposures that are simulated."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A slitless exposure and all that its background is subtracted with.

    Attributes
    ----------
    exposure, association : Path
        The dispersed exposure; its association, which names the catalog beside it.
    sky, wavelengthrange : Path
        The references, alone in a folder.
    """

    exposure: Path
    association: Path
    sky: Path
    wavelengthrange: Path


class Inputs:
    """Simulated exposures below one folder.

    Parameters
    ----------
    folder : Path
        Where they are kept; made if it is not there.
    note : callable
        Told what is being simulated.
    size : int, optional
        Side of the images in pixels instead of the full frame, for a quick look.
    """

    def __init__(self, folder: Path, note: Note = print, size: int | None = None) -> None:
        self.folder = folder
        self.note = note
        self.size = size

    def image(self, targets: int = TARGETS) -> list[Path]:
        """Return target images of one camera."""
        return self._imaging()[:targets]

    def sky(self, backgrounds: int) -> list[Path]:
        """Return background images; beyond those simulated, they are copies with other numbers."""
        real = self._imaging()[TARGETS:]
        folder = self.folder / f"sky-{self.size or 'full'}"
        folder.mkdir(exist_ok=True)
        found = real[:backgrounds]
        for i in range(len(real), backgrounds):
            copy = folder / f"jw99001002001_02101_{i + 1:05d}_nrcalong_rate.fits"
            found.append(copy if copy.exists() else renumber(real[i % len(real)], copy, i + 1))
        return found

    def small(self) -> list[Path]:
        """Return small images: one target, then four backgrounds."""
        side = min(self.size or 256, 256)
        folder = self.folder / f"small-{side}"
        return self._simulated(
            folder, lambda: simulate_imaging(folder, targets=1, backgrounds=4, size=side)
        )

    def tiny(self) -> list[Path]:
        """Return the smallest images: one target, then four backgrounds."""
        folder = self.folder / "tiny"
        return self._simulated(
            folder, lambda: simulate_imaging(folder, targets=1, backgrounds=4, size=16)
        )

    def cubes(self, integrations: int, side: int, backgrounds: int) -> list[Path]:
        """Return a cube, then backgrounds of the same shape."""
        folder = self.folder / f"cubes-{integrations}-{side}-{backgrounds}"
        return self._simulated(
            folder, lambda: _write_cubes(folder, integrations, side, backgrounds)
        )

    def series(self, integrations: int, templates: int) -> tuple[Path, Path]:
        """Return a SOSS time series in one file, and its library of skies."""
        folder = self.folder / f"soss-{integrations}-{templates}"
        exposures = self._simulated(
            folder,
            lambda: simulate_soss(
                folder, integrations=integrations, segments=1, templates=templates
            ),
        )
        return exposures[0], next(folder.glob("*_bkg.fits"))

    def slitless(self) -> Scene:
        """Return a slitless exposure of one sky, with its catalog and references."""
        folder = self.folder / f"slitless-{self.size or 'full'}"
        [exposure] = self._simulated(
            folder, lambda: simulate_wfss(folder, exposures=1, size=self.size)
        )
        ranges = next(folder.rglob("*wavelengthrange*.asdf"))
        sky = next(ranges.parent.glob("*.fits"))
        return Scene(exposure, next(folder.glob("*_asn.json")), sky, ranges)

    def slitless_as_reduced(self) -> Scene:
        """Return the same as the pipeline's first stage leaves it: no number where DO_NOT_USE.

        With a number there, the reference step takes these pixels into its fit and bkgflow does
        not (docs/divergences.md): both would subtract another sky, and no pixel could agree.
        """
        scene = self.slitless()
        folder = self.folder / f"slitless-reduced-{self.size or 'full'}"
        exposure = folder / scene.exposure.name
        if not exposure.exists():
            empty(folder)
            for each in (scene.association, *scene.exposure.parent.glob("*_cat.ecsv")):
                link(each, folder / each.name)
            _without_flagged(scene.exposure, folder / "unfinished").replace(exposure)
        return replace(scene, exposure=exposure, association=folder / scene.association.name)

    def slitless_arrays(self) -> Path:
        """Return a file of arrays: ``sci``, ``err``, ``mask`` (True for background), ``sky``."""
        scene = self.slitless()
        path = scene.exposure.with_name("arrays.npz")
        if not path.exists():
            _write_slitless(scene, path)
        return path

    def dithers(self, points: int) -> Path:
        """Return the folder of full frames, each a background of the others."""
        folder = self.folder / f"dithers-{points}-{self.size or 'full'}"
        self._simulated(
            folder,
            lambda: simulate_imaging(
                folder, targets=1, backgrounds=0, nod_points=points, size=self.size
            ),
        )
        return folder

    def nods(self, points: int) -> Path:
        """Return the folder of a nod pattern in a slit's subarray, with its associations."""
        folder = self.folder / f"nods-{points}"
        self._simulated(folder, lambda: simulate_nods(folder, points=points, size=self.size))
        return folder

    def program(
        self,
        name: str,
        units: int,
        targets: Sequence[Path],
        backgrounds: Sequence[Path],
        group: int,
    ) -> Path:
        """Return the folder of a program of links.

        Parameters
        ----------
        name : str
            Of the folder.
        units : int
            Targets; beyond those given they begin again with the first.
        targets, backgrounds : sequence of Path
            What is linked.
        group : int
            So many targets share links to all the backgrounds; the next ones have others.
        """
        folder = self.folder / name
        link_program(folder, units, targets, backgrounds, group)
        return folder

    def _imaging(self) -> list[Path]:
        folder = self.folder / f"imaging-{self.size or 'full'}"
        return self._simulated(
            folder,
            lambda: simulate_imaging(
                folder, targets=TARGETS, backgrounds=BACKGROUNDS, size=self.size
            ),
        )

    def _simulated(self, folder: Path, make: Callable[[], object]) -> list[Path]:
        """Return a simulated program's exposures; simulate it if that was never finished."""
        if not (folder / "truth" / "truth.json").exists():
            self.note(f"simulating {folder.name}")
            shutil.rmtree(folder, ignore_errors=True)
            make()
        names = json.loads((folder / "truth" / "truth.json").read_text(encoding="utf-8"))
        return [folder / exposure["name"] for exposure in names["exposures"]]


def _write_cubes(folder: Path, integrations: int, side: int, backgrounds: int) -> None:
    """Simulate a series without a star, and skies, all as long."""
    from bkgflow.detector import Window
    from bkgflow.simulate import Truth
    from bkgflow.simulate.exposures import TARGET, assemble, plan_exposure
    from bkgflow.simulate.instruments import load_instrument
    from bkgflow.simulate.one_sky import empty_series
    from bkgflow.simulate.writer import under_the_sky, write_program

    prism = load_instrument("MIR_LRS-SLITLESS")
    window = Window(prism.native.x0, min(prism.native.y0, prism.frame.y1 - side), side, side)
    target = plan_exposure(prism, (TARGET, 0), window, target="SKY", integrations=integrations)
    skies = [empty_series(prism, window, i, integrations) for i in range(backgrounds)]
    truth = assemble(Truth, prism, 1, [target, *skies])
    shots = under_the_sky(truth, {target.name: [sky.name for sky in skies]})
    write_program(folder, prism, truth, shots)


def _without_flagged(exposure: Path, copy: Path) -> Path:
    """Copy an exposure, and put NaN into SCI and ERR where its DQ is DO_NOT_USE."""
    shutil.copyfile(exposure, copy)
    flagged = (fits.getdata(copy, "DQ") & DO_NOT_USE) != 0
    with fits.open(copy, mode="update") as hdus:
        for name in ("SCI", "ERR"):
            hdus[name].data[flagged] = np.nan
    return copy


def _write_slitless(scene: Scene, path: Path) -> None:
    """Mask a simulated slitless exposure's sources, and put all that a fit needs into a file."""
    product = subtract_to_file(
        scene.association, output_dir=path.parent / "masked", references=scene.sky.parent
    )
    with (
        fits.open(scene.exposure) as science,
        fits.open(product) as done,
        fits.open(scene.sky) as reference,
    ):
        np.savez(
            path,
            sci=science["SCI"].data.astype(np.float32),
            err=science["ERR"].data.astype(np.float32),
            mask=done["MASK"].data == 1,
            sky=reference["SCI"].data.astype(np.float32),
        )
