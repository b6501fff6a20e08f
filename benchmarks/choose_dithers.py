"""Dithers of a crowded field without a dedicated background: three ways to its sky, and the truth.

The way of the reference step, fed by hand with all other dithers; the recipe that is published
(mask the sources of each exposure, take the median of the others), without and with their levels
matched; and bkgflow's.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

import bkgflow
from benchmarks.files import empty
from bkgflow.detector import DO_NOT_USE
from bkgflow.simulate import simulate_dithers
from bkgflow.simulate.dithers import DitherTruth

__all__ = ["BEST", "WAYS", "Example", "Field", "compare_dithers", "example_of"]

Image = NDArray[np.float64]
Row = dict[str, Any]

BEST: dict[str, Any] = {
    "backgrounds": "dithers",
    "mask_sources": "detect",
    "mask_threshold": 2.0,
    "mask_grow": 1.0,
    "clip": "noise",
    "clip_side": "high",
    "bkg_scale": "factor",
    "bkg_bad_bits": "DO_NOT_USE",
    "bkg_fill": True,
}
"""The arguments that docs/choosing.md gives for such a program."""

BRIGHT = 3.0
"""Sigmas of the sky's noise that another exposure's source has where a pixel is "under" it."""


@dataclass(frozen=True)
class Field:
    """A simulated program, its truth, and the exposures of it that are looked at."""

    folder: Path
    truth: DitherTruth
    targets: tuple[str, ...]

    @classmethod
    def simulate(cls, folder: Path, points: int, drift: float, size: int, targets: int) -> Field:
        """Simulate it; the targets lie near and far from the middle of the pattern."""
        made = simulate_dithers(folder, points=points, drift=drift, size=size, seed=points)
        names = [each.name for each in made.truth.exposures]
        return cls(folder, made.truth, tuple(names[:: -(-points // targets)]))

    @property
    def sigma(self) -> float:
        """The noise of a pixel of sky, DN/s."""
        return self.truth.detector.sigma(self.truth.plane.level)

    def others(self, name: str) -> list[str]:
        """The names of all exposures but one."""
        return [each.name for each in self.truth.exposures if each.name != name]

    def read(self, name: str) -> tuple[Image, NDArray[np.bool_]]:
        """An exposure's SCI in DN/s, and where it may be used."""
        with fits.open(self.folder / name) as hdus:
            return np.asarray(hdus["SCI"].data, float), (hdus["DQ"].data & DO_NOT_USE) == 0

    def residual(self, name: str, background: Image) -> Image:
        """A background less the truth, in sigmas of a pixel's noise."""
        residual: Image = (background - self.truth.background(name)) / self.sigma
        return residual


Way = Callable[[Field, Path], Iterator[tuple[str, Image]]]
"""Yields the background of each target, DN/s; may use a folder."""


def _step(field: Field, _: Path) -> Iterator[tuple[str, Image]]:
    os.environ.setdefault("STPIPE_DISABLE_CRDS_STEPPARS", "true")
    from jwst.background import BackgroundStep

    for name in field.targets:
        others = [str(field.folder / each) for each in field.others(name)]
        result = BackgroundStep.call(str(field.folder / name), others)
        left = np.asarray(result.data, float)
        result.close()
        yield name, field.read(name)[0] - left


def _recipe(field: Field, _: Path, *, matched: bool = False) -> Iterator[tuple[str, Image]]:
    skies = {each.name: _masked(*field.read(each.name)) for each in field.truth.exposures}
    for name in field.targets:
        stack = np.stack([skies[each] for each in field.others(name)])
        if matched:
            levels = np.nanmedian(stack, axis=(1, 2), keepdims=True)
            stack *= np.nanmedian(skies[name]) / levels
        median = np.nanmedian(stack, axis=0)
        yield name, np.where(np.isnan(median), np.nanmedian(median), median)


def _matched(field: Field, folder: Path) -> Iterator[tuple[str, Image]]:
    return _recipe(field, folder, matched=True)


def _masked(sci: Image, good: NDArray[np.bool_]) -> Image:
    """An exposure with NaN for bad pixels and sources, as the published recipes find them.

    Above 3 sigma of an image smoothed by 2 pixels, in four connected pixels, grown by three.
    """
    from photutils.background import Background2D
    from photutils.segmentation import detect_sources
    from scipy.ndimage import binary_dilation, gaussian_filter

    sky = Background2D(sci, min(64, *sci.shape), mask=~good)
    smooth = gaussian_filter(np.where(good, sci - sky.background, 0.0), 2.0 / 2.355)
    noise = 1.4826 * np.median(np.abs(smooth[good]))
    found = detect_sources(smooth, 3.0 * noise, 4, mask=~good)
    sources = binary_dilation(found.data > 0, iterations=3) if found else np.zeros_like(good)
    return np.where(good & ~sources, sci, np.nan)


def _ours(field: Field, folder: Path) -> Iterator[tuple[str, Image]]:
    plan = bkgflow.plan(field.folder, folder, **BEST)
    result = bkgflow.run(plan, "threads", only=list(field.targets))
    for name in field.targets:
        product = folder / name.replace("_rate.fits", "_bsub.fits")
        if not result.ok or not product.exists():
            raise RuntimeError(f"no product of {name}: {result}")
        yield name, field.read(name)[0] - np.asarray(fits.getdata(product, "SCI"), float)


WAYS: Mapping[str, Way] = {
    "jwst's step, all others by hand": _step,
    "recipe: mask, median of others": _recipe,
    "recipe, and levels matched": _matched,
    "bkgflow": _ours,
}
"""The ways to a background, by the names that they have in tables and pictures."""


@dataclass(frozen=True)
class Example:
    """What a picture shows of one exposure, in sigmas of a pixel's noise; NaN where it is bad."""

    name: str
    program: str  # in words
    light: Image  # the exposure, less its median
    residuals: dict[str, Image]


def compare_dithers(
    scratch: Path,
    points: Sequence[int],
    drifts: Sequence[float],
    size: int,
    targets: int,
    say: Callable[[str], object],
) -> list[Row]:
    """Measure every way on every program.

    Returns rows of: points, drift, way, rms and bias over all usable pixels and over those under
    sources of others, in sigmas of a pixel's noise; and the share of the latter.
    """
    rows = []
    for number in points:
        for drift in drifts:
            say(f"dithers: {number}, drift {drift:g}")
            folder = scratch / f"dithers-{number}-{drift:g}"
            field = Field.simulate(folder, number, drift, size, targets)
            for way in WAYS:
                rows.append({"points": number, "drift": drift, "way": way, **_score(field, way)})
    return rows


def example_of(scratch: Path, points: int, drift: float, size: int) -> Example:
    """What every way leaves on one exposure of a program."""
    field = Field.simulate(scratch / "example", points, drift, size, 1)
    [name] = field.targets
    sci, good = field.read(name)
    residuals = {}
    for way in WAYS:
        [(_, background)] = _backgrounds(field, way)
        residuals[way] = np.where(good, field.residual(name, background), np.nan)
    light = (sci - np.median(sci[good])) / field.sigma
    program = f"one of {points} dithers, drift {drift:.0%}"
    return Example(name, program, np.where(good, light, np.nan), residuals)


def _backgrounds(field: Field, way: str) -> Iterator[tuple[str, Image]]:
    folder = field.folder.with_name(f"{field.folder.name}-products")
    empty(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # medians of nothing; what the step's libraries say
        yield from WAYS[way](field, folder)


def _score(field: Field, way: str) -> dict[str, float]:
    everywhere, under = [], []
    for name, background in _backgrounds(field, way):
        good = field.read(name)[1]
        residual = field.residual(name, background)
        light = np.max([field.truth.sources(each) for each in field.others(name)], axis=0)
        everywhere.append(residual[good])
        under.append(residual[good & (light > BRIGHT * field.sigma)])
    return {
        "rms": _rms(everywhere),
        "bias": _bias(everywhere),
        "rms_under": _rms(under),
        "bias_under": _bias(under),
        "share_under": sum(map(len, under)) / sum(map(len, everywhere)),
    }


def _rms(residuals: Sequence[Image]) -> float:
    return float(np.sqrt(np.mean(np.concatenate(residuals) ** 2)))


def _bias(residuals: Sequence[Image]) -> float:
    """The mean distance of an exposure's mean from 0: one too high does not make up for another."""
    return float(np.mean([abs(np.mean(each)) for each in residuals]))
