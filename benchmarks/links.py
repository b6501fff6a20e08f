"""Programs of links: folders of associations with hard links to exposures beside them.

Each link has a name of its own without taking room of its own. Where one target has many
backgrounds, a link will not do: an exposure counts once, whatever its files are called.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from astropy.io import fits

from benchmarks.files import empty

__all__ = ["link", "link_program", "renumber"]


def link_program(
    folder: Path, units: int, targets: Sequence[Path], backgrounds: Sequence[Path], group: int
) -> None:
    """Make a program of links; for the arguments see `benchmarks.inputs.Inputs.program`."""
    empty(folder)
    members: dict[str, list[str]] = {}
    for i in range(units):
        observation, number = divmod(i, group)
        root = f"jw99001{observation + 1:05d}"
        science = link(targets[i % len(targets)], folder / f"{root}_{number + 1:05d}_rate.fits")
        skies = [f"{root}_sky_{k + 1:05d}_rate.fits" for k in range(len(backgrounds))]
        if number == 0:
            for path, sky in zip(backgrounds, skies, strict=True):
                link(path, folder / sky)
        members[science.name] = skies
    _write_associations(folder, members)


def link(path: Path, name: Path) -> Path:
    """Give a file another name as well; copy it where the file system cannot."""
    try:
        os.link(path, name)
    except OSError:
        shutil.copyfile(path, name)
    return name


def renumber(path: Path, name: Path, number: int) -> Path:
    """Copy an exposure and say that it is another one: its number, and its file's name."""
    shutil.copyfile(path, name)
    fits.setval(name, "EXPOSURE", value=f"{number:05d}")
    fits.setval(name, "FILENAME", value=name.name)
    return name


def _write_associations(folder: Path, members: Mapping[str, Sequence[str]]) -> None:
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
