"""Simulated SOSS time series: files, truth, and a sky that the fit finds again."""

import json

import numpy as np
import pytest
from stdatamodels.jwst import datamodels

from bkgflow.detector import DO_NOT_USE, REFERENCE_PIXEL
from bkgflow.errors import SettingsError
from bkgflow.io.exposures.from_fits import inspect
from bkgflow.io.models import open_model
from bkgflow.io.references.soss_library import SourceSegment, cut_library, read_library
from bkgflow.methods.soss import ArraySegment, fit_soss, subtract_soss
from bkgflow.rules import SossRule
from bkgflow.simulate import SossTruth, simulate_soss
from bkgflow.simulate.instruments import load_instrument
from bkgflow.simulate.soss import SossSky, plan_series
from bkgflow.simulate.writer import draw as draw_exposure
from bkgflow.simulate.writer import under_the_sky

STRIP96 = load_instrument("SUBSTRIP96")
DEPTH = 0.02


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Four segments of the short subarray."""
    return simulate_soss(
        tmp_path_factory.mktemp("soss"), integrations=10, subarray="SUBSTRIP96", depth=DEPTH, seed=3
    )


def cubes(program):
    """SCI and DQ of each segment."""
    found = []
    for path in program.exposures:
        with open_model(path) as model:
            found.append((np.array(model.data), np.array(model.dq)))
    return found


@pytest.mark.slow
def test_segments_are_valid_models_that_follow_each_other(program):
    assert len(program.exposures) == 4
    first, times = 0, []
    for number, path in enumerate(program.exposures, start=1):
        assert path.name == f"jw99005001001_02101_00001-seg{number:03d}_nis_rateints.fits"
        with datamodels.open(path, strict_validation=True) as model:
            model.validate()
            assert type(model) is datamodels.CubeModel
            exposure = model.meta.exposure
            assert (exposure.type, exposure.nints) == ("NIS_SOSS", 10)
            assert exposure.segment_number == number
            assert exposure.integration_start == first + 1
            first += len(model.data)
            assert exposure.integration_end == first
            assert model.meta.subarray.name == "SUBSTRIP96"
            assert (model.meta.subarray.xstart, model.meta.subarray.ystart) == (1, 1803)
            assert (model.meta.instrument.pupil, model.meta.instrument.detector) == (
                "GR700XD",
                "NIS",
            )
            assert len(model.int_times) == len(model.data)
            times += list(model.int_times["int_mid_MJD_UTC"])
    assert first == 10
    assert np.ptp(np.diff(times)) < 1e-9
    assert np.diff(times).min() > 0


@pytest.mark.slow
def test_the_library_is_a_reference_file(program):
    with datamodels.open(program.references[0]) as model:
        assert type(model) is datamodels.SossBkgModel
        assert model.data.shape == (5, 256, 2048)
        assert (model.meta.reftype, model.meta.instrument.name) == ("bkg", "NIRISS")
        assert model.meta.exposure.type == "NIS_SOSS"
        model.validate()
    np.testing.assert_array_equal(
        read_library(program.references[0]), program.truth.library_sky.library()
    )


def test_each_segment_has_an_association(program):
    for path, exposure in zip(program.associations, program.exposures, strict=True):
        (product,) = json.loads(path.read_text())["products"]
        assert [m["expname"] for m in product["members"]] == [exposure.name]
        assert exposure.name == product["name"] + "_rateints.fits"
    assert len(set(program.associations)) == 4


@pytest.mark.slow
def test_a_seed_gives_one_program_and_however_it_is_cut(program, tmp_path):
    arguments = {"integrations": 10, "subarray": "SUBSTRIP96", "depth": DEPTH}
    again = simulate_soss(tmp_path / "again", **arguments, seed=3)
    whole = simulate_soss(tmp_path / "whole", **arguments, seed=3, segments=1)
    other = simulate_soss(tmp_path / "other", **arguments, seed=4)
    sci, dq = (np.concatenate(each) for each in zip(*cubes(program), strict=True))
    for same in (again, whole):
        found = [np.concatenate(each) for each in zip(*cubes(same), strict=True)]
        np.testing.assert_array_equal(found[0], sci)
        np.testing.assert_array_equal(found[1], dq)
    assert not np.array_equal(cubes(other)[0][0], cubes(program)[0][0])


@pytest.mark.slow
def test_the_truth_is_kept_and_is_that_of_the_data(program):
    truth = SossTruth.load(program.folder)
    assert truth == program.truth
    sigma = truth.detector.sigma(6.0)
    for segment, (sci, dq) in zip(truth.exposures, cubes(program), strict=True):
        sky, sources = truth.sky(segment.window), truth.sources(segment.name)
        assert sky.shape == STRIP96.native.shape
        for i, course in enumerate(truth.sky_course(segment.name)):
            noise = sci[i] - course * sky - sources[i] - truth.added(segment.name, i)
            dark = ((dq[i] & DO_NOT_USE) == 0) & (sources[i] < 1.0)
            assert np.mean(noise[dark]) == pytest.approx(0, abs=5 * sigma / np.sqrt(dark.sum()))
            assert np.std(noise[dark]) == pytest.approx(sigma, rel=0.1)


@pytest.mark.slow
def test_reference_and_hot_pixels_are_flagged(program):
    for sci, dq in cubes(program):
        edge = (dq & REFERENCE_PIXEL) != 0
        assert edge[:, :, :4].all()
        assert edge[:, :, -4:].all()
        assert not edge[:, :, 4:-4].any()
        hot = (dq & (1 << 11)) != 0
        assert hot.any()
        assert (dq[hot] & DO_NOT_USE).all()
        assert np.median(sci[hot]) > 50


def test_stripes_have_the_size_that_was_asked_for():
    sky = SossSky(templates=1, true=0, scales=(1.0, 1.0))
    truth = series(1, sky, stripes=0.3, integrations=40)
    offsets = np.array([truth.added(each.name, 0) for each in truth.exposures])
    assert offsets.std() == pytest.approx(0.3, rel=0.1)
    assert np.mean(offsets[:, 1:] * offsets[:, :-1]) > 0.5 * 0.3**2


def test_drift_changes_the_sky_and_not_the_star():
    sky = SossSky(templates=2, true=1, scales=(1.0, 1.1), drift=0.1)
    truth = series(1, sky, integrations=4)
    course = np.concatenate([truth.sky_course(each.name) for each in truth.exposures])
    assert course.mean() == pytest.approx(1.0)
    assert course[-1] - course[0] == pytest.approx(0.075)


@pytest.mark.parametrize(
    "wrong",
    [
        {"subarray": "FULL"},
        {"integrations": 3, "segments": 4},
        {"segments": 0},
        {"templates": 0},
        {"depth": 1.5},
        {"stripes": -1.0},
        {"drift": float("nan")},
        {"seed": -1},
    ],
)
def test_arguments_out_of_bounds_are_refused(tmp_path, wrong):
    with pytest.raises(SettingsError):
        simulate_soss(tmp_path / "x", **wrong)
    assert not (tmp_path / "x").exists()


# What the fit makes of them


def series(seed, sky, *, stripes=0.05, integrations=8, depth=DEPTH):
    """The truth of a short time series, one or two integrations a segment, without files."""
    return plan_series(
        STRIP96,
        integrations,
        min(4, integrations),
        sky=sky,
        depth=depth,
        stripes=stripes,
        seed=seed,
    )


def draw(truth):
    """SCI and DQ of each segment."""
    arrays = [draw_exposure(truth, STRIP96, shot) for shot in under_the_sky(truth, {})]
    return [(each["data"], each["dq"]) for each in arrays]


def library_of(truth):
    return cut_library(truth.library_sky.library(), STRIP96.native.shape)[0]


@pytest.mark.slow
def test_the_sky_lies_within_three_errors_in_95_of_100_draws():
    good = [0, 0]
    library = None
    for seed in range(100):
        rng = np.random.default_rng(seed)
        sky = SossSky(templates=2, true=seed % 2, scales=tuple(rng.uniform(0.7, 1.3, 2).tolist()))
        truth = series(seed, sky, integrations=4)
        library = library_of(truth) if library is None else library
        segments = draw(truth)
        fit = fit_soss([ArraySegment(*each) for each in segments], library)[0]
        for side in (0, 1):
            error = fit.errors[side, 0]
            good[side] += abs(fit.scales[side, 0] - sky.scales[side]) <= 3 * error
            assert error < 0.6  # an error that covers everything would say nothing
    assert min(good) >= 95


@pytest.mark.slow
@pytest.mark.parametrize("each", ["exposure", "integration"])
def test_the_light_curve_has_no_steps_and_its_depth(each):
    """White light of the traces, over all segments, in units of what is out of transit."""
    sky = SossSky(templates=3, true=1, scales=(0.9, 1.1))
    truth = series(5, sky, stripes=0.0, integrations=16)
    segments, library = draw(truth), library_of(truth)
    fits = fit_soss([ArraySegment(*each) for each in segments], library, SossRule(fit=each))
    star = truth.exposures[0].image()
    bad = np.any([np.any(dq & DO_NOT_USE, axis=0) for _, dq in segments], axis=0)
    aperture = (star > 30) & ~bad
    flux, skies = [], []
    for (sci, _), fit in zip(segments, fits, strict=True):
        left = sci.copy()
        subtract_soss(left, library, fit)
        flux += left[:, aperture].sum(axis=1, dtype=np.float64).tolist()
        skies += (sci - left)[:, aperture].sum(axis=1, dtype=np.float64).tolist()
    flux, skies = np.array(flux), np.array(skies)
    curve = np.concatenate([segment.light_curve() for segment in truth.exposures])
    out, inside = curve == 1, curve == curve.min()
    depth = 1 - flux[inside].mean() / flux[out].mean()
    variance = (star[aperture] / (1.6 * truth.detector.seconds) + 0.3).sum()
    random = np.sqrt(variance * (1 / inside.sum() + 1 / out.sum())) / flux[out].mean()
    # A sky that is left in dilutes the transit by its share of the light.
    error = max(fits[0].errors[:, 0] / fits[0].scales[:, 0])
    dilution = (1 - curve.min()) * error * skies.mean() / flux[out].mean()
    assert 1 - curve.min() == pytest.approx(DEPTH)
    assert abs(depth - DEPTH) < 3 * np.hypot(random, dilution)
    if each == "exposure":
        np.testing.assert_allclose(skies, skies[0], rtol=1e-5)
    else:
        assert 0 < np.std(skies) / skies.mean() < 0.01


@pytest.mark.slow
def test_a_drifting_sky_is_followed_by_integrations():
    sky = SossSky(templates=1, true=0, scales=(1.0, 1.0), drift=0.1)
    truth = series(2, sky, stripes=0.0, integrations=12)
    segments, library = draw(truth), library_of(truth)
    fits = fit_soss(
        [ArraySegment(*each) for each in segments], library, SossRule(fit="integration")
    )
    scales = np.concatenate([fit.scales for fit in fits], axis=1)
    errors = np.concatenate([fit.random_errors for fit in fits], axis=1)
    assert scales.shape == errors.shape == (2, 12)
    assert np.all(errors < 0.01)
    assert np.all(np.corrcoef(scales, sky.course(12))[2, :2] > 0.9)


def test_files_of_a_program_are_fitted_as_they_are(program):
    segments = [SourceSegment(inspect(path).source) for path in program.exposures]
    library, _ = cut_library(read_library(program.references[0]), segments[0].shape)
    fit = fit_soss(segments, library)[0]
    pulls = (fit.scales[:, 0] - program.truth.library_sky.scales) / fit.errors[:, 0]
    assert np.all(np.abs(pulls) < 3)
    assert fit.rms.shape == (5, 2)
