"""SOSS time series as people have them: bad integrations, thin fits, skies and segments."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from jwst.background.background_sub_soss import subtract_soss_bkg
from stdatamodels.jwst import datamodels

import bkgflow
from bkgflow.errors import SettingsError
from bkgflow.io.references.soss_library import cut_library
from bkgflow.io.storage.location import Location
from bkgflow.kinds.soss_found import sides_of
from bkgflow.kinds.thin import thin_fits
from bkgflow.methods.soss import ArraySegment, fit_soss, subtract_soss
from bkgflow.methods.soss.outlying import outlying
from bkgflow.methods.soss.regions import discontinuity
from bkgflow.plot.products import panels_of
from bkgflow.report.tables import as_text
from bkgflow.report.unit_tables import run_table
from bkgflow.rules import SossRule
from bkgflow.settings import StepSettings
from bkgflow.simulate import simulate_soss
from bkgflow.simulate.instruments import load_instrument
from bkgflow.simulate.soss import SossSky, plan_series
from bkgflow.simulate.writer import draw as draw_exposure
from bkgflow.simulate.writer import under_the_sky
from tests.helpers.pace import few_fast
from tests.helpers.soss import DO_NOT_USE, make_library, observe, same

MODES = ("exposure", "file", "integration")


@pytest.fixture(scope="module")
def series():
    """Six integrations of 96 rows and their library."""
    rng = np.random.default_rng(40)
    library = make_library(rng, 3, 96)
    return *observe(rng, library[1] * 0.8, 6), library


# Integrations gone wrong


def spoilt(sci, kind):
    """One integration as it may come: a copy of SCI in which the third one is bad."""
    bad = sci.copy()
    if kind == "noise":
        bad[2] += np.random.default_rng(0).normal(0, 100, bad[2].shape).astype(np.float32)
    elif kind == "zeros":
        bad[2] = 0
    elif kind == "part":
        bad[2, :, :1200] -= 300
    else:
        bad[2] = bad[2] * 3 if kind == "tripled" else bad[2] + float(kind)
    return bad


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["500", "-500", "50", "1e6", "tripled", "noise", "zeros", "part"])
def test_a_bad_integration_does_not_move_the_scales_of_the_good_ones(series, kind, mode):
    sci, dq, library = series
    good = np.arange(6) != 2
    rule = SossRule(fit=mode)
    [expected] = fit_soss([ArraySegment(sci[good], dq[good])], library, rule)
    [fit] = fit_soss([ArraySegment(spoilt(sci, kind), dq)], library, rule)
    assert fit.outlying == (2,)
    assert (fit.template, fit.threshold) == (expected.template, expected.threshold)
    np.testing.assert_array_equal(fit.n_used, expected.n_used)
    if mode == "integration":
        np.testing.assert_array_equal(fit.scales[:, good], expected.scales)
        [whole] = fit_soss([ArraySegment(sci[good], dq[good])], library)
        np.testing.assert_array_equal(fit.scales[:, 2], whole.scales[:, 0])
    else:
        np.testing.assert_array_equal(fit.scales, expected.scales)
    (note,) = (note for note in fit.notes if "far from the others" in note)
    assert note.startswith("integration 3 ")


def test_a_bad_integration_of_another_segment_is_named_there(series):
    sci, dq, library = series
    parts = [slice(0, 2), slice(2, 6)]
    bad = spoilt(sci, "500")
    fits_of = fit_soss([ArraySegment(bad[k], dq[k]) for k in parts], library)
    assert [fit.outlying for fit in fits_of] == [(), (0,)]
    assert not any("far" in note for note in fits_of[0].notes)
    assert fits_of[1].notes[-1].startswith("integration 1 ")


def test_several_bad_integrations_are_left_out(series):
    sci, dq, library = series
    bad = sci.copy()
    bad[0] += 500
    bad[4] -= 80
    good = [1, 2, 3, 5]
    [fit] = fit_soss([ArraySegment(bad, dq)], library)
    [expected] = fit_soss([ArraySegment(sci[good], dq[good])], library)
    assert fit.outlying == (0, 4)
    np.testing.assert_array_equal(fit.scales, expected.scales)


def test_of_two_integrations_none_is_the_bad_one(series):
    sci, dq, library = series
    bad = sci[:2].copy()
    bad[1] += 500
    [fit] = fit_soss([ArraySegment(bad, dq[:2])], library)
    assert fit.outlying == ()


@pytest.mark.slow
@pytest.mark.parametrize("subarray", few_fast(["SUBSTRIP96", "SUBSTRIP256"], 1))
@pytest.mark.parametrize(("depth", "drift"), [(0.0, 0.0), (0.02, 0.0), (0.15, 0.1), (0.02, -0.4)])
def test_transits_drifts_and_noise_are_not_outlying(subarray, depth, drift):
    strip = load_instrument(subarray)
    sky = SossSky(templates=1, true=0, scales=(1.0, 1.0), drift=drift)
    truth = plan_series(strip, 9, 1, sky=sky, depth=depth, stripes=0.3, seed=8)
    [arrays] = [draw_exposure(truth, strip, shot) for shot in under_the_sky(truth, {})]
    library = cut_library(sky.library(), strip.native.shape)[0]
    [fit] = fit_soss([ArraySegment(arrays["data"], arrays["dq"])], library)
    assert fit.outlying == () and fit.template == 0


@pytest.mark.parametrize("n", [3, 4, 5, 8, 30, 300])
def test_noise_alone_is_never_outlying(n):
    """Quantiles of a frame scatter by a thirtieth of the distance between them, at the most."""
    rng = np.random.default_rng(n)
    for _ in range(300):
        quantiles = np.array([4.4, 5.0]) + rng.standard_t(5, (n, 2)) * 0.02
        assert not outlying(quantiles).any()


@pytest.mark.slow
@pytest.mark.parametrize("seed", few_fast(range(8), 2))
def test_series_without_a_bad_integration_are_fitted_as_the_peer_fits_them(seed):
    rng = np.random.default_rng(700 + seed)
    library = make_library(rng, 2)[:, 10:106]
    sci, dq = observe(rng, library[0] * rng.uniform(0.5, 2), 5, noise=rng.uniform(0.05, 1))
    sci *= (1 - 0.05 * rng.random((5, 1, 1))).astype(np.float32)
    [fit] = fit_soss([ArraySegment(sci, dq)], library)
    left = sci.copy()
    subtract_soss(left, library, fit)
    whole = np.ones((2, 256, 2048), np.float32)
    whole[:, 10:106] = library
    with datamodels.CubeModel(sci.shape) as model, datamodels.SossBkgModel(data=whole) as reference:
        model.data, model.dq = sci, dq
        theirs = subtract_soss_bkg(model, reference, 35.0, [25.0, 50.0])
        np.testing.assert_array_equal(left, theirs.data)


# A program on disk


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("soss") / "program"
    return simulate_soss(
        folder, integrations=6, segments=3, subarray="SUBSTRIP96", templates=2, seed=3
    )


def run_of(folder, out, library, **arguments):
    plan = bkgflow.plan(folder, out, override_bkg=str(library), **arguments)
    return plan, bkgflow.run(plan, "threads")


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_a_bad_integration_is_named_in_product_and_table(program, tmp_path, mode):
    folder, names = tmp_path / "program", [path.name for path in program.exposures]
    shutil.copytree(program.folder, folder)
    for name in names:  # of one file, each: only then there are three to compare in "file"
        with datamodels.open(folder / name) as model:
            copy = model.copy()
        for each in ("data", "err", "dq"):
            copy[each] = np.repeat(np.array(copy[each]), 2, axis=0)
        if name == names[1]:
            copy.data[1] += 500
        for each in ("var_poisson", "var_rnoise", "var_flat", "int_times"):
            copy.instance.pop(each, None)
        copy.save(str(folder / name))
    plan, result = run_of(folder, tmp_path / "out", program.references[0], soss_fit=mode)
    assert result.counts == {"COMPLETE": 3}
    found = [verdict.record.found for verdict in result.verdicts]
    assert [each.outlying_integrations for each in found] == [(), (2,), ()]
    assert any("took no part in the fit" in word for word in found[1].fit_warnings)
    assert "took no part in the fit" in as_text(run_table(plan, result.verdicts, 1.0))
    path = result.verdicts[1].products[0]
    with datamodels.open(path) as product, datamodels.open(folder / names[1]) as target:
        assert product.meta.bkgflow.instance["outlying_integrations"] == [2]
        sky = np.nanmedian(target.data - product.data, axis=(1, 2))
    assert sky[1] == pytest.approx(sky[0], rel=0.05)  # not of the scale of its offset


# Thin fits


def thin(scales, errors, n):
    """What is said of a fit with these scales and errors."""
    rng = np.random.default_rng(1)
    library = make_library(rng, 1, 96)
    sci, dq = observe(rng, library[0], 1)
    [fit] = fit_soss([ArraySegment(sci, dq)], library)
    return replace(
        fit, scales=np.array(scales), errors=np.array(errors), n_used=np.array(n, np.int64)
    )


def test_few_pixels_and_wide_errors_are_said():
    fit = thin([[1.0], [0.9]], [[0.1], [0.9]], [30000, 105])
    words = thin_fits(sides_of(fit))
    assert words[0] == "the right scale rests on 105 pixels, which are few"
    assert words[1].startswith("the right scale is uncertain: 0.9 ± 0.9 (100% of it)")
    assert thin_fits(sides_of(thin([[1.0], [0.9]], [[0.1], [0.2]], [30000, 4000]))) == ()
    # One integration of many does not speak for all.
    series = thin([[1.0, 1.0, 1.0], [0.9] * 3], [[0.1, 5.0, 0.1], [0.1] * 3], [30000, 4000])
    assert thin_fits(sides_of(series)) == ()


@pytest.mark.slow
@pytest.mark.parametrize("subarray", ["SUBSTRIP96", "SUBSTRIP256"])
@pytest.mark.parametrize("seed", few_fast(range(1, 7), 2))
def test_the_simulated_scene_can_be_fitted(subarray, seed):
    strip = load_instrument(subarray)
    rng = np.random.default_rng(seed)
    sky = SossSky(
        templates=3, true=seed % 3, scales=tuple(rng.uniform(0.8, 1.2, 2).tolist()), drift=0.05
    )
    truth = plan_series(strip, 2, 1, sky=sky, depth=0.02, stripes=0.05, seed=seed)
    [arrays] = [draw_exposure(truth, strip, shot) for shot in under_the_sky(truth, {})]
    library = cut_library(sky.library(), strip.native.shape)[0]
    [fit] = fit_soss([ArraySegment(arrays["data"], arrays["dq"])], library)
    assert thin_fits(sides_of(fit)) == ()
    assert (fit.errors / fit.scales < 0.25).all()
    assert (fit.n_used > 1000).all()
    assert np.all(np.abs(fit.scales[:, 0] - sky.scales) < 3 * fit.errors[:, 0])


@pytest.mark.slow
def test_a_limit_on_the_error_ends_failed_and_leaves_the_data(program, tmp_path):
    _, result = run_of(program.folder, tmp_path / "a", program.references[0], soss_max_error=0.01)
    assert result.counts == {"FAILED": 3} and not result.ok
    verdict = result.verdicts[0]
    assert "soss_max_error allows 0.01" in verdict.reason
    assert verdict.record.found.left_scale is not None
    with (
        datamodels.open(verdict.products[0]) as product,
        datamodels.open(program.exposures[0]) as target,
    ):
        assert product.meta.cal_step.bkg_subtract == "FAILED"
        np.testing.assert_array_equal(product.data, target.data)
    _, result = run_of(program.folder, tmp_path / "b", program.references[0], soss_max_error=0.5)
    assert result.counts == {"COMPLETE": 3}
    assert all(verdict.record.found.fit_warnings == () for verdict in result.verdicts)


@pytest.mark.parametrize("limit", [0, -1, "wide"])
def test_limits_that_are_none_are_refused(limit):
    for name in ("soss_max_error", "wfss_max_error"):
        with pytest.raises(SettingsError, match=name):
            StepSettings.of(**{name: limit})


@pytest.mark.slow
def test_the_picture_draws_the_whole_error(program, tmp_path):
    _, result = run_of(program.folder, tmp_path / "out", program.references[0])
    unit, verdict = result.pairs()[0]
    _, segments = panels_of(unit.target, Location.of(verdict.products[0]))
    found = verdict.record.found
    np.testing.assert_array_equal(segments[0].errors[0], found.left_scale_error * 2)
    np.testing.assert_array_equal(segments[0].errors[1], found.right_scale_error * 2)
    assert found.left_scale_error > found.left_scale_random_error


# A sky that fills the frame


def full_of_sky(rng, ny=96):
    library = make_library(rng, 1, ny)
    sci = (library * 0.9 + rng.normal(0, 0.05, library.shape)).astype(np.float32)
    return sci, np.zeros(sci.shape, np.uint32), library


def test_a_sky_that_fills_the_frame_names_its_cure():
    sci, dq, library = full_of_sky(np.random.default_rng(1))
    [fit] = fit_soss([ArraySegment(sci, dq)], library, SossRule(source_percentile=20.0))
    assert fit.template is None
    assert "soss_source_percentile" in fit.reason and "80" in fit.reason
    assert "right of it" in fit.reason
    [fit] = fit_soss([ArraySegment(sci, dq)], library, SossRule(source_percentile=80.0))
    assert fit.template == 0


@pytest.mark.parametrize("both", [(80.0, 80.0), (60.0, 35.0), (35.0, 60.0)])
def test_each_side_can_have_a_threshold_of_its_own(both):
    sci, dq, library = full_of_sky(np.random.default_rng(2))
    [fit] = fit_soss([ArraySegment(sci, dq)], library, SossRule(source_percentile=both))
    np.testing.assert_allclose(fit.scales[:, 0], 0.9, atol=0.01)
    steps = discontinuity(library[0])
    left, right = sci[0][:, : steps.max()], sci[0][:, steps.min() : 951]
    for side, values, percentile in zip((0, 1), (left, right), both, strict=True):
        assert fit.threshold[side] == np.percentile(values, percentile)


@pytest.mark.slow
def test_thresholds_apart_stream_and_split_like_the_whole(series):
    sci, dq, library = series
    rule = SossRule(source_percentile=(50.0, 40.0))
    [whole] = fit_soss([ArraySegment(sci, dq)], library, rule)
    for fit in fit_soss(
        [ArraySegment(sci[k], dq[k]) for k in (slice(2), slice(2, 6))], library, rule
    ):
        same(fit, whole)
    [spoilt_fit] = fit_soss([ArraySegment(spoilt(sci, "500"), dq)], library, rule)
    good = np.arange(6) != 2
    [expected] = fit_soss([ArraySegment(sci[good], dq[good])], library, rule)
    same(spoilt_fit, expected)


@pytest.mark.parametrize("given", ["80,60", [80, 60], (80.0, 60.0)])
def test_two_percentiles_are_an_argument(given):
    settings = StepSettings.of(soss_source_percentile=given)
    assert settings.soss_rule.source_percentile == (80.0, 60.0)
    assert StepSettings.of(soss_source_percentile="80").soss_source_percentile == 80.0


@pytest.mark.parametrize("given", ["80,120", (80,), (1, 2, 3), "a,b", ",", -1, 101])
def test_percentiles_that_are_none_are_refused(given):
    with pytest.raises(SettingsError, match=r"^soss_source_percentile"):
        StepSettings.of(soss_source_percentile=given)


@pytest.mark.slow
def test_a_run_with_thresholds_apart_says_and_draws_both(program, tmp_path):
    _, result = run_of(
        program.folder, tmp_path / "out", program.references[0], soss_source_percentile="60,40"
    )
    assert result.counts == {"COMPLETE": 3}
    unit, verdict = result.pairs()[0]
    left, right = verdict.record.found.source_threshold
    assert left != right
    panels, _ = panels_of(unit.target, Location.of(verdict.products[0]))
    regions = panels[1].image
    assert (regions < 0).any() and (regions > 0).any()


@pytest.mark.real
@pytest.mark.parametrize("both", [(80.0, 80.0), (60.0, 60.0)])
def test_a_flight_frame_of_f277w_is_fitted_with_the_cure(real_data, both):
    library = np.load(real_data / "soss" / "model_background96.npy")[None].astype(np.float32)
    frame = np.load(real_data / "soss" / "f277w_frame.npy")[10:106]
    sci = (frame + library[0]).astype(np.float32)
    dq = np.zeros(sci.shape, np.uint32)
    dq[:, :4] = dq[:, -4:] = DO_NOT_USE
    [fit] = fit_soss([ArraySegment(sci, dq)], library)
    assert fit.template is None and "soss_source_percentile" in fit.reason
    for percentile, tolerance in ((80.0, 0.02), (both, 0.015)):
        [fit] = fit_soss([ArraySegment(sci, dq)], library, SossRule(source_percentile=percentile))
        np.testing.assert_allclose(fit.scales[:, 0], 1, atol=tolerance)
        assert thin_fits(sides_of(fit)) == ()
