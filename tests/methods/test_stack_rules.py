"""Every rule of a stack against the same rule written plainly, and what must not change it."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bkgflow.errors import SettingsError
from bkgflow.methods.clip import collapse, combine, rejected
from bkgflow.methods.clip.average import _output
from bkgflow.methods.clip.efficiency import variance_factors
from bkgflow.methods.clip.ruled import average_by_rule
from bkgflow.rules import ClipRule, StackRule
from tests.helpers.pace import examples
from tests.helpers.stack_rules import by_hand, median_factor

Array = NDArray[Any]

FIELDS = ("sci", "err", "dq", "n_used")

CLIPS = st.builds(
    ClipRule,
    method=st.sampled_from(["sigma", "robust", "noise", "minmax", "none"]),
    side=st.sampled_from(["both", "high", "low"]),
    sigma=st.sampled_from([0.7, 1.7, 3.0, math.inf]),
    maxiters=st.sampled_from([None, 1, 2]),
)
RULES = st.builds(
    StackRule,
    clip=CLIPS,
    combine=st.sampled_from(["mean", "median", "weighted"]),
    weights=st.sampled_from(["err", "exptime"]),
    bad_bits=st.sampled_from([0, 1, 5, 1 << 31]),
    dq_percent=st.sampled_from([0.0, 1.0, 50.0, 100.0]),
)


def stack(seed: int, shape: tuple[int, ...], bad: float, dtype: str) -> tuple[Array, ...]:
    """SCI, ERR, DQ and exposure times, with outliers, gaps, flags and ERR that says nothing."""
    rng = np.random.default_rng(seed)
    err = rng.uniform(0.05, 0.2, shape)
    sci = rng.normal(5.0, err)
    sci[rng.random(shape) < 0.1] += 10.0 ** rng.uniform(-1, 4)
    sci[rng.random(shape) < bad] = rng.choice([np.nan, np.inf, -np.inf])
    err[rng.random(shape) < bad / 4] = rng.choice([np.nan, 0.0, -1.0])
    dq = np.where(rng.random(shape) < 0.3, 1 << rng.integers(0, 32, shape), 0).astype(np.uint32)
    return sci.astype(dtype), err.astype(dtype), dq, rng.uniform(1, 9, shape[0])


@settings(max_examples=examples(300), deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8, 12, 30]),
    bad=st.sampled_from([0.0, 0.1, 0.6]),
    dtype=st.sampled_from(["f4", "f8"]),
    rule=RULES,
)
def test_every_rule_is_what_it_says(
    seed: int, n: int, bad: float, dtype: str, rule: StackRule
) -> None:
    sci, err, dq, times = stack(seed, (n, 2, 6), bad, dtype)
    got = combine(sci, err, dq, rule, exptime=times.tolist())
    factors = variance_factors(rule, n)
    for y, x in product(range(2), range(6)):
        want = by_hand(sci[:, y, x], err[:, y, x], dq[:, y, x], rule, times)
        assert got.n_used[y, x] == want.n_used
        assert got.dq[y, x] == want.dq
        assert got.sci[y, x] == pytest.approx(want.sci, rel=1e-6, nan_ok=True)
        taken = want.n_used
        if rule.clip.method == "minmax":
            alone = StackRule(clip=ClipRule(method="none"), combine=rule.combine,
                              weights=rule.weights, bad_bits=rule.bad_bits)  # fmt: skip
            taken = by_hand(sci[:, y, x], err[:, y, x], dq[:, y, x], alone, times).n_used
        error = want.err * math.sqrt(factors[taken])
        assert got.err[y, x] == pytest.approx(abs(error), rel=1e-6, nan_ok=True)


@settings(max_examples=examples(100), deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 30),
    bad=st.sampled_from([0.0, 0.1, 0.6]),
    dtype=st.sampled_from(["f4", "f8"]),
    sigma=st.sampled_from([0.7, 1.5, 3.0]),
    maxiters=st.sampled_from([None, 1, 2]),
    errors=st.booleans(),
)
def test_the_usual_rule_is_the_same_in_both_ways(
    seed: int, n: int, bad: float, dtype: str, sigma: float, maxiters: int | None, errors: bool
) -> None:
    """To the bit: with bad bits that no value has, it is computed by the other loops."""
    sci, err, dq, _ = stack(seed, (n, 3, 40), bad, dtype)
    given_err = err if errors else None
    rule = StackRule(clip=ClipRule(sigma=sigma, maxiters=maxiters))
    want, got = collapse(sci, given_err, dq, rule), collapse(sci, given_err, dq, rule)
    average_by_rule(sci, given_err, dq, rule, np.arange(n), np.ones(n), _output(got))
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(got, name), getattr(want, name), name)


@settings(max_examples=examples(100), deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 30),
    bad=st.sampled_from([0.0, 0.1, 0.6]),
    dtype=st.sampled_from(["f4", "f8"]),
    rule=RULES,
    data=st.data(),
)
def test_nothing_depends_on_the_cut_and_members_are_what_they_are(
    seed: int, n: int, bad: float, dtype: str, rule: StackRule, data: st.DataObject
) -> None:
    sci, err, dq, times = stack(seed, (n, 7, 60), bad, dtype)
    members = data.draw(st.lists(st.integers(0, n - 1), min_size=1, unique=True))
    whole = combine(sci, err, dq, rule, members=members, exptime=times.tolist())
    some = [each[members][:, 2:6] for each in (sci, err, dq)]
    part = combine(*some, rule, exptime=times[members].tolist())
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[2:6], name)
    dropped = rejected(some[0], rule, some[1], some[2])
    valid = np.isfinite(some[0]) & (some[2] & np.uint32(rule.bad_bits) == 0)
    if rule.needs_errors:
        valid &= some[1] > 0
    assert not (dropped & ~valid).any()
    np.testing.assert_array_equal((valid & ~dropped).sum(axis=0), part.n_used)


@pytest.mark.parametrize("rule", [
    StackRule(clip=ClipRule(method="noise")), StackRule(combine="weighted"),
])  # fmt: skip
def test_a_rule_that_needs_err_says_so(rule: StackRule) -> None:
    sci, _, dq, _ = stack(0, (4, 2, 3), 0.0, "f4")
    for call in (lambda: combine(sci, None, dq, rule), lambda: rejected(sci, rule)):
        with pytest.raises(SettingsError, match="must be given it"):
            call()


@pytest.mark.parametrize("times", [None, [1.0, 2.0], [1.0, 2.0, 0.0, 1.0], [1.0, 2.0, math.nan, 1]])
def test_weights_by_time_need_the_times(times: list[float] | None) -> None:
    sci, err, dq, _ = stack(0, (4, 2, 3), 0.0, "f4")
    with pytest.raises(SettingsError, match="one for each exposure"):
        combine(sci, err, dq, StackRule(combine="weighted", weights="exptime"), exptime=times)


def test_what_differs_by_rounding_is_no_outlier() -> None:
    """Half of the values are equal, so that their median absolute deviation is 0."""
    value = np.float32(0.1)
    near = np.nextafter(value, np.float32(1))
    sci = np.array([value, value, value, near, value, 7.0], np.float32).reshape(-1, 1, 1)
    err, dq = np.ones_like(sci), np.zeros(sci.shape, np.uint32)
    got = combine(sci, err, dq, StackRule(clip=ClipRule(method="robust")))
    assert got.n_used[0, 0] == 5
    assert got.sci[0, 0] == pytest.approx(0.1)


@pytest.mark.parametrize("n", [3, 5, 9, 19, 21, 25])
def test_the_efficiency_of_the_median(n: int) -> None:
    """Beyond twenty values it is not exact any more."""
    factors = variance_factors(StackRule(combine="median"), n)
    assert factors[n] == pytest.approx(median_factor(n), rel=1e-6 if n < 20 else 1e-3)


def test_the_efficiency_of_even_numbers_and_of_many() -> None:
    """Variances and covariances: Sarhan & Greenberg 1956, Ann. Math. Statist. 27, 427, table II."""
    factors = variance_factors(StackRule(combine="median"), 10_000)
    assert factors[4] == pytest.approx(2 * (0.3604553 + 0.2359439), rel=1e-5)
    assert factors[6] == pytest.approx(3 * (0.2462125 + 0.1832727), rel=1e-5)
    assert factors[10_000] == pytest.approx(math.pi / 2, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("side", "n"), [("both", 3), ("both", 4), ("both", 7), ("both", 40),
                                         ("high", 2), ("low", 5), ("high", 40)])  # fmt: skip
@pytest.mark.parametrize("how", ["mean", "median"])
def test_the_efficiency_without_the_extremes(side: str, n: int, how: str) -> None:
    rng = np.random.default_rng(n)
    sci = rng.normal(size=(n, 200, 1000)).astype(np.float32)
    rule = StackRule(clip=ClipRule(method="minmax", side=side), combine=how)
    got = combine(sci, np.ones_like(sci), np.zeros(sci.shape, np.uint32), rule)
    assert np.std(got.sci) / got.err.mean() == pytest.approx(1.0, rel=0.01)
