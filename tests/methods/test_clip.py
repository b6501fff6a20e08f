"""The clip against astropy, the formulas of the reference step, and known answers."""

from __future__ import annotations

import itertools
import math
import warnings
from typing import Any

import numpy as np
import pytest
from astropy.stats import sigma_clip
from astropy.utils.exceptions import AstropyUserWarning
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from bkgflow.errors import SettingsError, ShapeError
from bkgflow.methods.clip import Collapsed, Combined, average, collapse, combine
from bkgflow.methods.clip._kernels import BATCH, WIDEST
from bkgflow.methods.clip.search import bound, sorting_network
from bkgflow.rules import ClipRule, StackRule, can_clip
from tests.helpers.pace import examples

Array = NDArray[Any]

SIGMAS = st.floats(0.5, 5.0).filter(lambda s: abs(s - 1.0) > 1e-6)  # 1.0: n = 2 is a tie
MAXITERS = st.sampled_from([None, 0, 1, 2, 5])
FIELDS = ("sci", "err", "dq", "n_used")
KINDS = [
    "noise", "integers", "outliers", "level", "pedestal", "huge", "both ends", "tiny", "equal",
    "late",
]  # fmt: skip


def usual(**options: Any) -> StackRule:
    """The reference step's rule, at any sigma and maxiters."""
    return StackRule(clip=ClipRule(**options))


def oracle(sci: Array, err: Array, dq: Array, sigma: float, maxiters: int | None) -> Collapsed:
    """Astropy's clip in float64, and what the reference step makes of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyUserWarning)
        clipped = sigma_clip(sci.astype(np.float64), sigma=sigma, maxiters=maxiters, axis=0)
    kept = ~np.ma.getmaskarray(clipped)
    n = kept.sum(axis=0)
    with np.errstate(invalid="ignore"):
        mean = np.where(kept, sci.astype(np.float64), 0.0).sum(axis=0) / n
        error = np.sqrt(np.where(kept, err.astype(np.float64) ** 2, 0.0).sum(axis=0)) / n
    return Collapsed(mean, error, np.bitwise_or.reduce(dq, axis=0), n.astype(np.uint16))


def settled(sci: Array, sigma: float, maxiters: int | None) -> NDArray[np.bool_]:
    """Where no value was so near to a bound, at any iteration, that rounding decides."""
    kept = np.where(np.isfinite(sci), sci, np.nan).astype(np.float64)
    result = np.ones(sci.shape[1:], bool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of pixels without values
        for _ in range(maxiters or len(sci)):
            median, half = np.nanmedian(kept, axis=0), sigma * np.nanstd(kept, axis=0)
            away = np.abs(np.where(np.isfinite(sci), sci, np.nan) - median)
            margin = 1e-9 * half + 1e-13 * np.abs(median)
            result &= ~((np.abs(away - half) <= margin) & (away > 0)).any(axis=0)
            left = np.where(away <= half, kept, np.nan)
            if (np.isnan(left) == np.isnan(kept)).all():
                break
            kept = left
    return result


def check(sci: Array, err: Array, dq: Array, sigma: float, maxiters: int | None) -> float:
    """Hold both levels against the oracle; return the share of pixels that were compared."""
    want = oracle(sci, err, dq, sigma, maxiters)
    where = settled(sci, sigma, maxiters)
    size = np.abs(np.where(np.isfinite(sci), sci, 0)).max(axis=0, initial=0.0)
    for got, rounding in (
        (collapse(sci, err, dq, usual(sigma=sigma, maxiters=maxiters)), 1e-14),
        (combine(sci, err, dq, usual(sigma=sigma, maxiters=maxiters)), 1.2e-7),
    ):
        np.testing.assert_array_equal(got.dq, want.dq)
        np.testing.assert_array_equal(got.n_used[where], want.n_used[where])
        np.testing.assert_array_equal(np.isnan(got.sci[where]), want.n_used[where] == 0)
        off = np.abs(got.sci - want.sci)[where & (want.n_used > 0)]
        limit = (rounding * np.abs(want.sci) + 1e-14 * size + 1e-45)[where & (want.n_used > 0)]
        assert (off <= limit).all(), (off, limit)
        np.testing.assert_allclose(
            got.err[where], want.err[where], rtol=rounding, atol=1e-45, equal_nan=True
        )
    return float(where.mean())


def stack(
    seed: int, shape: tuple[int, ...], kind: str = "noise", bad: float = 0.1, dtype: str = "f4"
) -> tuple[Array, Array, Array]:
    """SCI, ERR and DQ of (n, ny, nx); a share of the values is NaN or infinite."""
    rng = np.random.default_rng(seed)
    sci = rng.normal(1.0, 0.05, shape)
    if kind == "integers":
        sci = rng.integers(-3, 4, shape).astype(float)
    elif kind == "outliers":
        sci += np.where(rng.random(shape) < 0.1, 10.0 ** rng.uniform(-1, 12, shape), 0.0)
    elif kind == "level":
        sci += 1e6
    elif kind == "pedestal":
        sci = 1e30 * (1 + rng.integers(0, 9, shape) * 2.0**-22)
    elif kind == "huge":
        sci *= 10.0 ** rng.uniform(15, 38, shape[1:])
    elif kind == "both ends":
        sci = rng.choice([-3.4e38, -1e20, 0, 1e20, 3.4e38], shape)
    elif kind == "tiny":
        sci *= 10.0 ** rng.uniform(-44, -15, shape[1:])
    elif kind == "equal":
        sci = np.broadcast_to(rng.normal(0, 1e3, shape[1:]), shape)
    holes = rng.choice([np.nan, np.inf, -np.inf], shape)
    sci = np.where(rng.random(shape) < bad, holes, sci).astype(dtype)
    if kind == "late":
        sci[: shape[0] // 2] = np.nan
    err = rng.uniform(0.01, 0.1, shape).astype(dtype)
    err[rng.random(shape) < 0.01] = np.nan
    dq = np.where(rng.random(shape) < 0.2, 1 << rng.integers(0, 32, shape), 0).astype(np.uint32)
    return sci, err, dq


@pytest.mark.slow
@settings(max_examples=examples(500), deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 3), st.integers(1, 90)),
    kind=st.sampled_from(KINDS),
    bad=st.sampled_from([0.0, 0.001, 0.02, 0.3, 0.95]),
    dtype=st.sampled_from(["f4", "f8"]),
    sigma=SIGMAS,
    maxiters=MAXITERS,
)
def test_agrees_with_astropy_on_images(
    seed: int,
    shape: tuple[int, ...],
    kind: str,
    bad: float,
    dtype: str,
    sigma: float,
    maxiters: int | None,
) -> None:
    compared = check(*stack(seed, shape, kind, bad, dtype), sigma, maxiters)
    ties = kind in {"integers", "pedestal", "both ends", "tiny"}
    # So tight a clip leaves values so near to each other that their level decides by rounding.
    ties |= kind == "level" and sigma < 1.1
    assert compared > 0.9 or ties or shape[1] * shape[2] < 20


@pytest.mark.slow
@settings(max_examples=examples(250), deadline=None)
@given(data=st.data(), sigma=SIGMAS, maxiters=MAXITERS, width=st.sampled_from([32, 64]))
def test_agrees_with_astropy_on_any_value(
    data: st.DataObject, sigma: float, maxiters: int | None, width: int
) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=3, max_dims=3, max_side=12))
    values = st.floats(width=32) | st.integers(-2, 2).map(float) | st.floats(1, 2, width=32)
    sci = data.draw(hnp.arrays(f"f{width // 8}", shape, elements=values))
    err = data.draw(hnp.arrays(f"f{width // 8}", shape, elements=st.floats(0, 2.0**60, width=32)))
    dq = data.draw(hnp.arrays(np.uint32, shape))
    check(sci, err, dq, sigma, maxiters)


@pytest.mark.parametrize("n", [65, 100, 300, 500])
@pytest.mark.parametrize("maxiters", [None, 1])
def test_agrees_with_astropy_on_many_integrations(n: int, maxiters: int | None) -> None:
    assert check(*stack(n, (n, 3, 50), "outliers", 0.02), 3.0, maxiters) > 0.95


@pytest.mark.slow
def test_agrees_with_the_reference_step() -> None:
    datamodels = pytest.importorskip("stdatamodels.jwst.datamodels")
    peer = pytest.importorskip("jwst.background.background_sub")
    sci, err, dq = stack(5, (9, 24, 32), "outliers", 0.03)
    models = []
    for plane in range(len(sci)):
        model = datamodels.ImageModel(data=sci[plane], err=err[plane], dq=dq[plane])
        model.meta.subarray.xstart = model.meta.subarray.ystart = 1
        model.meta.subarray.xsize, model.meta.subarray.ysize = 32, 24
        models.append(model)
    want = peer.average_background(models[0], models, 3.0, None)
    got = combine(sci, err, dq)
    assert (got.n_used < np.isfinite(sci).sum(axis=0)).mean() > 0.2
    np.testing.assert_allclose(got.sci, want.data, rtol=2e-7)
    np.testing.assert_allclose(got.err, want.err, rtol=1e-6)
    np.testing.assert_array_equal(got.dq, want.dq)


def column(*values: float) -> tuple[Array, Array, Array]:
    """One pixel, with ERR 1 and a DQ bit of its own for each value."""
    sci = np.array(values, np.float32).reshape(-1, 1, 1)
    dq = (1 << np.arange(len(values))).astype(np.uint32).reshape(-1, 1, 1)
    return sci, np.ones_like(sci), dq


def test_an_outlier_goes_and_its_flag_stays() -> None:
    got = combine(*column(1, 1, 1, 1, 2, 2, 2, 1e4))
    assert got.n_used[0, 0] == 7
    assert got.sci[0, 0] == np.float32(10 / 7)
    assert got.err[0, 0] == np.float32(math.sqrt(7) / 7)
    assert got.dq[0, 0] == 0xFF


def test_a_value_rejected_early_can_come_back() -> None:
    # The first bounds, 10 ± 1.2 std, drop 0, 1 and 19; the last ones are 8.88 and 19.12.
    got = combine(*column(0, 1, 9, 10, 18, 18, 19), usual(sigma=1.2))
    assert got.n_used[0, 0] == 5
    assert got.sci[0, 0] == np.float32(14.8)


def test_maxiters_ends_the_clip() -> None:
    values = column(*[0, 1] * 10, 10, 1000)
    kept = {m: combine(*values, usual(maxiters=m)).n_used[0, 0] for m in (None, 0, 1, 2)}
    assert kept == {None: 20, 0: 20, 1: 21, 2: 20}


def test_a_pixel_without_values_is_nan() -> None:
    got = combine(*column(np.nan, np.inf, -np.inf))
    assert math.isnan(got.sci[0, 0])
    assert math.isnan(got.err[0, 0])
    assert (got.dq[0, 0], got.n_used[0, 0]) == (7, 0)


def test_a_pixel_all_clipped_is_nan() -> None:
    got = combine(*column(0, 1), usual(sigma=0.5))
    assert math.isnan(got.sci[0, 0])
    assert got.n_used[0, 0] == 0


def test_two_values_at_one_sigma_stay() -> None:
    sci, err, dq = stack(8, (2, 5, 100), bad=0.0)
    assert (combine(sci, err, dq, usual(sigma=1.0)).n_used == 2).all()
    assert (oracle(sci, err, dq, 1.0, None).n_used == 2).all()


def test_equal_values_stay() -> None:
    for n in (2, 3, 7, 11, 100):
        got = combine(*stack(n, (n, 1, 200), "equal", 0.0), usual(sigma=0.5))
        assert (got.n_used == n).all()


def test_nan_err_counts_only_where_its_value_does() -> None:
    sci, err, dq = column(1, 1, 1, 1, 2, 2, 2, 1e4)
    err[7] = np.nan
    assert combine(sci, err, dq).err[0, 0] == np.float32(math.sqrt(7) / 7)
    err[0] = np.nan
    assert math.isnan(combine(sci, err, dq).err[0, 0])


def test_an_exposure_without_integrations_does_not_dilute() -> None:
    exposures = [np.full((4, 1, 1), 10.0, np.float32), np.full((4, 1, 1), np.nan, np.float32)]
    planes = [collapse(e, np.ones_like(e), np.zeros(e.shape, np.uint32)) for e in exposures]
    stacks = [np.stack([getattr(p, name) for p in planes]) for name in ("sci", "err", "dq")]
    got = combine(*stacks)
    assert (got.sci[0, 0], got.err[0, 0], got.n_used[0, 0]) == (10.0, 0.5, 1)


def test_err_of_integrations_is_that_of_the_mean() -> None:
    sci = np.random.default_rng(3).normal(0, 2, (25, 40, 40)).astype(np.float32)
    got = collapse(sci, np.full_like(sci, 2.0), np.zeros(sci.shape, np.uint32))
    assert got.sci.dtype == got.err.dtype == np.float64
    assert (got.n_used == 25).mean() > 0.8
    np.testing.assert_array_equal(got.err, np.sqrt(4.0 * got.n_used) / got.n_used)
    assert np.median(got.err) == pytest.approx(0.4)


@pytest.mark.parametrize("n", [3, 8, 12, 40, 130])
def test_no_result_depends_on_where_an_image_is_cut(n: int) -> None:
    sci, err, dq = stack(n, (n, 12, 700), "outliers", 0.05)
    whole = combine(sci, err, dq, usual(sigma=2.0))
    for rows, columns in [
        (slice(0, 5), slice(None)),
        (slice(5, 12), slice(None)),
        (slice(3, 4), slice(1, 700)),
        (slice(2, 9), slice(333, 401)),
        (slice(7, 8), slice(90, 91)),
    ]:
        part = combine(*(a[:, rows, columns] for a in (sci, err, dq)), usual(sigma=2.0))
        for name in FIELDS:
            want, got = getattr(whole, name)[rows, columns], getattr(part, name)
            assert want.tobytes() == got.tobytes(), name


@settings(max_examples=examples(100), deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 40),
    kind=st.sampled_from(KINDS),
    bad=st.sampled_from([0.0, 0.001, 0.02, 0.3]),
    dtype=st.sampled_from(["f4", "f8"]),
    sigma=SIGMAS,
    maxiters=MAXITERS,
)
def test_no_result_depends_on_the_neighbours(
    seed: int, n: int, kind: str, bad: float, dtype: str, sigma: float, maxiters: int | None
) -> None:
    """Alone, in tiles of complete pixels, of many incomplete ones, or of many outliers."""
    sci, err, dq = stack(seed, (n, 1, 600), kind, bad, dtype)
    rng = np.random.default_rng(seed)
    last = np.full((n, 1, 400), np.nan, dtype) if seed % 2 else rng.normal(size=(n, 1, 400)) ** 9
    among = np.concatenate([sci[..., :200], last.astype(dtype), sci[..., 200:]], axis=2)
    fill = [np.concatenate([a[..., :200], a[..., :400], a[..., 200:]], axis=2) for a in (err, dq)]
    order = rng.permutation(1000)
    rule = usual(sigma=sigma, maxiters=maxiters)
    for reduce in (combine, collapse):
        mixed = reduce(*(a[..., order] for a in (among, *fill)), rule)
        for part in (slice(0, 200), slice(200, 201), slice(201, 600)):
            alone = reduce(*(a[..., part] for a in (sci, err, dq)), rule)
            where = np.argsort(order)[
                part if part.start < 200 else slice(part.start + 400, part.stop + 400)
            ]
            for name in FIELDS:
                want, got = getattr(alone, name), getattr(mixed, name)[:, where]
                np.testing.assert_array_equal(got, want, name)


@settings(max_examples=examples(100), deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 20),
    kind=st.sampled_from(KINDS),
    bad=st.sampled_from([0.0, 0.02, 0.3]),
    dtype=st.sampled_from(["f4", "f8"]),
    sigma=SIGMAS,
)
def test_without_err_all_else_is_the_same(
    seed: int, n: int, kind: str, bad: float, dtype: str, sigma: float
) -> None:
    sci, err, dq = stack(seed, (n, 3, 200), kind, bad, dtype)
    rule = usual(sigma=sigma)
    for reduce in (combine, collapse):
        want, got = reduce(sci, err, dq, rule), reduce(sci, None, dq, rule)
        assert got.err.shape == (0, 200)
        for name in ("sci", "dq", "n_used"):
            np.testing.assert_array_equal(getattr(got, name), getattr(want, name), name)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 40),
    kind=st.sampled_from(KINDS),
    bad=st.sampled_from([0.0, 0.001, 0.02, 0.3]),
    dtype=st.sampled_from(["f4", "f8"]),
    sigma=SIGMAS,
    maxiters=MAXITERS,
)
def test_without_the_search_every_pixel_is_sorted_and_nothing_else_changes(
    seed: int, n: int, kind: str, bad: float, dtype: str, sigma: float, maxiters: int | None
) -> None:
    arrays = stack(seed, (n, 2, 150), kind, bad, dtype)
    rule = usual(sigma=sigma, maxiters=maxiters)
    want = combine(*arrays, rule)
    got = Combined(*(np.empty_like(getattr(want, name)) for name in FIELDS))
    average.average(*arrays, rule, np.arange(n), None, got)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(got, name), getattr(want, name), name)


def test_outliers_are_found_at_the_ends_of_tiles() -> None:
    size = 2 * WIDEST + 77
    rng = np.random.default_rng(0)
    sci = rng.uniform(0.99, 1.01, (8, 1, size)).astype("f4")
    places = np.array([0, 1, WIDEST - 1, WIDEST, 2 * WIDEST - 1, 2 * WIDEST, size - 1])
    for plane in range(8):
        struck = sci.copy()
        struck[plane, 0, places] += 10 * (-1) ** plane
        got = combine(struck, np.ones_like(sci), np.zeros(sci.shape, np.uint32))
        np.testing.assert_array_equal(np.flatnonzero(got.n_used[0] != 8), places)
        assert (got.n_used[0, places] == 7).all()
        kept = np.delete(struck[:, 0, places].astype("f8"), plane, axis=0).mean(axis=0)
        np.testing.assert_allclose(got.sci[0, places], kept, rtol=1e-7)


@pytest.mark.parametrize("number", [BATCH - 1, BATCH, BATCH + 1, 5000, 2 * WIDEST])
def test_batches_of_any_size_are_clipped(number: int) -> None:
    sci, err, dq = stack(7, (11, 1, 2 * WIDEST), bad=0.0)
    places = np.random.default_rng(number).permutation(2 * WIDEST)[:number]
    sci[3, 0, places] += 1e3
    got = combine(sci, err, dq, usual(sigma=3.0, maxiters=1))
    assert (np.delete(got.n_used[0], places) >= 10).all()
    assert (got.n_used[0, places] == 10).all()
    assert abs(got.sci[0, places] - 1).max() < 0.2


def test_members_are_like_a_stack_of_them() -> None:
    arrays = stack(9, (12, 4, 3000), "outliers", 0.01)
    for members in ([0, 2, 3, 4, 5, 7, 8, 9, 11], [11, 0, 5], [4], [3, 3, 1, 2, 6, 7, 8, 10]):
        got, want = combine(*arrays, members=members), combine(*(a[members] for a in arrays))
        for name in FIELDS:
            assert getattr(got, name).tobytes() == getattr(want, name).tobytes(), name


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("n", [1, 2, 5, 12, 100])
def test_flags_that_were_joined_before_are_those_of_all(n: int, dtype: str) -> None:
    sci, err, dq = stack(n, (n, 3, 700), "outliers", 0.01, dtype)
    got = combine(sci, err, np.bitwise_or.reduce(dq)[None])
    want = combine(sci, err, dq)
    for name in FIELDS:
        assert getattr(got, name).tobytes() == getattr(want, name).tobytes(), name


def test_flags_that_were_joined_cannot_be_asked_for_those_of_each() -> None:
    sci, err, dq = stack(0, (4, 5, 6))
    with pytest.raises(ShapeError, match="one shape"):
        combine(sci, err, dq[:1], StackRule(bad_bits=1))


def test_inputs_stay_as_they_are_and_may_be_read_only() -> None:
    arrays = stack(1, (9, 5, 80), "outliers")
    before = [a.tobytes() for a in arrays]
    for array in arrays:
        array.flags.writeable = False
    combine(*arrays)
    collapse(*arrays)
    assert [a.tobytes() for a in arrays] == before


def test_layout_and_byte_order_make_no_difference() -> None:
    sci, err, dq = stack(2, (9, 6, 80), "outliers")
    want = combine(sci, err, dq)
    for change in (
        lambda a: a.astype(a.dtype.newbyteorder(">")),
        np.asfortranarray,
        lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    ):
        got = combine(change(sci), change(err), change(dq))
        for name in FIELDS:
            np.testing.assert_array_equal(getattr(got, name), getattr(want, name))


def test_err_in_float64_is_not_rounded() -> None:
    sci, _, dq = stack(6, (4, 3, 5), bad=0.0)
    fine = np.full(sci.shape, 0.1)
    np.testing.assert_allclose(collapse(sci, fine, dq).err, 0.05, rtol=1e-15)


def test_bands_can_be_written_into_a_frame() -> None:
    sci, err, dq = stack(4, (9, 10, 30), "outliers")
    want = combine(sci, err, dq)
    frame = Combined(*(np.zeros_like(getattr(want, name)) for name in FIELDS))
    for rows in (slice(0, 4), slice(4, 10)):
        band = Combined(*(getattr(frame, name)[rows] for name in FIELDS))
        assert combine(sci[:, rows], err[:, rows], dq[:, rows], out=band) is band
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(frame, name), getattr(want, name))


def reach(values: Array) -> Array:
    """How many standard deviations the farthest value is from the median."""
    return np.abs(values - np.median(values, axis=0)).max(axis=0) / values.std(axis=0)


@pytest.mark.slow
@pytest.mark.parametrize("n", range(3, 41))
def test_can_clip_knows_how_far_a_value_can_stand(n: int) -> None:
    away = n // 2 + 2
    worst = np.array([0.0] * (away - 1) + [1 / away] * (n - away) + [1.0])
    assert can_clip(n, reach(worst) * (1 - 1e-12))
    assert not can_clip(n, reach(worst) * (1 + 1e-12))
    rng = np.random.default_rng(n)
    random = [reach(rng.normal(size=(n, 5000)) ** power).max() for power in (1, 3, 9, 27)]
    near = reach(worst[:, None] + rng.normal(size=(n, 5000)) * 10.0 ** rng.uniform(-6, 0, 5000))
    assert can_clip(n, max(*random, near.max()) * (1 - 1e-12))
    assert near.max() > 0.999 * reach(worst)


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [1.1, 1.5, 2.0, 3.0, 4.0])
@pytest.mark.parametrize("n", range(3, 41))
def test_least_reach_knows_how_near_the_mean_an_outlier_can_be(n: int, sigma: float) -> None:
    least = bound(ClipRule(sigma=sigma), n)
    assert least <= bound(ClipRule(sigma=sigma), n - 1)
    rng = np.random.default_rng(n)
    random = [rng.normal(size=(n, 5000)) ** power for power in (1, 2, 3, 9)]
    for values in (*random, nearest(n, rng.uniform(0, 1, 5000), rng.uniform(1, n, 5000))):
        std = values.std(axis=0)
        away = np.abs(values - np.median(values, axis=0)) / std
        off = np.abs(values - values.mean(axis=0)) / std
        assert off[away > sigma].min(initial=np.inf) >= least * (1 - 1e-12)


@pytest.mark.parametrize(("n", "least"), [(7, math.inf), (8, 2.35566), (15, 2.10889)])
def test_least_reach_is_the_least(n: int, least: float) -> None:
    assert bound(ClipRule(), n) == pytest.approx(least, abs=1e-5)
    if n > 7:
        b = 3.0 - least - 1e-5
        values = nearest(n, np.array([b]), np.array([3.0 - b]))
        assert reach(values)[0] == pytest.approx(3.0, abs=1e-4)
        assert values.max() / values.std() == pytest.approx(least, abs=1e-4)


def nearest(n: int, below: Array, highest: Array) -> Array:
    """Pixels of mean 0: half of the values low, one high, and the others between at one level."""
    half = n // 2 + 1
    between = n - half - 1
    level = (half * below - highest) / max(between, 1)
    return np.array([-below] * half + [level] * between + [highest])


def test_one_or_two_values_are_clipped_only_below_one_sigma() -> None:
    assert not can_clip(1, 0.5)
    assert not can_clip(2, 1.0)
    assert can_clip(2, 0.999)


@pytest.mark.parametrize(("n", "kept"), [(5, 5), (6, 6), (7, 7), (8, 7)])
def test_three_sigma_needs_eight_values(n: int, kept: int) -> None:
    sci, err, dq = stack(n, (n, 4, 50), bad=0.0)
    sci[-1] += 1e4 * 0.05
    assert can_clip(n, 3.0) == (kept < n)
    np.testing.assert_array_equal(combine(sci, err, dq).n_used, kept)
    np.testing.assert_array_equal(oracle(sci, err, dq, 3.0, None).n_used, kept)


def test_no_clip_at_infinite_sigma() -> None:
    got = combine(*column(1, 1, 1, 1, 2, 2, 2, 1e4), usual(sigma=math.inf))
    assert (got.n_used[0, 0], got.sci[0, 0]) == (8, np.float32(10010 / 8))


@pytest.mark.parametrize("n", range(1, 13))
def test_the_network_sorts_whatever_comes(n: int) -> None:
    # Knuth's 0-1 principle: a network that sorts all sequences of 0 and 1 sorts all sequences.
    rows = np.array(list(itertools.product([0, 1], repeat=n))).T
    for i, j in sorting_network(n):
        rows[i], rows[j] = np.minimum(rows[i], rows[j]), np.maximum(rows[i], rows[j])
    assert (np.diff(rows, axis=0) >= 0).all()


def test_kernels_work_where_no_cache_can_be_written() -> None:
    from bkgflow.methods._compiled import compiled

    namespace: dict[str, Any] = {}
    exec("def twice(x):\n    return 2 * x", namespace)  # has no file, so no place for a cache
    assert compiled(namespace["twice"])(21) == 42


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan])
def test_sigma_out_of_bounds_is_refused(sigma: float) -> None:
    with pytest.raises(SettingsError, match="sigma"):
        combine(*column(1, 2, 3), usual(sigma=sigma))


def test_no_limit_is_written_in_one_way() -> None:
    assert ClipRule(maxiters=0) == ClipRule(maxiters=None) == ClipRule()


def test_negative_maxiters_is_refused() -> None:
    with pytest.raises(SettingsError, match="maxiters"):
        collapse(*column(1, 2, 3), usual(maxiters=-1))


def test_arrays_that_do_not_fit_are_refused() -> None:
    sci, err, dq = stack(0, (4, 5, 6))
    with pytest.raises(ShapeError, match="one shape"):
        combine(sci, err[:3], dq)
    for odd in (dq[:3], dq[:1, :4], dq[:, :, :1], dq[:0]):
        with pytest.raises(ShapeError, match="one shape"):
            combine(sci, err, odd)
    with pytest.raises(ShapeError, match="first axis"):
        combine(sci[0], err[0], dq[0])
    with pytest.raises(ShapeError, match="n from 1"):
        combine(sci[:0], err[:0], dq[:0])


def test_output_arrays_that_do_not_fit_are_refused() -> None:
    sci, err, dq = stack(0, (4, 5, 6))
    good = combine(sci, err, dq)
    for bad in (good.sci[:4], good.sci.astype("f8"), np.asfortranarray(good.sci)):
        with pytest.raises(ShapeError, match=r"out\.sci"):
            combine(sci, err, dq, out=Combined(bad, good.err, good.dq, good.n_used))
