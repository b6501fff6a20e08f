"""The scale fit: against the peer's, against known truth, and where there is none."""

import io
import logging
import warnings
import zipfile

import numpy as np
import pytest
from astropy.io import fits
from jwst.background.background_sub_wfss import (
    ScalingFactorComputer,
    _sufficient_background_pixels,
)

from bkgflow.errors import MetadataError, SettingsError, ShapeError
from bkgflow.methods.slitless import (
    _parts,
    _pixels,
    enough_background,
    fit_background,
    fit_scale,
    subtract_scaled,
)
from bkgflow.rules import ScaleRule
from tests.helpers.pace import few_fast

logging.getLogger("jwst").setLevel(logging.ERROR)


def scene(rng, shape):
    """SCI, ERR, mask and template with everything that real files hold."""
    ny, nx = shape
    y, x = np.mgrid[:ny, :nx]
    template = 1 + 0.3 * np.sin(x / nx * 3 + rng.uniform(0, 6)) + 0.2 * y / ny
    err = 0.1 * rng.uniform(0.5, 3, shape)
    sci = rng.uniform(-0.5, 3) * template + err * rng.normal(size=shape)
    if rng.random() < 0.3:
        sci = np.round(sci * 8) / 8  # many equal values
        err[:] = 0.25
        template[:] = 1
    light = rng.random(shape) < 0.03
    sci[light] += rng.exponential(5, light.sum())
    for array, value, share in (
        (sci, np.nan, 0.02), (err, np.nan, 0.02), (template, np.nan, 0.02), (err, 0.0, 0.02),
        (err, 1e27, 0.01), (template, 0.0, 0.02), (sci, 1e6, 0.002), (err, 1e-7, 0.001),
    ):  # fmt: skip
        array[rng.random(shape) < share] = value
    err[np.isnan(sci)] = np.nan  # as the pipeline has it
    mask = rng.random(shape) < rng.uniform(0.2, 1)
    mask[:, : rng.integers(0, nx // 2)] = False
    return sci.astype(np.float32), err.astype(np.float32), mask, template.astype(np.float32)


def peers(sci, err, mask, template, **options):
    computer = ScalingFactorComputer(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        factor, _ = computer(sci.copy(), template.copy(), err.copy() ** 2, mask=~mask)
    return factor, computer._iters_run_last_call


@pytest.mark.slow
@pytest.mark.parametrize("seed", few_fast(range(60), 30))
def test_the_factor_is_the_peers(seed):
    rng = np.random.default_rng(seed)
    shape = [(40, 30), (64, 512), (300, 200), (256, 256)][seed % 4]
    percent = rng.choice([0.0, 0.1, 1.0, 2.0, 7.0, 25.0])
    maxiter = int(rng.integers(0, 9))
    stop = float(rng.choice([0.0, 0.0, 1e-4, 1e-2, 0.2]))
    axis = int(rng.integers(1, 3))
    data = scene(rng, shape)
    kept = [array.copy() for array in data]
    rule = ScaleRule(maxiter=maxiter, outlier_percent=percent, rms_stop=stop * 100)
    fit = fit_scale(*data, rule, dispersion_axis=axis)
    factor, rounds = peers(
        *data, p=percent, maxiter=maxiter, delta_rms_thresh=stop, dispersion_axis=axis
    )
    assert fit.reason is None
    np.testing.assert_allclose(fit.coefficients, [factor], rtol=1e-6)
    assert fit.iterations == rounds
    for array, before in zip(data, kept, strict=True):
        np.testing.assert_array_equal(array, before)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [0.0, 1e-3])
def test_the_factor_is_the_peers_on_a_frame_larger_than_the_sample(stop):
    rng = np.random.default_rng(7)
    sci, err, mask, template = scene(rng, (512, 700))
    sci += 2 * np.sin(np.arange(700) / 20).astype(np.float32)  # structure along the rows
    fit = fit_scale(
        sci, err, mask, template, ScaleRule(maxiter=12, rms_stop=100 * stop), dispersion_axis=1
    )
    factor, rounds = peers(
        sci, err, mask, template, maxiter=12, delta_rms_thresh=stop, dispersion_axis=1
    )
    np.testing.assert_allclose(fit.coefficients, [factor], rtol=1e-6)
    assert fit.iterations == rounds


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("percent", "stop"), [(0.3, 0.0), (1.0, 0.0), (1.0, 0.1), (4.0, 0.0)])
def test_pixels_that_cannot_be_far_out_are_passed_over_without_a_difference(
    monkeypatch, seed, percent, stop
):
    """Every bit is as if all pixels were looked at in every round; also if far ones run out."""
    rng = np.random.default_rng(seed)
    sci, err, mask, template = scene(rng, (260, 400))
    mask |= rng.random(mask.shape) < 0.6
    second = np.linspace(0, 1, 400, dtype=np.float32) + np.zeros_like(template)
    templates = np.stack([template, second])[: 1 + seed % 2]
    rule = ScaleRule(maxiter=20, outlier_percent=percent, rms_stop=stop)

    def found():
        fit = fit_scale(sci, err, mask, templates, rule, dispersion_axis=1 + seed % 2)
        return fit.coefficients.tobytes(), fit.covariance.tobytes(), fit.n_used, fit.iterations

    taken = []
    far = _parts.Part.far
    with monkeypatch.context() as patch:
        patch.setattr(_parts.Part, "far", lambda *a: taken.append(1) or far(*a))
        by_far = found()
    monkeypatch.setattr(_pixels, "MOST_FAR", 0.0)
    assert found() == by_far
    assert taken or by_far[-1] < 2  # none before the second round


def plainly(sci, err, mask, templates, rule):
    """Return the factors and how many pixels they rest on, or None: as the rule is written."""
    with np.errstate(all="ignore"):
        variance = np.where((v := err.astype(float) ** 2) > 0, v, np.inf)
    left = mask & np.isfinite(sci) & (err != 0) & np.isfinite(templates).all(axis=0)
    for iteration in range(rule.maxiter + 1):
        used = left & np.isfinite(variance)
        if used.sum() < len(templates):
            return None
        root = np.sqrt(variance[used])
        factors = np.linalg.lstsq((templates[:, used] / root).T, sci[used] / root)[0]
        if iteration < rule.maxiter:
            residual = sci - np.tensordot(factors, templates, 1)
            low, high = np.percentile(
                residual[left], [rule.outlier_percent, 100 - rule.outlier_percent]
            )
            left &= (residual >= low) & (residual <= high)
    return factors, used.sum()


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("number", [1, 2, 3])
def test_several_skies_are_fitted_as_the_rule_is_written(seed, number):
    rng = np.random.default_rng(seed)
    shape = [(3, 5), (40, 37), (130, 260)][seed % 3]
    skies = 1 + 0.3 * rng.normal(size=(number, *shape))
    sci = np.tensordot(rng.uniform(-1, 3, number), skies, 1) + 0.1 * rng.normal(size=shape)
    err = rng.uniform(0.05, 0.2, shape)
    for array, value in ((sci, np.nan), (err, np.nan), (err, 0.0), (skies, np.nan)):
        array[rng.random(array.shape) < 0.03] = value
    mask = rng.random(shape) < [1, 0.5, 0.05][seed % 5 % 3]
    rule = ScaleRule(maxiter=seed % 4, outlier_percent=[0.5, 5, 20][seed % 3])
    mirrored = [array[..., ::-1, :].copy()[..., ::-1, :] for array in (sci, err, mask, skies)]
    fit, wanted = fit_scale(*mirrored, rule), plainly(sci, err, mask, skies, rule)
    if wanted is None:
        assert fit.reason
        return
    np.testing.assert_allclose(fit.coefficients, wanted[0], rtol=1e-9)
    assert fit.n_used == wanted[1]


@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_fewer_pixels_than_skies_fit_nothing(number, seed):
    rng = np.random.default_rng(seed)
    skies = rng.uniform(0.5, 2, (number, 20, 30)) * 10.0 ** rng.integers(-6, 6)
    sci, mask = skies.sum(axis=0), np.zeros(skies.shape[1:], bool)
    mask.flat[rng.choice(mask.size, number - 1, replace=False)] = True
    fit = fit_scale(sci, np.full(sci.shape, 0.1), mask, skies)
    assert fit.reason is not None and "No unique factors" in fit.reason


def test_a_sky_is_subtracted_alike_in_one_pass_and_in_blocks():
    rng = np.random.default_rng(1)
    sky, factor = rng.normal(1, 1, (1, 70, 90)).astype(np.float32), np.array([0.37])
    sky[0, 3, 4] = np.nan
    sci = rng.normal(5, 1, (70, 180)).astype(np.float32)
    whole, parts = sci[:, ::2].copy(), sci[:, ::2]
    assert not parts.flags.c_contiguous
    subtract_scaled(whole, sky, factor)
    subtract_scaled(parts, sky, factor)
    np.testing.assert_array_equal(whole, parts)
    assert np.isnan(whole[3, 4])


def test_nan_in_sci_alone_does_not_make_the_factor_smaller():
    """The peer leaves such pixels out of one of its two sums only."""
    sci, err, template = np.full((3, 10, 10), 2.0, np.float32)
    sci[:5] = np.nan
    mask = np.ones(sci.shape, bool)
    assert fit_scale(sci, err, mask, template).coefficients[0] == pytest.approx(1)
    assert peers(sci, err, mask, template)[0] == 0.5


@pytest.mark.slow
def test_doubles_and_big_endian_arrays_give_the_same():
    sci, err, mask, template = scene(np.random.default_rng(1), (64, 64))
    first = fit_scale(sci, err, mask, template).coefficients
    for dtype in (">f4", "f8"):
        again = fit_scale(*(a.astype(dtype) for a in (sci, err)), mask, template.astype(dtype))
        np.testing.assert_allclose(again.coefficients, first, rtol=1e-6)


def test_two_templates_are_least_squares():
    rng = np.random.default_rng(3)
    sci, err, mask, first = scene(rng, (60, 80))
    second = np.linspace(0, 1, 80, dtype=np.float32) ** 2 + np.zeros_like(first)
    sci += 0.7 * second
    fit = fit_scale(sci, err, mask, np.stack([first, second]), ScaleRule(maxiter=0))
    use = mask & np.isfinite(sci * first) & (err > 0) & (err < 1e20)
    design = (np.stack([first, second])[:, use] / err[use].astype(float)).T
    truth, *_ = np.linalg.lstsq(design, sci[use] / err[use].astype(float), rcond=None)
    np.testing.assert_allclose(fit.coefficients, truth, rtol=1e-5)
    np.testing.assert_allclose(
        fit.covariance / fit.noise_scale**2, np.linalg.inv(design.T @ design), rtol=1e-5
    )
    assert fit.n_used == use.sum()
    assert fit.fraction == use.sum() / sci.size


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_templates", "claimed", "options"),
    [
        (1, 1.0, {}),
        (2, 1.0, {}),
        (1, 1.0, {"maxiter": 0}),
        (2, 0.4, {"outlier_percent": 0.2}),  # ERR too small by 2.5
        (1, 1.0, {"outlier_percent": 8.0}),
    ],
)
def test_the_truth_is_within_three_standard_errors(n_templates, claimed, options):
    """100 draws of a full frame with uneven noise and one outlier in a hundred."""
    rng = np.random.default_rng(11)
    shape = (2048, 2048)
    y, x = np.mgrid[:2048, :2048].astype(np.float32) / 2048
    templates = np.stack([1 + 0.2 * np.sin(5 * x), np.exp(-8 * (y - 0.4) ** 2) + 0.1])
    templates = templates[:n_templates]
    truth = np.array([0.5, 0.2])[:n_templates]
    mask = np.zeros(shape, bool)
    mask[::8, ::8] = True
    err = np.full(shape, 1.0, np.float32)
    err[mask] = 0.05 * (1 + x[mask])
    sky = np.tensordot(truth, templates, 1)[mask]
    sci = np.zeros(shape, np.float32)
    pulls = []
    for _ in range(100):
        noise = rng.standard_normal(sky.size)
        outliers = rng.integers(0, sky.size, sky.size // 100 if options.get("maxiter") != 0 else 0)
        noise[outliers] *= 10
        sci[mask] = sky + noise * err[mask]
        fit = fit_scale(sci, err * np.float32(claimed), mask, templates, ScaleRule(**options))
        pulls.append((fit.coefficients - truth) / fit.standard_errors)
    pulls = np.array(pulls)
    assert (np.abs(pulls) <= 3).sum(axis=0).min() >= 95
    assert np.all(np.abs(pulls.mean(axis=0)) < 0.35)  # no bias
    assert np.all(pulls.std(axis=0) < 1.15)  # not optimistic
    assert np.all(pulls.std(axis=0) > 0.25)  # and not idle


def test_noise_scale_says_by_how_much_err_is_too_small():
    rng = np.random.default_rng(2)
    template = np.ones((300, 300), np.float32)
    sci = (2 + 0.3 * rng.normal(size=template.shape)).astype(np.float32)
    mask = np.ones(template.shape, bool)
    good = fit_scale(sci, np.full_like(sci, 0.3), mask, template)
    small = fit_scale(sci, np.full_like(sci, 0.1), mask, template)
    assert good.noise_scale == pytest.approx(1, abs=0.02)
    assert small.noise_scale == pytest.approx(3, rel=0.02)
    np.testing.assert_allclose(small.standard_errors, good.standard_errors, rtol=0.02)


def test_reasons_why_there_is_no_factor():
    sci, err, template = np.ones((3, 20, 20), np.float32)
    mask = np.ones(sci.shape, bool)
    nan = np.full_like(sci, np.nan)
    zero = np.zeros_like(sci)
    for arrays, reason in (
        ((sci, zero, mask, template), "ERR is 0 or not finite"),
        ((sci, nan, mask, template), "ERR is 0 or not finite"),
        ((nan, err, mask, template), "SCI is not finite"),
        ((sci, err, mask, zero), "the reference is 0 or not finite"),
        ((sci, err, mask, nan), "the reference is 0 or not finite"),
        ((sci, err, ~mask, template), "leaves no background pixel"),
        ((sci, err, mask, np.stack([template, 2 * template])), "combination of the others"),
        ((sci, err, mask, np.stack([template, zero])), "has no weight"),
    ):
        fit = fit_scale(*arrays)
        assert fit.reason is not None and reason in fit.reason
        assert not fit.coefficients.any() and fit.n_used == 0
        assert np.isnan(fit.standard_errors).all()
    left, right = sci.copy(), err.copy()
    left[:, :10], right[:, 10:] = np.nan, 0
    assert "all at once" in fit_scale(left, right, mask, template).reason


def test_everything_rejected_is_no_factor():
    sci = np.array([[1.0, 2.0]], np.float32)
    fit = fit_scale(sci, np.ones_like(sci), np.ones(sci.shape, bool), np.ones_like(sci))
    assert fit.reason is not None
    assert np.isnan(peers(sci, np.ones_like(sci), np.ones(sci.shape, bool), np.ones_like(sci))[0])


def test_an_outlier_of_huge_weight_leaves_no_rounding_behind():
    rng = np.random.default_rng(8)
    template = np.ones((100, 100), np.float32)
    sci = (1 + 0.1 * rng.normal(size=template.shape)).astype(np.float32)
    err = np.full_like(sci, 0.1)
    sci[5, 5], err[5, 5] = 1.00001e4, 1e-9
    mask = np.ones(sci.shape, bool)
    fit = fit_scale(sci, err, mask, template, ScaleRule(maxiter=3))
    factor, _ = peers(sci, err, mask, template, maxiter=3)
    sci[5, 5] = np.nan
    assert factor == pytest.approx(fit.coefficients[0], rel=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"maxiter": -1},
        {"outlier_percent": 50},
        {"outlier_percent": -1},
        {"outlier_percent": np.nan},
        {"rms_stop": -1},
        {"rms_stop": np.nan},
    ],
)
def test_settings_out_of_bounds(options):
    with pytest.raises(SettingsError):
        ScaleRule(**options)


@pytest.mark.parametrize("axis", [None, 3])
def test_rms_stop_needs_the_dispersion_axis(axis):
    image, mask = np.ones((4, 4), np.float32), np.ones((4, 4), bool)
    with pytest.raises(MetadataError, match="dispersion axis"):
        fit_scale(image, image, mask, image, ScaleRule(rms_stop=1.0), dispersion_axis=axis)


def test_shapes_that_do_not_fit():
    image, mask = np.ones((4, 4), np.float32), np.ones((4, 4), bool)
    for arrays in (
        (image, image, mask, image[:3]),
        (image, image[:3], mask, image),
        (image, image, mask[:, :2], image),
        (image, image, mask, np.ones((0, 4, 4), np.float32)),
    ):
        with pytest.raises(ShapeError):
            fit_scale(*arrays)


@pytest.mark.parametrize("seed", range(40))
def test_enough_background_is_the_peers_rule(seed):
    rng = np.random.default_rng(seed)
    shape = (20, 30)
    dq = rng.choice(np.array([0, 1, 2, 5, 1 << 31], np.uint32), shape)
    bkg = rng.choice(np.array([0, 1, np.nan], np.float32), shape)
    n = [29, 30, 31, 45, 90][seed % 5]
    mask = np.zeros(600, bool)
    good = np.flatnonzero(((dq & 1) == 0).ravel() & (bkg != 0).ravel())
    mask[good[:n]] = True
    bad = np.flatnonzero(((dq & 1) == 1).ravel() | (bkg == 0).ravel())
    mask[bad[: int(rng.integers(0, bad.size))]] = True
    mask = mask.reshape(shape)
    expected = bool(_sufficient_background_pixels(dq, mask, bkg))
    assert expected == (n > 30)
    assert (enough_background(mask, dq, bkg) is None) is expected
    assert (enough_background(mask, dq, np.stack([0 * bkg, bkg])) is None) is expected


def test_a_users_mask_needs_one_pixel():
    dq, bkg = np.ones((20, 30), np.uint32), np.zeros((20, 30), np.float32)
    mask = np.ones((20, 30), bool)
    reason = enough_background(mask, dq, bkg, users=True)
    assert reason is not None and "0 of 600 (0 %)" in reason
    dq[3, 4] = 0
    assert enough_background(mask, dq, bkg, users=True) is None
    sci = np.ones((20, 30), np.float32)
    fit = fit_background(sci, sci, dq | 1, mask, sci, users=True)
    assert fit.reason == reason
    fit = fit_background(sci, sci, dq, mask, sci, ScaleRule(maxiter=0), users=True)
    assert fit.coefficients[0] == pytest.approx(1)


def test_subtraction():
    rng = np.random.default_rng(0)
    sci = rng.normal(size=(30, 40)).astype(np.float32)
    templates = rng.normal(size=(2, 30, 40)).astype(np.float32)
    templates[1, 2, 3] = np.nan
    sky = 0.3 * templates[0].astype(float) - 1.7 * templates[1].astype(float)
    expected = (sci - sky).astype(np.float32)
    subtract_scaled(sci, templates, np.array([0.3, -1.7]))
    np.testing.assert_array_equal(sci, expected)
    assert np.isnan(sci[2, 3])


@pytest.mark.real
@pytest.mark.parametrize("grism", ["GRISMC", "GRISMR"])
def test_a_real_sky_goes(real_data, grism):
    """The projection of the residual on the real template falls at least fifty-fold."""
    path = real_data / "nircam_wfss" / f"median_bkg_F356W_modA_{grism}.fits.zip"
    with zipfile.ZipFile(path) as archive:
        content = io.BytesIO(archive.read(archive.namelist()[0]))
    with fits.open(content) as units:
        template = units[0].data.astype(np.float32)
    rng = np.random.default_rng(1)
    level = float(np.nanmedian(template))
    scale, sigma = 1.3, 0.1 * 1.3 * level
    sci = scale * template + sigma * rng.standard_normal(template.shape, dtype=np.float32)
    mask = np.ones(sci.shape, bool)
    for _ in range(60):  # spectra and their boxes
        y, x = rng.integers(0, 2000, 2)
        sci[y + 8 : y + 14, x : x + 900] += 20 * sigma
        mask[y : y + 22, x : x + 900] = False
    err = np.full_like(sci, sigma)
    fit = fit_scale(sci, err, mask, template)
    assert abs(fit.coefficients[0] - scale) < 3 * fit.standard_errors[0]
    free = mask & np.isfinite(template)
    before = (sci[free] * template[free]).sum(dtype=float)
    subtract_scaled(sci, template, fit.coefficients)
    after = (sci[free] * template[free]).sum(dtype=float)
    assert abs(before / after) >= 50
