"""The quoted errors of slitless scales: 100 draws of simulated scenes with counting noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from stdatamodels.jwst import datamodels

from bkgflow.io.exposures.from_fits import inspect
from bkgflow.io.references.slitless import slitless_inputs
from bkgflow.methods.slitless import boxes_to_mask, fit_background, fit_scale, grism_boxes
from bkgflow.rules import ScaleRule
from bkgflow.simulate import simulate_wfss
from bkgflow.simulate.noise import draw_rate
from tests.helpers.pace import few_fast

DRAWS = 100


def within(pulls: Any) -> Any:
    """Count the draws whose scale lies within three of its standard errors, per component."""
    return (np.abs(np.array(pulls)) <= 3).sum(axis=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("instrument", "components"), [("NIRISS", 1), ("NIRISS", 2), ("NIRCAM", 1), ("MIRI", 2)]
)
def test_the_scales_of_full_frame_scenes(tmp_path: Any, instrument: str, components: int) -> None:
    """The scene's own sky, spectra, boxes and noise; one background pixel in nine is drawn."""
    program = simulate_wfss(
        tmp_path / "p", instrument=instrument, components=components, exposures=1, seed=5
    )
    (exposure,) = program.truth.exposures
    _, ranges = program.references
    skies = [program.folder / name for name in program.truth.components]
    with datamodels.open(program.exposures[0]) as model:
        found = slitless_inputs(
            inspect(program.exposures[0]), skies, wavelengthrange=ranges,
            catalog=program.extras["sourcecat"], orders="all",
        )  # fmt: skip
        corners, shape = found.corners, model.data.shape
        dead = ~np.isfinite(model.data)
        dq = np.array(model.dq)
    assert corners is not None
    mask = boxes_to_mask(
        grism_boxes(corners.x, corners.y, shape, found.dispersion_axis), shape
    ) & (np.add.outer(np.arange(shape[0]), np.arange(shape[1])) % 9 == 0)  # fmt: skip
    mask &= ~dead
    detector = program.truth.detector
    sky = np.tensordot(exposure.scales, found.templates.sci[:, mask].astype(float), 1)
    rate = sky + program.truth.sources(exposure.name)[mask]
    sci, err = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
    rng, pulls = np.random.default_rng(1), []
    for _ in range(DRAWS):
        sci[mask], variance = draw_rate(rate, detector, rng)
        err[mask] = np.sqrt(variance + detector.read_variance)
        fit = fit_background(
            sci, err, dq, mask, found.templates.sci, dispersion_axis=found.dispersion_axis
        )
        assert fit.reason is None
        pulls.append((fit.coefficients - exposure.scales) / fit.standard_errors)
    assert within(pulls).min() >= 95
    assert np.std(pulls, axis=0).min() > 0.3  # the errors are not so wide that they say nothing


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", few_fast([{}, {"maxiter": 1}, {"maxiter": 12}, {"outlier_percent": 5}], 1)
)
def test_what_the_rejection_moves_is_in_the_errors(options: dict[str, Any]) -> None:
    """Few counts a pixel: trimming moves the mean by more than four random errors."""
    rng = np.random.default_rng(3)
    template = np.ones((300, 300), np.float32)
    mask, expected = np.ones(template.shape, bool), 12.0
    err = np.full_like(template, expected**0.5)
    pulls, random = [], []
    for _ in range(DRAWS):
        sci = rng.poisson(expected, template.shape).astype(np.float32)
        sci += rng.uniform(-0.5, 0.5, sci.shape).astype(np.float32)
        fit = fit_scale(sci, err, mask, template, ScaleRule(**options))
        pulls.append((fit.coefficients - expected) / fit.standard_errors)
        random.append((fit.coefficients - expected) / (expected / fit.n_used) ** 0.5)
    if options.get("maxiter") != 1:
        assert np.mean(random) < -4
    assert within(pulls) >= 95
    assert np.mean(pulls) > -1.5


def test_a_rejection_that_rejects_nothing_adds_nothing() -> None:
    rng = np.random.default_rng(4)
    template = np.ones((100, 100), np.float32)
    sci = rng.gamma(2.0, 1.0, template.shape).astype(np.float32)
    mask = np.ones(template.shape, bool)
    plain = fit_scale(sci, template, mask, template, ScaleRule(maxiter=0))
    same = fit_scale(sci, template, mask, template, ScaleRule(outlier_percent=0.0))
    np.testing.assert_array_equal(plain.covariance, same.covariance)


def plain_fit(sci: Any, err: Any, mask: Any, sky: Any, rounds: int, percent: float) -> float:
    """Return the factor of a fit that takes no short cut."""
    taken = mask & np.isfinite(sci) & np.isfinite(sky) & (err != 0)
    s, b, v = (array[taken].astype(np.float64) for array in (sci, sky, err * err))
    for _ in range(rounds):
        residual = s - (s * b / v).sum() / (b * b / v).sum() * b
        low, high = np.percentile(residual, (percent, 100 - percent))
        kept = (residual >= low) & (residual <= high)
        s, b, v = s[kept], b[kept], v[kept]
    return float((s * b / v).sum() / (b * b / v).sum())


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("percent", [0.001, 1.0, 20.0, 40.0])
@pytest.mark.parametrize("bright", [0.0, 0.3])
def test_the_factor_is_that_of_a_fit_without_short_cuts(
    axis: int, percent: float, bright: float
) -> None:
    rng = np.random.default_rng([axis, int(percent), int(10 * bright)])
    shape = (301, 203)
    sky = rng.uniform(0.5, 1.5, shape).astype(np.float32)
    sci = (0.4 * sky + rng.normal(0, 0.1, shape)).astype(np.float32)
    sci += np.where(rng.random(shape) < bright, 50, 0) * (np.arange(203) % 7 == 0)
    err, mask = rng.uniform(0.05, 0.2, shape).astype(np.float32), rng.random(shape) < 0.8
    sci[rng.random(shape) < 0.02], err[rng.random(shape) < 0.02] = np.nan, 0
    sky[rng.random(shape) < 0.02] = np.inf
    # With an rms_stop the pixels are taken line by line across the dispersion.
    rule = ScaleRule(maxiter=3, outlier_percent=percent, rms_stop=1e-9)
    fit = fit_scale(sci, err, mask, sky, rule, dispersion_axis=axis)
    assert fit.iterations > 0
    expected = plain_fit(sci, err, mask, sky, fit.iterations, percent)
    assert fit.coefficients[0] == pytest.approx(expected, rel=1e-6)
