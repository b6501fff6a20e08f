"""Few exposures with a source in one of them: what each rule leaves of it, and what it costs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

import bkgflow
from bkgflow.detector import DO_NOT_USE
from bkgflow.methods.clip import combine, rejected
from bkgflow.rules import ClipRule, StackRule
from bkgflow.simulate import simulate_nods

__all__ = ["DEMO", "NODS", "REAL", "RULES", "STRENGTHS", "demo_nods", "real_nods", "rules_on_nods"]

Image = NDArray[np.float64]
Row = dict[str, Any]

RULES: Mapping[str, dict[str, Any]] = {
    "clip=sigma": {},
    "clip=robust": {"clip": "robust"},
    "clip=minmax": {"clip": "minmax"},
    "combine=median": {"clip": "none", "combine": "median"},
    "clip=noise": {"clip": "noise"},
    "clip=noise clip_side=high": {"clip": "noise", "clip_side": "high"},
}
"""Rules of the stack as arguments of the step, by the names that they have in tables."""

DEMO: Mapping[str, dict[str, Any]] = {
    "the reference step's rule": {},
    "clip=noise": {"clip": "noise"},
    "clip=noise clip_side=high mask_sources=detect bkg_fill=true": {
        "clip": "noise",
        "clip_side": "high",
        "mask_sources": "detect",
        "bkg_fill": True,
    },
}
"""Ways to the background of the demo's nods, as words for people and as arguments."""

NODS = (3, 4, 5, 6, 7)
STRENGTHS = (10, 30, 100, 1000)
"""The source in one of the exposures, in sigmas of the sky's noise."""

PHOTONS = 0.1
"""The variance that a source of one sigma adds, over that of the sky."""

SKY = 5.0

REAL = "BKGFLOW_REAL_DATA"
"""Names the folder of real data; without it, these are left out."""


def rules_on_nods(pixels: int = 50_000) -> list[Row]:
    """Simulate n exposures of noise of sigma 1, one of them with a source in every pixel.

    Returns rows of: rule, n, strength (0: no source), bias in errors of the background, share of
    values that are dropped of pure noise, and scatter over that of the plain mean without source.
    """
    rows = []
    for n in NODS:
        plain = None
        for name, arguments in RULES.items():
            rule = _rule(**arguments)
            for strength in (0, *STRENGTHS):
                sci, err, dq = _stack(n, strength, pixels)
                if plain is None:
                    plain = combine(sci, err, dq, _rule("none")).sci.std()
                made = combine(sci, err, dq, rule)
                row: Row = {"rule": name, "n": n, "strength": strength}
                row["bias"] = float((made.sci.mean() - SKY) / np.median(made.err))
                row["scatter"] = float(made.sci.std() / plain)
                if strength == 0:
                    row["dropped"] = float(rejected(sci, rule, err, dq).mean())
                rows.append(row)
    return rows


def _rule(clip: Any = "sigma", clip_side: Any = "both", combine: Any = "mean") -> StackRule:
    return StackRule(clip=ClipRule(method=clip, side=clip_side), combine=combine)


def _stack(
    n: int, strength: int, pixels: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint32]]:
    """SCI, ERR and DQ, each (n, 1, pixels)."""
    rng = np.random.default_rng((n, strength))
    err = np.ones((n, 1, pixels))
    err[0] = np.sqrt(1.0 + PHOTONS * strength)
    sci = SKY + rng.normal(size=err.shape) * err
    sci[0] += strength
    return sci.astype(np.float32), err.astype(np.float32), np.zeros(err.shape, np.uint32)


def demo_nods(scratch: Path, size: int | None = None) -> tuple[dict[str, Image], list[Row]]:
    """Subtract the other four from the third of the demo's NIRSpec nods, in several ways.

    Returns what to look at by title, each (ny, nx) in sigmas of the sky's noise and NaN where it
    is DO_NOT_USE; and rows of: way, and mean, worst row's mean and rms of the background
    subtracted less the true sky, of the slit's rows.
    """
    made = simulate_nods(scratch / "nods", points=5, size=size)
    paths = [made.folder / each.name for each in made.truth.exposures]
    target, others = paths[2], [each for each in paths if each != paths[2]]
    sigma = made.truth.detector.sigma(made.truth.plane.level)
    sky = made.truth.sky(made.truth.exposures[2].window)
    lit = sky.max(axis=1) > 0
    with fits.open(target) as hdus:
        sci, bad = np.asarray(hdus["SCI"].data, float), (hdus["DQ"].data & DO_NOT_USE) != 0
    shown, rows = {f"nod 3 of 5, less its median: {target.name}": sci - np.median(sci[~bad])}, []
    for title, arguments in DEMO.items():
        with bkgflow.subtract(target, others, **arguments) as left:
            shown[f"less the others, {title}"] = np.asarray(left.data, float)
            wrong = np.where(bad, np.nan, sci - left.data - sky)[lit] / sigma
        worst = np.nanmean(wrong, axis=1)
        rows.append({"way": title, "bias": float(np.nanmean(wrong)),
                     "worst": float(worst[np.argmax(np.abs(worst))]),
                     "rms": float(np.sqrt(np.nanmean(wrong**2)))})  # fmt: skip
    return {title: np.where(bad, np.nan, image) / sigma for title, image in shown.items()}, rows


def real_nods(say: Callable[[str], object]) -> list[Row] | None:
    """Figures of each real NIRSpec nod, before and after each rule, MJy/sr.

    Its median, its scatter, and the median of its darkest row: a negative trace of another nod.

    None, and a word, where no folder of real data is named.
    """
    folder = os.environ.get(REAL)
    if not folder:
        say(f"real nods: left out, {REAL} does not name a folder of real data")
        return None
    paths = sorted((Path(folder) / "nirspec_nods").glob("*.fits"))
    rows = []
    for name, arguments in {"before": None, **RULES}.items():
        found = [_real(path, paths, arguments) for path in paths]
        columns = dict(zip(("median", "scatter", "darkest"), zip(*found, strict=True), strict=True))
        rows.append({"rule": name, **columns})
    return rows


def _real(
    target: Path, nods: Sequence[Path], arguments: Mapping[str, Any] | None
) -> tuple[float, float, float]:
    """Median, scatter from the median absolute deviation, and the darkest row's median.

    Of the pixels that may be used, and of rows that have at least half as many as the fullest.
    """
    with fits.open(target) as hdus:
        sci, usable = np.asarray(hdus["SCI"].data, float), (hdus["DQ"].data & DO_NOT_USE) == 0
    if arguments is not None:
        others = [each for each in nods if each != target]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with bkgflow.subtract(target, others, **arguments) as left:
                sci = np.asarray(left.data, float)
    usable &= np.isfinite(sci)
    median = float(np.median(sci[usable]))
    counts = usable.sum(axis=1)
    rows = [np.median(line[good]) for line, good, n in zip(sci, usable, counts, strict=True)
            if 2 * n >= counts.max()]  # fmt: skip
    return median, float(1.4826 * np.median(np.abs(sci[usable] - median))), float(min(rows))
