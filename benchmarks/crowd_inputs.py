"""Ten thousand small units, made in seconds: links to a few files, and some that are bad."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from bkgflow.simulate import simulate_imaging

__all__ = ["BAD", "Crowd", "make_crowd"]

GROUP = 100
"""Units of an association: they share two backgrounds."""


@dataclass(frozen=True)
class Crowd:
    """A program, and what must become of it.

    Attributes
    ----------
    bad : dict
        By the product names of units that must be refused, what is wrong with each.
    """

    folder: Path
    units: int
    bad: dict[str, str]


Spoil = Callable[[Path, Path], None]
"""Makes a bad target at a path, of a good one."""


def _cut(good: Path, to: Path) -> None:
    to.write_bytes(good.read_bytes()[:-6000])


def _bytes(data: bytes) -> Spoil:
    def make(good: Path, to: Path) -> None:
        to.write_bytes(data)

    return make


def _changed(change: Callable[[fits.HDUList], object]) -> Spoil:
    def make(good: Path, to: Path) -> None:
        with fits.open(good, memmap=False) as hdus:
            change(hdus)
            hdus.writeto(to, overwrite=True)

    return make


def _without(name: str) -> Spoil:
    return _changed(lambda hdus: hdus.pop(name))


def _other_err(hdus: fits.HDUList) -> None:
    hdus["ERR"].data = np.ones((3, 3), np.float32)


def _flat(hdus: fits.HDUList) -> None:
    for name in ("SCI", "ERR", "DQ"):
        hdus[name].data = hdus[name].data[0]


def _far(hdus: fits.HDUList) -> None:
    hdus[0].header["SUBSTRT1"] = 1500
    hdus[0].header["SUBSTRT2"] = 1500


def _no_corner(hdus: fits.HDUList) -> None:
    for name in ("SUBSTRT1", "SUBSTRT2"):
        hdus[0].header.remove(name, ignore_missing=True)


TARGETS: dict[str, Spoil] = {
    "missing": lambda good, to: None,
    "empty": _bytes(b""),
    "no FITS file": _bytes(b"no FITS file\n" * 500),
    "cut": _cut,
    "a folder": lambda good, to: to.mkdir(),
    "without SCI": _without("SCI"),
    "without ERR": _without("ERR"),
    "ERR of another shape": _changed(_other_err),
    "one axis": _changed(_flat),
    "no place on the detector": _changed(_no_corner),
    "elsewhere on the detector": _changed(_far),
}

MEMBERS = ("background missing", "its own background", "background of NaN", "background cut")

BAD = (*TARGETS, *MEMBERS)
"""What may be wrong with a unit."""


def make_crowd(folder: Path, units: int, share: float, size: int = 32) -> Crowd:
    """Make a program; a share of its units is bad, each sort as often as the others.

    Good targets are hard links to one file, under names of their own.
    """
    simulate_imaging(folder / "templates", targets=1, backgrounds=2, size=size)
    target, *others = sorted((folder / "templates").glob("*_rate.fits"))
    program = folder / "program"
    program.mkdir()
    good, backgrounds = _sorted(target, others)
    nan = program / "nan_rate.fits"
    _changed(_nan)(backgrounds[0], nan)
    _cut(backgrounds[0], program / "cut_rate.fits")
    every = max(1, round(1 / share)) if share else units + 1
    bad: dict[str, str] = {}
    for first in range(0, units, GROUP):
        names = [f"b{first}-{n}_rate.fits" for n in range(len(backgrounds))]
        for name, path in zip(names, backgrounds, strict=True):
            shutil.copy(path, program / name)
        products = []
        for number in range(first, min(first + GROUP, units)):
            wrong = BAD[number // every % len(BAD)] if number % every == every - 1 else ""
            products.append(_unit(program, number, good, names, wrong))
            if wrong:
                bad[f"p{number}"] = wrong
        text = json.dumps({"asn_type": "image2", "asn_rule": "Asn_Lv2Image", "products": products})
        (program / f"{first:06d}_asn.json").write_text(text)
    return Crowd(program, units, bad)


def _sorted(first: Path, others: list[Path]) -> tuple[Path, list[Path]]:
    """Return the target, and the backgrounds, whatever they are called."""
    names = json.loads(next(first.parent.glob("*_asn.json")).read_text())
    members = names["products"][0]["members"]
    by_type = {each["expname"]: each["exptype"] for each in members}
    files = [first, *others]
    target = next(path for path in files if by_type.get(path.name) == "science")
    return target, [path for path in files if by_type.get(path.name) == "background"]


def _nan(hdus: fits.HDUList) -> None:
    hdus["SCI"].data = np.full_like(hdus["SCI"].data, np.nan)


def _unit(
    program: Path, number: int, good: Path, backgrounds: list[str], wrong: str
) -> dict[str, Any]:
    name = f"t{number}_rate.fits"
    if wrong in TARGETS:
        TARGETS[wrong](good, program / name)
    else:
        _link(good, program / name)
    given = {
        "background missing": ["gone_rate.fits"],
        "its own background": [name],
        "background of NaN": ["nan_rate.fits"],
        "background cut": ["cut_rate.fits"],
    }.get(wrong, backgrounds)
    return {"name": f"p{number}", "members": list(_members(name, given))}


def _members(target: str, backgrounds: list[str]) -> Iterator[dict[str, str]]:
    yield {"expname": target, "exptype": "science"}
    for each in backgrounds:
        yield {"expname": each, "exptype": "background"}


def _link(good: Path, to: Path) -> None:
    try:
        os.link(good, to)
    except OSError:  # a disk without links, or too many of one file
        shutil.copy(good, to)
