"""Slitless exposures as people have them: bad pixels, masks, catalogs and skies of many kinds."""

from __future__ import annotations

import logging
import warnings

import numpy as np
import pytest
from astropy.io import fits
from jwst.background.background_sub_wfss import ScalingFactorComputer
from stdatamodels.jwst import datamodels

import bkgflow
from bkgflow.detector import Window
from bkgflow.methods.slitless import fit_background, mask_doubts, residual_mask
from bkgflow.report.tables import as_text
from bkgflow.report.unit_tables import plan_table, run_table
from bkgflow.rules import ScaleRule
from tests.helpers.pace import few_fast
from tests.helpers.slitless import CORNER, MODES, SCALE, SHAPE, make_scene

logging.getLogger("jwst").setLevel(logging.ERROR)

WINDOW = Window(*CORNER, SHAPE[1], SHAPE[0])


@pytest.fixture
def scene(tmp_path):
    return make_scene(tmp_path, MODES["NIS-R"])


def run_of(scene, out, **arguments):
    program, references = scene
    plan = bkgflow.plan(program, out, references=references, **arguments)
    result = bkgflow.run(plan, "threads")
    return plan, result, result.verdicts[0]


def changed(path, **arrays):
    """Write an exposure again with other arrays."""
    with datamodels.open(path) as model:
        copy = model.copy()
    for name, array in arrays.items():
        copy[name] = array
    copy.save(str(path))


# Flagged pixels


def sky_and_noise(seed, shape=(150, 200)):
    rng = np.random.default_rng(seed)
    template = (1 + 0.3 * np.sin(np.arange(shape[1]) / 40) + np.zeros(shape)).astype(np.float32)
    err = np.full(shape, 0.05, np.float32)
    sci = (0.583 * template + err * rng.normal(size=shape)).astype(np.float32)
    bad = rng.random(shape) < rng.uniform(0.01, 0.3)
    dq = np.where(bad, 1 | (rng.integers(0, 2, shape) << 11), rng.choice([0, 2, 4], shape))
    return sci, err, dq.astype(np.uint32), np.ones(shape, bool), template


@pytest.mark.parametrize("rule", [ScaleRule(), ScaleRule(maxiter=0), ScaleRule(rms_stop=1.0)])
@pytest.mark.parametrize("value", [0.0, 1e4, -1e5, np.nan, np.inf, 3e38])
@pytest.mark.parametrize("seed", few_fast(range(6), 2))
def test_flagged_pixels_take_no_part_in_the_fit_whatever_is_in_them(seed, value, rule):
    """The peer's factor is 0.547 for 0.583 with zeros there, and 722 with 1e4."""
    sci, err, dq, mask, template = sky_and_noise(seed)
    options = {"rule": rule, "dispersion_axis": 1}
    bad = (dq & 1) == 1
    expected = fit_background(sci, err, 0 * dq, mask & ~bad, template, **options)
    for array in (sci, err):
        spoilt = [sci.copy(), err.copy()]
        spoilt[0 if array is sci else 1][bad] = value
        fit = fit_background(*spoilt, dq, mask, template, **options)
        np.testing.assert_array_equal(fit.coefficients, expected.coefficients)
        np.testing.assert_array_equal(fit.covariance, expected.covariance)
        assert fit.n_used == expected.n_used
        assert abs(fit.coefficients[0] - 0.583) < 4 * fit.standard_errors[0]


@pytest.mark.parametrize("seed", few_fast(range(20), 4))
def test_without_flagged_pixels_the_factor_is_the_peers(seed):
    sci, err, dq, mask, template = sky_and_noise(seed)
    mask[:, :60] = False
    computer = ScalingFactorComputer(p=1.0, maxiter=5, delta_rms_thresh=0, dispersion_axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        factor, _ = computer(sci.copy(), template.copy(), err.copy() ** 2, mask=~mask)
    fit = fit_background(sci, err, dq & ~np.uint32(1), mask, template)
    assert fit.coefficients[0] == pytest.approx(factor, rel=1e-6)


def test_pixels_that_are_flagged_in_the_reference_take_no_part_either():
    sci, err, dq, mask, template = sky_and_noise(3)
    flags = np.zeros_like(dq)
    flags[40:80] = 1
    good = fit_background(sci, err, dq | flags, mask, template)
    template[40:80] = 1e3
    fit = fit_background(sci, err, dq, mask, template, template_dq=flags)
    np.testing.assert_array_equal(fit.coefficients, good.coefficients)
    nowhere = fit_background(sci, err, dq, mask, template, template_dq=np.ones_like(dq))
    assert "the reference is DO_NOT_USE at every background pixel" in nowhere.reason


@pytest.mark.parametrize("value", [0.0, 1e4])
def test_a_mask_from_residuals_does_not_see_flagged_pixels(value):
    sci, err, dq, _, template = sky_and_noise(5)
    sci[60:66, 30:160] += 2.0
    first = residual_mask(sci, err, dq, template, dispersion_axis=1)
    sci[(dq & 1) == 1] = value
    second = residual_mask(sci, err, dq, template, dispersion_axis=1)
    np.testing.assert_array_equal(second.mask, first.mask)
    fit = fit_background(sci, err, dq, second.mask, template)
    assert abs(fit.coefficients[0] - 0.583) < 4 * fit.standard_errors[0] + 0.002


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["boxes", "residual"])
def test_a_run_leaves_flagged_pixels_out_of_the_fit(scene, tmp_path, mode):
    path = scene[0] / "e1_rate.fits"
    with datamodels.open(path) as model:
        sci, dq = np.array(model.data), np.array(model.dq)
    bad = np.random.default_rng(1).random(SHAPE) < 0.06
    sci[bad], dq[bad] = 1e4, 1
    changed(path, data=sci, dq=dq)
    _, _, verdict = run_of(scene, tmp_path / "out", wfss_mask_mode=mode)
    found = verdict.record.found
    assert verdict.state == "COMPLETE"
    error = found.scaling_factor_errors[0]
    assert abs(found.scaling_factors[0] - SCALE) < 4 * error + 0.002
    with datamodels.open(verdict.products[0]) as product:
        assert ((product.dq[bad] & 1) == 1).all()


# Masks of one's own


def with_spectra(seed=2):
    sci, _, dq, mask, template = sky_and_noise(seed)
    for row in range(10, 140, 12):
        sci[row : row + 3] += 0.4
        mask[row - 2 : row + 5] = False
    return sci, dq, mask, template


@pytest.mark.parametrize("seed", range(5))
def test_an_inverted_mask_raises_a_doubt(seed):
    sci, dq, mask, template = with_spectra(seed)
    assert mask_doubts(sci, dq, mask, template) == ()
    (doubt,) = mask_doubts(sci, dq, ~mask, template)
    assert "brighter than the rest" in doubt
    assert "1 must be background" in doubt


def test_a_mask_of_next_to_nothing_raises_a_doubt():
    sci, dq, mask, template = with_spectra()
    mask[:] = False
    mask[6, :50] = True
    assert any("next to nothing" in doubt for doubt in mask_doubts(sci, dq, mask, template))


@pytest.mark.parametrize("seed", range(10))
def test_masks_of_chance_raise_no_doubt(seed):
    sci, _, dq, _, template = sky_and_noise(seed)
    rng = np.random.default_rng(seed)
    for share in (0.1, 0.5, 0.95):
        assert mask_doubts(sci, dq, rng.random(sci.shape) < share, template) == ()
    everything = np.ones(sci.shape, bool)
    assert mask_doubts(sci, dq, everything, template) == ()


@pytest.mark.slow
def test_an_inverted_mask_is_said_in_product_and_tables(scene, tmp_path):
    path = scene[0] / "e1_rate.fits"
    with datamodels.open(path) as model:
        sci = np.array(model.data)
    background = np.ones(SHAPE, np.uint8)
    background[::3] = 0
    sci[::3] += 0.2
    changed(path, data=sci)
    for name, mask in (("right", background), ("inverted", 1 - background)):
        fits.PrimaryHDU(mask).writeto(tmp_path / f"{name}.fits")
    plan, result, verdict = run_of(scene, tmp_path / "a", wfss_mask=str(tmp_path / "right.fits"))
    assert any("1 is background, 0 is a source" in note for note in plan.units[0].notes)
    assert verdict.record.found.fit_warnings == ()
    plan, result, verdict = run_of(scene, tmp_path / "b", wfss_mask=str(tmp_path / "inverted.fits"))
    assert verdict.state == "COMPLETE"
    (warning,) = verdict.record.found.fit_warnings
    assert "is it inverted?" in warning
    assert "is it inverted?" in as_text(run_table(plan, result.verdicts, 1.0))
    with fits.open(verdict.products[0]) as units:
        history = " ".join(units[0].header["HISTORY"]).replace("\n", "")
    assert "inverted" in history and "1 is background" in history


# Exposures as the archive has them


@pytest.mark.slow
@pytest.mark.parametrize("mode", few_fast(["NIS-R", "A-R", "MIRI"], 1))
def test_the_plan_says_that_a_rate_file_of_the_archive_has_no_wcs(tmp_path, mode):
    program, references = make_scene(tmp_path, MODES[mode], wcs=False)
    plan = bkgflow.plan(program, tmp_path / "out", references=references)
    (unit,) = plan.units
    assert unit.verdict.state == "QUARANTINED"
    for cure in ("assign_wcs", "wfss_mask_mode=residual", "wfss_mask"):
        assert cure in unit.verdict.error.cure
    assert "QUARANTINED" in as_text(plan_table(plan))
    plan = bkgflow.plan(program, tmp_path / "out", references=references, wfss_mask_mode="residual")
    assert plan.units[0].verdict.to_do
    assert bkgflow.run(plan, "threads").counts == {"COMPLETE": 1}


# Thin fits


@pytest.mark.slow
def test_a_factor_that_rests_on_little_is_said_and_can_be_refused(scene, tmp_path):
    path = scene[0] / "e1_rate.fits"
    mask = np.zeros(SHAPE, np.uint8)
    mask[5, :20] = 1
    fits.PrimaryHDU(mask).writeto(tmp_path / "mask.fits")
    with datamodels.open(path) as model:
        noise = np.random.default_rng(4).normal(0, 2.0, SHAPE).astype(np.float32)
        sci = model.data + noise
    changed(path, data=sci, err=np.full(SHAPE, 2.0, np.float32))
    own = {"wfss_mask": str(tmp_path / "mask.fits")}
    _, _, verdict = run_of(scene, tmp_path / "a", **own)
    assert verdict.state == "COMPLETE"
    words = " ".join(verdict.record.found.fit_warnings)
    assert "pixels, which are few" in words and "is uncertain" in words
    _, result, verdict = run_of(scene, tmp_path / "b", **own, wfss_max_error=0.1)
    assert verdict.state == "FAILED" and not result.ok
    assert "wfss_max_error allows 0.1" in verdict.reason
    with datamodels.open(verdict.products[0]) as product:
        np.testing.assert_array_equal(product.data, sci)
        assert product.meta.background.scaling_factor == 0
        np.testing.assert_array_equal(product.mask, mask)


@pytest.mark.slow
def test_a_good_factor_raises_no_warning(scene, tmp_path):
    _, _, verdict = run_of(scene, tmp_path / "out", wfss_max_error=0.1)
    assert verdict.state == "COMPLETE"
    assert verdict.record.found.fit_warnings == ()
