"""The SOSS fit against the peer's, in streams, over segments, and on bad input."""

import logging
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
from jwst.background.background_sub_soss import find_discontinuity, subtract_soss_bkg
from stdatamodels.jwst import datamodels

from bkgflow.errors import ShapeError
from bkgflow.methods.soss import ArraySegment, fit_soss, gather, ranks, subtract_soss
from bkgflow.methods.soss.ranks import Middle, middle_ratio, uncertainty
from bkgflow.methods.soss.regions import discontinuity, fit_regions
from bkgflow.rules import SossRule
from tests.helpers.pace import few_fast
from tests.helpers.soss import (
    DO_NOT_USE,
    NX,
    REFERENCE_PIXEL,
    SATURATED,
    make_library,
    observe,
    same,
)


def peers(sci, dq, library, source=35.0, bkg=(25.0, 50.0)):
    """What the peer leaves of SCI; None where it skips."""
    kind = datamodels.CubeModel if sci.ndim == 3 else datamodels.ImageModel
    with kind(sci.shape) as model, datamodels.SossBkgModel(data=library) as reference:
        model.data, model.dq = sci.copy(), dq.copy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = subtract_soss_bkg(model, reference, source, list(bkg))
        return None if result is None else np.array(result.data)


def ours(sci, dq, library, source=35.0, bkg=(25.0, 50.0)):
    """What we leave of SCI, and the fit."""
    fit = fit_soss(
        [ArraySegment(sci, dq)], library, SossRule(source_percentile=source, bkg_percentile=bkg)
    )[0]
    left = sci.copy()
    subtract_soss(left, library, fit)
    return left, fit


def assert_same_scales(sci, ours_left, peers_left, library, fit):
    """What was subtracted is the same template, and both scales to 1e-6 of the peer's."""
    template = library[fit.template].astype(np.float64)
    for columns, scale in ((slice(4, 685), fit.scales[0, 0]), (slice(725, NX), fit.scales[1, 0])):
        taken = (sci.astype(np.float64) - peers_left)[..., columns]
        ratio = taken / template[:, columns]
        assert np.nanmedian(ratio) == pytest.approx(scale, rel=1e-6)
    np.testing.assert_array_equal(ours_left, peers_left)


@pytest.fixture(autouse=True)
def quiet():
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.slow
@pytest.mark.parametrize("seed", few_fast(range(60), 11))
def test_random_cases_equal_the_peer(seed):
    rng = np.random.default_rng(seed)
    library = make_library(rng, int(rng.integers(1, 4)))
    if seed % 10 == 3 and len(library) > 1:
        library[1] = library[0]  # a tie
    rows = slice(10, 106) if seed % 2 else slice(None)
    sky = library[rng.integers(len(library)), rows] * rng.uniform(0.3, 2.0)
    sci, dq = observe(rng, sky, int(rng.integers(1, 3)), noise=rng.uniform(0.05, 1.0))
    if seed % 5 == 0:
        sci, dq = sci[0], dq[0]
    source = float(rng.choice([35.0, 30.0, 55.5, 90.0, 100.0]))
    bkg = [(25.0, 50.0), (5.0, 40.0), (0.0, 100.0), (10.0, 12.5)][rng.integers(4)]
    expected = peers(sci, dq, library, source, bkg)
    left, fit = ours(sci, dq, library[:, rows], source, bkg)
    assert_same_scales(sci, left, expected, library[:, rows], fit)


@dataclass(frozen=True)
class Stream:
    """A segment that hands out a few integrations at a time, in arrays it reuses."""

    sci: object
    dq: object
    size: int

    @property
    def shape(self):
        return self.sci.shape

    def chunks(self):
        sci = np.empty((self.size, *self.shape[1:]), self.sci.dtype)
        dq = np.empty(sci.shape, np.uint32)
        for first in range(0, len(self.sci), self.size):
            n = len(self.sci[first : first + self.size])
            sci[:n], dq[:n] = self.sci[first : first + n], self.dq[first : first + n]
            yield sci[:n], dq[:n]


@pytest.fixture(scope="module")
def series():
    """Five integrations of 96 rows and their library."""
    rng = np.random.default_rng(1000)
    library = make_library(rng, 3, 96)
    return *observe(rng, library[1] * 0.8, 5), library


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_stream_gives_what_the_whole_gives(series, size):
    sci, dq, library = series
    whole = fit_soss([ArraySegment(sci, dq)], library)[0]
    same(fit_soss([Stream(sci, dq, size)], library)[0], whole)
    big_endian = Stream(sci.astype(">f4"), dq, size)
    same(fit_soss([big_endian], library)[0], whole)


@pytest.mark.slow
def test_threads_give_what_one_gives(series):
    sci, dq, library = series
    many = np.concatenate([library, library * np.float32(1.1), library[::-1], library * 0])
    one = fit_soss([ArraySegment(sci, dq)], many)[0]
    three = fit_soss([ArraySegment(sci, dq)], many, threads=3)[0]
    same(three, one)
    assert three.notes == one.notes
    assert len(one.notes) == 2 * len(library)


@pytest.mark.slow
@pytest.mark.parametrize("fit", ["exposure", "integration"])
@pytest.mark.parametrize("threads", [2, 3, 1000])
def test_threads_subtract_what_one_does(series, fit, threads):
    sci, dq, library = series
    [found] = fit_soss([ArraySegment(sci, dq)], library, SossRule(fit=fit))
    whole, parts = sci.copy(), sci.copy()
    subtract_soss(whole, library, found)
    subtract_soss(parts, library, found, threads=threads)
    np.testing.assert_array_equal(parts, whole)
    assert not np.array_equal(whole, sci)


@pytest.mark.slow
def test_segments_together_are_fitted_as_one_exposure(series):
    sci, dq, library = series
    whole = fit_soss([ArraySegment(sci, dq)], library)[0]
    parts = [ArraySegment(sci[k], dq[k]) for k in (slice(0, 2), slice(2, 3), slice(3, 5))]
    fits = fit_soss(parts, library)
    assert len(fits) == 3
    for fit in fits:
        same(fit, whole)


@pytest.mark.slow
def test_files_are_fitted_apart_like_the_peer(series):
    sci, dq, library = series
    parts = [slice(0, 2), slice(2, 5)]
    fits = fit_soss([ArraySegment(sci[k], dq[k]) for k in parts], library, SossRule(fit="file"))
    for part, fit in zip(parts, fits, strict=True):
        left = sci[part].copy()
        subtract_soss(left, library, fit)
        np.testing.assert_array_equal(left, peers(sci[part], dq[part], library))


@pytest.mark.slow
def test_a_segment_of_nan_takes_the_fit_of_the_others(series):
    sci, dq, library = series
    alone = fit_soss([ArraySegment(sci, dq)], library)[0]
    empty = ArraySegment(np.full((2, 96, NX), np.nan, np.float32), np.zeros((2, 96, NX), np.uint32))
    fits = fit_soss([empty, ArraySegment(sci, dq)], library)
    same(fits[0], alone)
    same(fits[1], alone)
    apart = fit_soss([empty, ArraySegment(sci, dq)], library, SossRule(fit="file"))
    assert apart[0].template is None
    assert "no pixel is finite" in apart[0].reason
    same(apart[1], alone)


def test_each_integration_has_scales_of_its_own():
    rng = np.random.default_rng(7)
    library = make_library(rng, 2, 96)
    sci, dq = observe(rng, library[1], 1, noise=0.1)
    factors = np.array([0.9, 1.0, 1.1])
    cube = np.concatenate([sci * np.float32(each) for each in factors])
    flags = np.repeat(dq, 3, axis=0)
    fits = fit_soss(
        [ArraySegment(cube[:1], flags[:1]), ArraySegment(cube[1:], flags[1:])],
        library,
        SossRule(source_percentile=60.0, fit="integration"),
    )
    assert [fit.scales.shape for fit in fits] == [(2, 1), (2, 2)]
    scales = np.concatenate([fit.scales for fit in fits], axis=1)
    assert np.all(np.diff(scales, axis=1) > 0.03)
    left = cube[2:].copy()
    subtract_soss(left, library, fits[1], first=1)
    template = library[fits[1].template]
    scale = np.where(np.arange(NX) < discontinuity(template)[:, None], *fits[1].scales[:, 1])
    np.testing.assert_allclose(left[0], cube[2] - template * scale, rtol=1e-5, atol=1e-4)


def test_an_empty_integration_has_the_scales_of_the_whole(series):
    sci, dq, library = series
    sci = sci.copy()
    sci[1] = np.nan
    fit = fit_soss([ArraySegment(sci, dq)], library, SossRule(fit="integration"))[0]
    whole = fit_soss([ArraySegment(sci, dq)], library)[0]
    np.testing.assert_array_equal(fit.scales[:, 1], whole.scales[:, 0])
    assert any(note.startswith("integration 2") for note in fit.notes)


@pytest.mark.real
@pytest.mark.parametrize(
    ("source", "bkg", "scales"),
    [(35.0, (25.0, 50.0), (0.9389, 0.9715)), (30.0, (5.0, 40.0), (0.9155, 0.9404))],
)
def test_wasp39_has_its_figures(real_data, source, bkg, scales):
    frame = np.load(real_data / "soss" / "wasp39b_medframe.npy")[10:106]
    library = np.load(real_data / "soss" / "model_background96.npy")[None].astype(np.float32)
    dq = np.zeros(frame.shape, np.uint32)
    dq[:, :4] = dq[:, -4:] = DO_NOT_USE
    left, fit = ours(frame, dq, library, source, bkg)
    np.testing.assert_allclose(fit.scales[:, 0], scales, rtol=1e-3)
    np.testing.assert_array_equal(left, peers(frame, dq, library, source, bkg))


def bad_template(library, side, value):
    """Ruin one side of the second template, leaving its step where it was."""
    ruined = library.copy()
    columns = slice(0, 650) if side == "left" else slice(760, None)
    ruined[1][:, columns] = value
    return ruined


@pytest.mark.slow
@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_template_that_is_partly_bad_is_fitted_as_the_peer_does(series, side, value):
    sci, dq, library = series
    ruined = bad_template(library, side, value)
    left, fit = ours(sci, dq, ruined)
    expected = peers(sci, dq, ruined)
    if expected is None:
        assert fit.template is None
    else:
        np.testing.assert_array_equal(left, expected)


@pytest.mark.slow
@pytest.mark.parametrize("value", [0.0, np.nan])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_template_without_one_side_is_out_and_says_so(series, side, value):
    sci, dq, library = series
    ruined = library.copy()
    ruined[1][:, slice(0, 725) if side == "left" else slice(685, None)] = value
    left, fit = ours(sci, dq, ruined)
    assert fit.template in (0, 2)
    assert any(f"template 1: zero or not a number everywhere {side}" in n for n in fit.notes)
    np.testing.assert_array_equal(left, peers(sci, dq, ruined))


@pytest.mark.slow
@pytest.mark.parametrize("value", [0.0, np.nan])
def test_without_a_template_nothing_is_subtracted(series, value):
    sci, dq, library = series
    left, fit = ours(sci, dq, np.full_like(library, value))
    assert fit.template is None
    assert fit.reason.startswith("no template of the library fits")
    assert np.isinf(fit.rms).all()
    np.testing.assert_array_equal(left, sci)
    assert peers(sci, dq, np.full_like(library, value)) is None


def test_without_a_pixel_below_the_threshold_nothing_is_subtracted(series):
    sci, dq, library = series
    left, fit = ours(sci, dq, library, source=0.0)
    assert fit.template is None
    assert "below the source threshold" in fit.reason
    np.testing.assert_array_equal(left, sci)
    assert peers(sci, dq, library, source=0.0) is None


def test_a_library_of_another_shape_is_refused(series):
    sci, dq, library = series
    for wrong in (library[:, :95], library[:, :, :2000], library[0], library[:, :, :700]):
        with pytest.raises(ShapeError, match="A SOSS library must have"):
            fit_soss([ArraySegment(sci, dq)], wrong)
    with pytest.raises(ShapeError, match="same rows and columns"):
        fit_soss([ArraySegment(sci, dq), ArraySegment(sci[:, :90], dq[:, :90])], library)
    with pytest.raises(ShapeError, match="hold all of its integrations"):
        fit_soss([Shrinking(sci, dq, 2)], library)


class Shrinking(Stream):
    """A segment that lost an integration."""

    def chunks(self):
        yield from list(super().chunks())[:-1]


def test_a_fit_is_not_applied_to_other_shapes(series):
    sci, dq, library = series
    fit = fit_soss([ArraySegment(sci, dq)], library, SossRule(fit="integration"))[0]
    with pytest.raises(ShapeError, match="no more integrations than the fit"):
        subtract_soss(sci.copy(), library, fit, first=1)
    with pytest.raises(ShapeError, match="rows and columns of the library"):
        subtract_soss(sci[:, :95].copy(), library, fit)


def test_nothing_that_was_given_is_changed(series):
    sci, dq, library = series
    before = sci.copy(), dq.copy(), library.copy()
    fit_soss([ArraySegment(sci, dq)], library)
    for array, copy in zip((sci, dq, library), before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("value", [np.nan, 0.0, 5.0])
def test_the_step_is_found_where_the_peer_finds_it(value):
    rng = np.random.default_rng(3)
    template = make_library(rng, 1)[0]
    template[100:110, 690:720] = value
    np.testing.assert_array_equal(discontinuity(template), find_discontinuity(template)[:, 0])
    flat = np.full((8, 800), np.float32(value))
    np.testing.assert_array_equal(discontinuity(flat), find_discontinuity(flat)[:, 0])


@pytest.mark.parametrize("kind", ["normal", "few values", "constant", "skewed", "with gaps"])
@pytest.mark.parametrize("percentiles", [(25.0, 50.0), (0.0, 100.0), (5.0, 7.0), (99.0, 100.0)])
def test_the_middle_ratio_is_numpys(kind, percentiles):
    rng = np.random.default_rng(11)
    n = ranks.FEW + 12345
    values = {
        "normal": lambda: rng.normal(4, 0.4, n),
        "few values": lambda: rng.integers(1, 9, n),
        "constant": lambda: np.full(n, 3.0),
        "skewed": lambda: np.sort(rng.exponential(1, n)) - 0.2,
        "with gaps": lambda: np.where(rng.random(n) < 0.3, -1e30, rng.normal(0, 1e-30, n)),
    }[kind]().astype(np.float32)
    template = rng.choice([1.0, 2.0, 0.0, np.nan, 1.5], 1000).astype(np.float32)
    pixels = rng.integers(0, 1000, n).astype(np.uint32)
    with np.errstate(all="ignore"):
        ratio = values / template[pixels]
    ratio = ratio[np.isfinite(ratio)]
    lower, upper = np.percentile(ratio, list(percentiles))
    between = ratio[(ratio > lower) & (ratio < upper)]
    found = middle_ratio(values, pixels, template, percentiles)
    if not between.size:
        assert found is None
        return
    expected = Middle(float(np.median(between)), lower, upper, ratio.size, between.size)
    assert found == expected
    sample = ranks.sampled(values, pixels)
    assert middle_ratio(values, pixels, template, percentiles, sample) == expected


@pytest.mark.parametrize("percentile", [0.0, 0.3, 35.0, 62.5, 99.99, 100.0])
@pytest.mark.parametrize("kind", ["mixed", "steps", "one"])
def test_the_threshold_is_numpys(percentile, kind):
    rng = np.random.default_rng(5)
    sci = {
        "mixed": lambda: rng.normal(0, 1, (3, 7, 1100)) * 10.0 ** rng.integers(-3, 4, (3, 7, 1100)),
        "steps": lambda: rng.integers(-2, 3, (3, 7, 1100)),
        "one": lambda: np.where(np.arange(1100) == 5, 1.0, np.nan) * np.ones((3, 7, 1)),
    }[kind]().astype(np.float32)
    dq = rng.choice([0, 0, 0, DO_NOT_USE, SATURATED, REFERENCE_PIXEL], sci.shape).astype(np.uint32)
    dq[:, 3, 5] = 0
    good = np.isfinite(sci) & ((dq & (DO_NOT_USE | REFERENCE_PIXEL)) == 0)
    found = gather.gather_sky([ArraySegment(sci, dq)], percentile, (700, 700))
    expected = np.nanpercentile(sci[good], percentile)
    assert found.threshold == expected
    dark = good & (sci < expected)
    assert found.sides[0].values.tolist() == sci[:, :, :700][dark[:, :, :700]].tolist()
    assert found.sides[1].values.tolist() == sci[:, :, 700:951][dark[:, :, 700:951]].tolist()
    np.testing.assert_array_equal(found.n_good, good[:, :, :951].sum(axis=0))


@pytest.mark.slow
def test_the_random_error_is_the_scatter_from_draw_to_draw():
    rng = np.random.default_rng(17)
    template, pixels = np.ones(1, np.float32), np.zeros(4000, np.uint32)
    scales, errors = [], []
    for _ in range(400):
        values = np.sort(rng.normal(5, 1, 8000))[:4000].astype(np.float32)
        middle = middle_ratio(values, pixels, template, (25.0, 50.0))
        scales.append(middle.scale)
        errors.append(uncertainty(middle, 0.5, (25.0, 50.0)))
    random, total = np.mean(errors, axis=0)
    assert random == pytest.approx(np.std(scales), rel=0.5)
    assert total == pytest.approx(5 - np.mean(scales), rel=0.1)  # the bias of the selection


def test_rms_and_counts_are_those_of_the_kept_pixels(series):
    sci, dq, library = series
    fit = fit_soss([ArraySegment(sci, dq)], library)[0]
    good = np.isfinite(sci) & ((dq & (DO_NOT_USE | REFERENCE_PIXEL)) == 0)
    dark = good & (sci < np.nanpercentile(sci[good], 35.0))
    columns = np.arange(NX)
    for k, template in enumerate(library):
        left = columns < discontinuity(template)[:, None]
        for side, region in enumerate((left, ~left & (columns <= 950))):
            ratio = (sci / template)[dark & region]
            lower, upper = np.percentile(ratio, [25.0, 50.0])
            between = ratio[(ratio > lower) & (ratio < upper)]
            rest = sci - template * np.float64(np.median(between))
            expected = np.sqrt(np.mean(rest[dark & region] ** 2))
            assert fit.rms[k, side] == pytest.approx(expected, rel=1e-9)
            if k == fit.template:
                assert fit.scales[side, 0] == np.median(between)
                assert (fit.n_kept[side], fit.n_used[side]) == (ratio.size, between.size)
    assert fit.template == np.argmin(fit.rms.sum(axis=1))


def test_the_regions_hold_the_pixels_of_the_fit(series):
    sci, dq, library = series
    fit = fit_soss([ArraySegment(sci, dq)], library)[0]
    left = sci.copy()
    subtract_soss(left, library, fit)
    good = np.isfinite(sci) & ((dq & (DO_NOT_USE | REFERENCE_PIXEL)) == 0)
    sky = (sci - left)[0]
    assert np.isnan(sky).any()
    regions = fit_regions(np.mean(good & (sci < fit.threshold), axis=0), sky)
    counts = [-len(sci) * regions[regions < 0].sum(), len(sci) * regions[regions > 0].sum()]
    # The step is found in what was subtracted, NaN filled up: a pixel off here and there.
    np.testing.assert_allclose(counts, fit.n_kept, rtol=0.01)
    assert not regions[:, 951:].any()


@pytest.mark.slow
def test_a_template_that_is_next_to_nothing_somewhere(series):
    """The ratios overflow there: they do not count, as for the peer."""
    sci, dq, library = series
    tiny = library.copy()
    tiny[:, 20:60, 100:200] = 1e-39
    left, fit = ours(sci, dq, tiny)
    np.testing.assert_array_equal(left, peers(sci, dq, tiny))
    assert np.all(fit.rms < 2)


def test_many_ratios_are_not_all_sorted():
    rng = np.random.default_rng(12)
    values = rng.normal(4, 0.4, ranks.FEW).astype(np.float32)
    template, pixels = np.full(7, 2.0, np.float32), np.zeros(ranks.FEW, np.uint32)
    quick = ranks._by_intervals(
        values, pixels, template, (25.0, 50.0), ranks.sampled(values, pixels)
    )
    assert quick == middle_ratio(values, pixels, template, (25.0, 50.0))
    assert quick is not None
