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

__all__ = ["NODS", "REAL", "RULES", "STRENGTHS", "nod_pictures", "real_nods", "rules_on_nods"]

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
    n: int, strength: float, pixels: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint32]]:
    """SCI, ERR and DQ, each (n, 1, pixels)."""
    rng = np.random.default_rng((n, strength))
    err = np.ones((n, 1, pixels))
    err[0] = np.sqrt(1.0 + PHOTONS * strength)
    sci = SKY + rng.normal(size=err.shape) * err
    sci[0] += strength
    return sci.astype(np.float32), err.astype(np.float32), np.zeros(err.shape, np.uint32)


def nod_pictures(scratch: Path, size: int | None = None) -> dict[str, Image]:
    """The third nod of the demo's NIRSpec program before and after, in sigmas of the sky's noise.

    By title; each (ny, nx), NaN where it is DO_NOT_USE.
    """
    made = simulate_nods(scratch / "nods", points=5, size=size)
    paths = [made.folder / each.name for each in made.truth.exposures]
    target, others = paths[2], [each for each in paths if each != paths[2]]
    sigma = made.truth.detector.sigma(made.truth.plane.level)
    with fits.open(target) as hdus:
        sci, bad = np.asarray(hdus["SCI"].data, float), (hdus["DQ"].data & DO_NOT_USE) != 0
    shown = {f"nod 3 of 5, less its median: {target.name}": sci - np.median(sci[~bad])}
    ways = {"less the mean of the other four, as the reference step: 3-sigma clip": {},
            "less the mean of the other four with clip=noise": RULES["clip=noise"]}  # fmt: skip
    for title, arguments in ways.items():
        with bkgflow.subtract(target, others, **arguments) as left:
            shown[title] = np.asarray(left.data, float)
    return {title: np.where(bad, np.nan, image) / sigma for title, image in shown.items()}


def real_nods(say: Callable[[str], object]) -> list[Row] | None:
    """Median and scatter of each real NIRSpec nod, before and after each rule, MJy/sr.

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
        medians, scatters = zip(*found, strict=True)
        rows.append({"rule": name, "median": medians, "scatter": scatters})
    return rows


def _real(
    target: Path, nods: Sequence[Path], arguments: Mapping[str, Any] | None
) -> tuple[float, float]:
    """Median, and scatter from the median absolute deviation, of the pixels that may be used."""
    with fits.open(target) as hdus:
        sci, usable = np.asarray(hdus["SCI"].data, float), (hdus["DQ"].data & DO_NOT_USE) == 0
    if arguments is not None:
        others = [each for each in nods if each != target]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with bkgflow.subtract(target, others, **arguments) as left:
                sci = np.asarray(left.data, float)
    values = sci[usable & np.isfinite(sci)]
    median = float(np.median(values))
    return median, float(1.4826 * np.median(np.abs(values - median)))
