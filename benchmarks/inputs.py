"""The simulated files that all contenders work on: made once, kept, and linked into programs.

Everything lies in one folder. A program is a folder of associations with hard links to the
exposures beside them: each link is an exposure of its own name without taking room of its own.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from bkgflow.api import subtract_to_file
from bkgflow.detector import Window
from bkgflow.simulate import (
    Simulated,
    Truth,
    simulate_imaging,
    simulate_nods,
    simulate_soss,
    simulate_wfss,
)
from bkgflow.simulate.instruments import load_instrument
from bkgflow.simulate.program import TARGET, assemble, plan_exposure
from bkgflow.simulate.scene import SkyScene
from bkgflow.simulate.tso import empty_series
from bkgflow.simulate.writer import write_scene

__all__ = ["Inputs", "Note", "write_associations"]

Note = Callable[[str], None]

TARGETS = 24
BACKGROUNDS = 16
"""Full-frame exposures that are simulated."""


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
        """Return background images; beyond those simulated, they are links to them."""
        real = self._imaging()[TARGETS:]
        if backgrounds <= len(real):
            return real[:backgrounds]
        folder = _fresh(self.folder / f"sky-{backgrounds}")
        return [
            _link(
                real[i % len(real)], folder / f"jw99001002001_02101_{i + 1:05d}_nrcalong_rate.fits"
            )
            for i in range(backgrounds)
        ]

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

    def slitless(self) -> Path:
        """Return a file of arrays: ``sci``, ``err``, ``mask`` (True for background), ``sky``."""
        folder = self.folder / f"slitless-{self.size or 'full'}"
        place = folder / "arrays.npz"
        if not place.exists():
            self._simulated(folder, lambda: simulate_wfss(folder, exposures=1, size=self.size))
            _write_slitless(folder, place)
        return place

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
        folder = _fresh(self.folder / name)
        members: dict[str, list[str]] = {}
        for i in range(units):
            observation, number = divmod(i, group)
            root = f"jw99001{observation + 1:05d}"
            science = _link(
                targets[i % len(targets)], folder / f"{root}_{number + 1:05d}_rate.fits"
            )
            skies = [f"{root}_sky_{k + 1:05d}_rate.fits" for k in range(len(backgrounds))]
            if number == 0:
                for path, sky in zip(backgrounds, skies, strict=True):
                    _link(path, folder / sky)
            members[science.name] = skies
        write_associations(folder, members)
        return folder

    def _imaging(self) -> list[Path]:
        folder = self.folder / f"imaging-{self.size or 'full'}"
        return self._simulated(
            folder,
            lambda: simulate_imaging(
                folder, targets=TARGETS, backgrounds=BACKGROUNDS, size=self.size
            ),
        )

    def _simulated(self, folder: Path, make: Callable[[], Simulated[Any]]) -> list[Path]:
        """Return a simulated program's exposures; simulate it if that was never finished."""
        if not (folder / "truth" / "truth.json").exists():
            self.note(f"simulating {folder.name}")
            shutil.rmtree(folder, ignore_errors=True)
            return list(make().exposures)
        names = json.loads((folder / "truth" / "truth.json").read_text(encoding="utf-8"))
        return [folder / exposure["name"] for exposure in names["exposures"]]


def write_associations(folder: Path, members: Mapping[str, Sequence[str]]) -> None:
    """Write one association for each science exposure, with the names of its backgrounds."""
    for science, backgrounds in members.items():
        product = science.removesuffix("_rate.fits")
        content = {
            "asn_type": "image2",
            "asn_rule": "Asn_Lv2Image",
            "program": "99001",
            "products": [
                {
                    "name": product,
                    "members": [
                        {"expname": science, "exptype": "science"},
                        *({"expname": name, "exptype": "background"} for name in backgrounds),
                    ],
                }
            ],
        }
        (folder / f"{product}_asn.json").write_text(json.dumps(content), encoding="utf-8")


def _write_cubes(folder: Path, integrations: int, side: int, backgrounds: int) -> Simulated[Truth]:
    """Simulate a series without a star, and skies, all as long."""
    prism = load_instrument("MIR_LRS-SLITLESS")
    x0, y0 = prism.native.x0, min(prism.native.y0, prism.frame.y1 - side)
    window = Window(x0, y0, side, side)
    target = plan_exposure(prism, (TARGET, 0), window, target="SKY", integrations=integrations)
    skies = [empty_series(prism, window, i, integrations) for i in range(backgrounds)]
    truth = assemble(prism, 1, [target, *skies])
    backgrounds_of = {target.name: [sky.name for sky in skies]}
    return write_scene(SkyScene(truth, prism, backgrounds_of), folder)


def _write_slitless(folder: Path, place: Path) -> None:
    """Mask a simulated slitless exposure's sources, and put all that a fit needs into a file."""
    association = next(folder.glob("*_asn.json"))
    references = next(path.parent for path in folder.rglob("*wavelengthrange*.asdf"))
    product = subtract_to_file(association, output_dir=folder / "masked", references=references)
    exposure = next(folder.glob("*_rate.fits"))
    sky = next(path for path in references.glob("*.fits"))
    with fits.open(exposure) as science, fits.open(product) as done, fits.open(sky) as reference:
        np.savez(
            place,
            sci=science["SCI"].data.astype(np.float32),
            err=science["ERR"].data.astype(np.float32),
            mask=done["MASK"].data == 1,
            sky=reference["SCI"].data.astype(np.float32),
        )


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _link(path: Path, place: Path) -> Path:
    """Link a file to another place; copy it where the file system cannot."""
    try:
        os.link(path, place)
    except OSError:
        shutil.copyfile(path, place)
    return place
