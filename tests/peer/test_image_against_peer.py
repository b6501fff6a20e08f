"""Image-from-image subtraction against the peer's functions, on random exposures.

Where the peer is right, results are equal to float32 rounding. Where it is known to be wrong
(docs/divergences.md), the truth is worked out here with astropy's clip on arrays that are
registered by detector coordinates, and the peer is shown to miss it.
"""

import os
import warnings
from dataclasses import dataclass, field
from functools import cache
from unittest import mock

import numpy as np
import pytest
from astropy.stats import sigma_clip
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jwst.background.background_step import BackgroundStep
from jwst.background.background_sub import background_sub

import bkgflow
from tests.helpers.exposures import make_model
from tests.helpers.pace import examples

CASES = settings(max_examples=examples(200), deadline=None, suppress_health_check=list(HealthCheck))
FEWER = settings(CASES, max_examples=examples(100))
STEPS = settings(CASES, max_examples=examples(40))


@dataclass
class Case:
    """One random target with its backgrounds: arrays and 1-based corners."""

    target: object
    backgrounds: list = field(default_factory=list)
    sigma: float = 3.0
    maxiters: int | None = None

    def ours(self, **more):
        return bkgflow.subtract(
            self.target, self.backgrounds, sigma=self.sigma, maxiters=self.maxiters, **more
        )

    def peers(self):
        # The peer's many models ask the schema at every assignment, for most of its time.
        unchecked = mock.patch.dict(os.environ, VALIDATE_ON_ASSIGNMENT="false")
        with warnings.catch_warnings(), unchecked:
            warnings.simplefilter("ignore")
            return background_sub(
                self.target.copy(), self.backgrounds, self.sigma, self.maxiters or None
            )


def corner_of(model):
    return model.meta.subarray.xstart - 1, model.meta.subarray.ystart - 1


def registered(case, attribute, missing):
    """Each background on the target's frame, by detector coordinates, as float64."""
    ny, nx = case.target.data.shape[-2:]
    x0, y0 = corner_of(case.target)
    frames = []
    for model in case.backgrounds:
        array = np.asarray(getattr(model, attribute))
        bx, by = corner_of(model)
        frame = np.full((*array.shape[:-2], 200, 200), missing, np.float64)
        frame[..., by : by + array.shape[-2], bx : bx + array.shape[-1]] = array
        frames.append(frame[..., y0 : y0 + ny, x0 : x0 + nx])
    return frames


def clip(values, case):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kept = sigma_clip(values, sigma=case.sigma, maxiters=case.maxiters or None, axis=0)
    return ~np.ma.getmaskarray(kept)


def mean_of(values, errors, kept):
    with np.errstate(invalid="ignore", divide="ignore"):
        n = kept.sum(0)
        mean = np.where(kept, values, 0).sum(0) / n
        err = np.sqrt(np.where(kept, errors**2, 0).sum(0)) / n
    return mean, err, n


def truth(case):
    """The combined background: mean, uncertainty, number of exposures, DQ."""
    means, errors, flags = [], [], np.zeros(case.target.data.shape[-2:], np.uint32)
    arrays = zip(
        registered(case, "data", np.nan),
        registered(case, "err", np.nan),
        registered(case, "dq", 0),
        strict=True,
    )
    for sci, err, dq in arrays:
        if sci.ndim == 3:
            kept = clip(sci, case)
            sci, err, _ = mean_of(sci, err, kept)
            dq = np.bitwise_or.reduce(dq.astype(np.uint32), axis=0)
        means.append(sci)
        errors.append(err)
        flags |= dq.astype(np.uint32)
    values, uncertainties = np.array(means), np.array(errors)
    return *mean_of(values, uncertainties, clip(values, case)), flags


def valid_in(target):
    """The pixels that can be used in some integration."""
    valid = np.isfinite(target.data) & (np.asarray(target.dq) & 1 == 0)
    return valid.any(axis=0) if valid.ndim == 3 else valid


def check_truth(case):
    """Compare bkgflow with the truth; return both for more comparisons."""
    mean, err, n, flags = truth(case)
    before = case.target.copy()
    if not (n > 0).any():
        with pytest.raises(bkgflow.BkgflowError, match=r"overlap|valid background"):
            case.ours()
        return None
    result = case.ours(propagate_errors=True)
    expected = before.data - np.where(n > 0, mean, 0).astype(np.float32)
    np.testing.assert_allclose(result.data, expected, rtol=3e-6, atol=3e-5)
    np.testing.assert_array_equal(result.dq, before.dq | flags)
    grown = np.hypot(before.err, np.where(n > 0, err, 0))
    np.testing.assert_allclose(result.err, grown, rtol=3e-6)
    assert result.meta.bkgflow.unsubtracted_pixels == ((n == 0) & valid_in(before)).sum()
    np.testing.assert_array_equal(case.target.data, before.data)
    np.testing.assert_array_equal(case.target.dq, before.dq)
    assert case.target.meta.cal_step.bkg_subtract is None
    return result


@cache
def blank(ndim, number):
    """A model to fill again and again: making one costs more than computing with it."""
    return make_model(np.zeros((1,) * ndim))


def random_exposure(rng, shape, corner, bad, number):
    sci = rng.normal(10, 2, shape).astype(np.float32)
    sci[rng.random(shape) < 0.05] += 300
    sci[rng.random(shape) < bad] = np.nan
    sci[rng.random(shape) < bad / 4] = np.inf
    err = rng.uniform(0.5, 2, shape).astype(np.float32)
    dq = rng.integers(0, 2**32, shape, dtype=np.uint32)
    dq[rng.random(shape) < 0.7] = 0
    model = blank(len(shape), number)
    model.data, model.err, model.dq = sci, err, dq
    model.meta.instrument.name = "MIRI"  # whatever it was in the case before
    model.meta.subarray.xstart, model.meta.subarray.ystart = corner
    model.meta.subarray.xsize, model.meta.subarray.ysize = sci.shape[-1], sci.shape[-2]
    return model


numbers = {
    "seed": st.integers(0, 10**6),
    "n": st.integers(1, 12),
    "sigma": st.sampled_from([0.7, 1.3, 2.0, 2.5, 3.0, 5.0]),
    "maxiters": st.sampled_from([None, 0, 1, 2, 5]),
    "bad": st.sampled_from([0.0, 0.05, 0.4]),
}


def make_case(seed, n, sigma, maxiters, bad, *, depth, inside):
    """Draw a case; ``inside`` lets backgrounds begin inside the target's frame."""
    rng = np.random.default_rng(seed)
    x, y = rng.integers(20, 40, 2)
    ny, nx = rng.integers(3, 14, 2)
    cubes = (rng.integers(1, 7),) if depth else ()
    # Every exposure keeps a finite target: what is not finite before is not compared.
    target = random_exposure(rng, (*cubes, ny, nx), (int(x), int(y)), 0, -1)
    backgrounds = []
    for number in range(n):
        late = rng.integers(-6, 7 if inside else 1, 2) if rng.random() < 0.5 else np.zeros(2, int)
        shape = rng.integers(2, 20, 2) if rng.random() < 0.5 else (ny, nx)
        planes = (rng.integers(1, 9),) if depth else ()
        corner = (int(x + late[0]), int(y + late[1]))
        backgrounds.append(random_exposure(rng, (*planes, *shape), corner, bad, number))
    return Case(target, backgrounds, sigma, maxiters)


@pytest.mark.slow
@CASES
@given(**numbers)
def test_images_equal_the_peer(seed, n, sigma, maxiters, bad):
    case = make_case(seed, n, sigma, maxiters, bad, depth=False, inside=False)
    result = check_truth(case)
    assume(result is not None)  # the 200 cases are those with something to subtract
    combined, peer = case.peers()
    np.testing.assert_allclose(result.data, peer.data, rtol=3e-6, atol=3e-5)
    np.testing.assert_array_equal(result.dq, peer.dq)
    plain = case.ours()
    np.testing.assert_array_equal(plain.err, peer.err)
    with np.errstate(invalid="ignore"):
        grown = np.hypot(case.target.err, np.where(np.isfinite(combined.err), combined.err, 0))
    used = truth(case)[2] > 0
    np.testing.assert_allclose(result.err[used], grown[used], rtol=3e-6)


@pytest.mark.slow
@CASES
@given(**numbers)
def test_cubes_equal_the_peer(seed, n, sigma, maxiters, bad):
    case = make_case(seed, n, sigma, maxiters, bad, depth=True, inside=False)
    result = check_truth(case)
    assume(result is not None)  # the 200 cases are those with something to subtract
    _, peer = case.peers()
    # The peer dilutes where one of the overlapping exposures keeps no integration.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x0, y0 = corner_of(case.target)
        ny, nx = case.target.data.shape[-2:]
        right = np.ones((ny, nx), bool)
        for model, sci in zip(case.backgrounds, registered(case, "data", np.nan), strict=True):
            bx, by = corner_of(model)
            by_nx, by_ny = model.data.shape[-1], model.data.shape[-2]
            if bx + by_nx > x0 and by + by_ny > y0 and bx < x0 + nx and by < y0 + ny:
                right &= clip(sci, case).any(0)
    np.testing.assert_allclose(result.data[:, right], peer.data[:, right], rtol=3e-6, atol=3e-5)
    np.testing.assert_array_equal(result.dq, peer.dq)


@pytest.mark.slow
@STEPS
@given(**numbers, depth=st.booleans(), tilt=st.sampled_from([None, 0.12, 0.12 + 1e-9, 0.13]))
def test_the_step_ends_as_the_peers(seed, n, sigma, maxiters, bad, depth, tilt):
    """The whole step, with its grating-wheel rule: outcome, SCI, ERR and DQ."""
    if depth:  # cubes of which every pixel keeps an integration: the peer dilutes the others
        sigma, bad = max(sigma, 1.3), 0.0
    case = make_case(seed, n, sigma, maxiters, bad, depth=depth, inside=False)
    place = corner_of(case.target), case.target.data.shape[-2:]
    if depth:
        places = [(corner_of(each), each.data.shape[-2:]) for each in case.backgrounds]
        pairs = zip(case.backgrounds, places, strict=True)
        case.backgrounds = [each for each, its in pairs if its == place]
    for model in (case.target, *case.backgrounds):
        instrument = model.meta.instrument
        instrument.name = "MIRI" if tilt is None else "NIRSPEC"
        instrument.gwa_xtilt, instrument.gwa_ytilt = 0.35, 0.12
    if case.backgrounds and tilt is not None:
        case.backgrounds[-1].meta.instrument.gwa_ytilt = tilt
    try:
        result = case.ours()
    except bkgflow.BkgflowError:  # nothing overlaps: compared with the truth above
        assume(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = BackgroundStep.call(
            case.target.copy(), case.backgrounds, sigma=sigma, maxiters=maxiters or None
        )
    assert result.meta.cal_step.bkg_subtract == peer.meta.cal_step.bkg_subtract
    np.testing.assert_allclose(result.data, peer.data, rtol=3e-6, atol=3e-5)
    np.testing.assert_array_equal(result.err, peer.err)
    np.testing.assert_array_equal(result.dq, peer.dq)


@pytest.mark.slow
@FEWER
@given(**numbers)
def test_subarrays_inside_the_frame_have_the_truth(seed, n, sigma, maxiters, bad):
    check_truth(make_case(seed, n, sigma, maxiters, bad, depth=False, inside=True))


@pytest.mark.slow
@FEWER
@given(**numbers)
def test_images_and_cubes_mixed_have_the_truth(seed, n, sigma, maxiters, bad):
    images = make_case(seed, n, sigma, maxiters, bad, depth=False, inside=True)
    cubes = make_case(seed, n, sigma, maxiters, bad, depth=True, inside=True)
    rng = np.random.default_rng(seed)
    both = images.backgrounds + cubes.backgrounds
    picked = [both[i] for i in rng.permutation(len(both))[:n]]
    target = images.target if rng.random() < 0.5 else cubes.target
    check_truth(Case(target, picked, sigma, maxiters))


# The peer's known defects, one by one.


def test_registration_defect():
    """Peer: a subarray that begins inside the frame is subtracted from the frame's corner."""
    target = make_model(np.full((20, 20), 100.0))
    inside = make_model(np.full((8, 8), 7.0), corner=(5, 10))
    case = Case(target, [inside])
    result = case.ours()
    expected = np.full((20, 20), 100.0)
    expected[9:17, 4:12] = 93
    np.testing.assert_array_equal(result.data, expected)
    assert (case.peers()[1].data[:8, :8] == 93).all()


@pytest.mark.slow
def test_dilution_defect():
    """Peer: an exposure without a valid integration enters the average as 0: 10 becomes 5."""
    empty = make_model(np.full((3, 4, 4), np.nan))
    good = make_model(np.full((3, 4, 4), 10.0))
    case = Case(make_model(np.full((2, 4, 4), 100.0)), [good, empty])
    np.testing.assert_array_equal(case.ours().data, 90)
    assert (case.peers()[1].data == 95).all()


def test_cube_error_defect():
    """Peer: ERR of a cube's mean is not reduced: 25 integrations of sigma 2 have 0.40."""
    rng = np.random.default_rng(1)
    cube = make_model(rng.normal(10, 0.1, (25, 4, 4)), err=2.0)
    case = Case(make_model(np.full((2, 4, 4), 100.0), err=0.0), [cube], sigma=50.0)
    result = case.ours(propagate_errors=True)
    np.testing.assert_allclose(result.err, 0.4, rtol=1e-6)
    np.testing.assert_allclose(case.peers()[0].err, 2.0, rtol=1e-6)


def test_a_repeated_background_counts_once():
    """Peer: the same exposure twice shrinks ERR as if it were two."""
    background = make_model(np.full((4, 4), 10.0), err=2.0)
    background.meta.filename = "b.fits"
    target = make_model(np.full((4, 4), 100.0), err=0.0)
    result = bkgflow.subtract(target, [background, background], propagate_errors=True)
    np.testing.assert_allclose(result.err, 2.0, rtol=1e-6)
    assert "count once" in result.meta.bkgflow.notes[0]


@pytest.mark.slow
def test_few_exposures_are_never_clipped():
    """At N = 7 and sigma = 3 an outlier survives, at N = 8 it goes: both, as the peer."""
    for n, survives in ((5, True), (7, True), (8, False)):
        models = [make_model(np.full((2, 2), 10.0 + 0.1 * i)) for i in range(n - 1)]
        case = Case(make_model(np.zeros((2, 2))), [*models, make_model(np.full((2, 2), 1e4))])
        ours = case.ours().data
        np.testing.assert_allclose(ours, case.peers()[1].data, rtol=1e-6)
        assert (ours.min() < -1000) == survives
