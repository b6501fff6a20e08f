"""The SOSS fit: which template of a library, and how much of it on either side of its step.

The numbers are those of the reference step: the ratio of data to template over pixels below
the source threshold, the median of the ratios between two percentiles as the scale, and the
template with the lowest sum of both sides' residual rms, the first one on ties.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from bkgflow.errors import ShapeError
from bkgflow.methods.arrays import Doubles, Floats
from bkgflow.methods.soss._ratios import side_sums, square_residuals
from bkgflow.methods.soss.gather import Gathered, Side, gather_sky
from bkgflow.methods.soss.outlying import name_outlying
from bkgflow.methods.soss.ranks import Middle, middle_ratio, uncertainty
from bkgflow.methods.soss.regions import STEP_STOP, discontinuity, side_templates
from bkgflow.methods.soss.segments import Segment
from bkgflow.methods.soss.sky import SossFit
from bkgflow.rules import SossRule

__all__ = ["fit_soss"]

DEFAULT = SossRule()

SIDES = ("left", "right")

TOO_BRIGHT = "no pixel below the source threshold"
NO_TEMPLATE = "zero or not a number everywhere"
NO_RATIO = "no ratio between the percentiles"

CURE = (
    "where the sky fills the frame, raise soss_source_percentile, such as to 80, or give one for "
    "each side, such as 80,60"
)


class _Best(NamedTuple):
    """A template's index, its two fitted sides flat, and what was found with them."""

    template: int
    sides: tuple[Floats, Floats]
    middles: tuple[Middle, Middle]
    fractions: tuple[float, float]


def fit_soss(
    segments: Sequence[Segment], library: Floats, rule: SossRule = DEFAULT, *, threads: int = 1
) -> tuple[SossFit, ...]:
    """Fit a library of sky templates to the segments of one SOSS exposure; return a fit for each.

    A segment that holds nothing takes the others' fit, but for the rule's "file".

    Parameters
    ----------
    segments : sequence of Segment
        (n, ny, nx) each; every one is read twice.
    library : (n_templates, ny, nx) float32
        The templates, cut to the subarray; nx > 725.
    threads : int
        Templates that are fitted at a time. The result is the same.

    Raises
    ------
    ShapeError
        Segments or library do not fit each other.
    """
    if rule.fit == "file":
        return tuple(_fit([each], library, rule, threads)[0] for each in segments)
    return _fit(segments, library, rule, threads)


def _fit(
    segments: Sequence[Segment], library: Floats, rule: SossRule, threads: int
) -> tuple[SossFit, ...]:
    _check_library(segments, library)
    library = np.asarray(library, np.float32)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        steps = list(pool.map(discontinuity, library))
    edges = max(int(each.max()) for each in steps), min(int(each.min()) for each in steps)
    percentiles = rule.bkg_percentile
    sky = gather_sky(segments, rule.source_percentile, edges, threads=max(1, threads))
    rms = np.full((len(library), 2), np.inf)
    best: _Best | None = None
    notes: list[str] = []

    def fit_one(index: int) -> tuple[_Best | None, list[str]]:
        halves = side_templates(library[index], steps[index])
        return _fit_template(sky, index, halves, percentiles, rms[index])

    with ThreadPoolExecutor(max(1, threads)) as pool:
        # In the library's order, whichever is done first: on ties the first template wins.
        for found, why in pool.map(fit_one, range(len(library))):
            notes += why
            if found is not None and (
                best is None or rms[found.template].sum() < rms[best.template].sum()
            ):
                best = found
    whole = _whole_fit(sky, best, percentiles, rms, notes)
    if best is None or rule.fit != "integration":
        fits = (whole,) * len(segments)
    else:
        fits = _time_series(sky, best, whole, percentiles)
    return name_outlying(fits, sky.lengths, sky.levels, sky.outlying)


def _check_library(segments: Sequence[Segment], library: Floats) -> None:
    frame = segments[0].shape[1:] if segments else None
    if library.ndim == 3 and library.shape[1:] == frame and frame[1] > STEP_STOP + 1:
        return
    raise ShapeError(
        f"A SOSS library must have the rows and columns of the exposure, more than {STEP_STOP + 1} "
        "columns",
        value=f"library {library.shape}, exposure {frame}",
        cure="Cut the library to the exposure's subarray",
    )


def _fit_template(
    sky: Gathered,
    index: int,
    halves: tuple[Floats, Floats],
    percentiles: tuple[float, float],
    rms: Doubles,
) -> tuple[_Best | None, list[str]]:
    """Fit one template on both sides; write its rms, and say why it has none."""
    middles, fractions = [], []
    notes: list[str] = []
    for i, (side, half) in enumerate(zip(sky.sides, halves, strict=True)):
        middle = middle_ratio(side.values, side.pixels, half, percentiles, side.sample)
        if middle is None:
            notes.append(f"template {index}: {_why(side, half)} {SIDES[i]} of its step")
            continue
        rms[i], n_good = _residual_rms(sky, side, half, middle)
        middles.append(middle)
        fractions.append(middle.n_kept / n_good)
    if len(middles) < 2 or not np.isfinite(rms).all():
        if len(middles) == 2:
            notes.append(f"template {index}: infinite values")
        rms[...] = np.where(np.isfinite(rms), rms, np.inf)
        return None, notes
    best = _Best(index, halves, (middles[0], middles[1]), (fractions[0], fractions[1]))
    return best, notes


def _residual_rms(sky: Gathered, side: Side, half: Floats, middle: Middle) -> tuple[float, int]:
    """Return the rms of data − scale × template over kept pixels, and how many are good."""
    moments = side.count, side.mean, side.squares
    total, n, n_good = side_sums(half, sky.n_good.reshape(-1), *moments, middle.scale)
    if n != middle.n_kept:  # some ratios overflow: the template is next to nothing there
        total, n = square_residuals(side.values, side.pixels, half, middle.scale)
    return math.sqrt(total / n), n_good


def _why(side: Side, half: Floats) -> str:
    usable = np.nan_to_num(half, posinf=0.0, neginf=0.0) != 0
    if not usable.any():
        return NO_TEMPLATE
    return NO_RATIO if (side.count[usable] > 0).any() else TOO_BRIGHT


def _whole_fit(
    sky: Gathered,
    best: _Best | None,
    percentiles: tuple[float, float],
    rms: Doubles,
    notes: Sequence[str],
) -> SossFit:
    """Return the fit that holds for all integrations, or why there is none."""
    scales, errors, random_errors = (np.full((2, 1), np.nan) for _ in range(3))
    counts = np.zeros((2, 2), np.int64)
    if best is not None:
        for i, (middle, fraction) in enumerate(zip(best.middles, best.fractions, strict=True)):
            scales[i] = middle.scale
            random_errors[i], errors[i] = uncertainty(middle, fraction, percentiles)
            counts[:, i] = middle.n_kept, middle.n_used
    template, reason = (best.template, "") if best is not None else (None, _nothing(sky, notes))
    found = scales, errors, random_errors, rms, counts[0], counts[1]
    return SossFit(template, reason, *found, sky.threshold, tuple(notes))


def _nothing(sky: Gathered, notes: Sequence[str]) -> str:
    if np.isnan(sky.threshold).all():
        return "no pixel is finite and without DO_NOT_USE and REFERENCE_PIXEL"
    dark = [side.values.size > 0 for side in sky.sides]
    if not any(dark):
        return f"no pixel to fit is below the source threshold; {CURE}"
    reason = "no template of the library fits on both sides of its step"
    bright = [name for name in SIDES if any(f"{TOO_BRIGHT} {name}" in note for note in notes)]
    if not bright:
        return reason
    return f"{reason}: no pixel {' or '.join(bright)} of it is below the source threshold; {CURE}"


def _time_series(
    sky: Gathered, best: _Best, whole: SossFit, percentiles: tuple[float, float]
) -> tuple[SossFit, ...]:
    """Return fits with a pair of scales for each integration, one fit for each segment."""
    n = sum(sky.lengths)
    scales, errors, random_errors = (np.full((2, n), np.nan) for _ in range(3))
    missing: set[int] = set()
    for i, side in enumerate(sky.sides):
        for k in range(n):
            part = slice(side.ends[k], side.ends[k + 1])
            middle = middle_ratio(side.values[part], side.pixels[part], best.sides[i], percentiles)
            if middle is None:
                missing.add(k)
                continue
            scales[i, k] = middle.scale
            random_errors[i, k], errors[i, k] = uncertainty(middle, best.fractions[i], percentiles)
    for k in missing:
        scales[:, k], errors[:, k] = whole.scales[:, 0], whole.errors[:, 0]
        random_errors[:, k] = whole.random_errors[:, 0]
    fits, start = [], 0
    for length in sky.lengths:
        stop = start + length
        here = tuple(
            f"integration {k - start + 1}: nothing to fit; it has the scales of the whole exposure"
            for k in sorted(missing)
            if start <= k < stop and not sky.outlying[k]  # of these it is said why
        )
        fits.append(
            replace(
                whole,
                scales=scales[:, start:stop],
                errors=errors[:, start:stop],
                random_errors=random_errors[:, start:stop],
                notes=whole.notes + here,
            )
        )
        start = stop
    return tuple(fits)
