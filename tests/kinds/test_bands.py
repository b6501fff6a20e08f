"""Bands of combined backgrounds: the same whatever they are read beside, and however."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bkgflow.detector import Window
from bkgflow.io.exposures.from_model import model_facts
from bkgflow.kinds.bands import combine_band
from bkgflow.kinds.strips import Imprint
from bkgflow.rules import ClipRule, StackRule
from tests.helpers.exposures import make_model
from tests.helpers.pace import examples

BAND = Window(2, 3, 24, 17)


def source(rng, depth, *, wide):
    """Return an exposure of random values and flags; one that is not wide holds part of a band."""
    ny, nx = (32, 40) if wide else (12, 30)
    shape = (ny, nx) if depth is None else (depth, ny, nx)
    sci = rng.normal(3, 1, shape).astype(np.float32)
    sci[rng.random(shape) < 0.05] = np.nan
    sci[rng.random(shape) < 0.02] += 50
    dq = np.where(rng.random(shape) < 0.2, 1 << rng.integers(0, 32, shape), 0).astype(np.uint32)
    err = rng.uniform(0.1, 1, shape).astype(np.float32)
    model = make_model(sci, err, dq, corner=(1, 1))
    return model_facts(model, "x").source


@pytest.mark.slow
@settings(max_examples=examples(60), deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    depths=st.lists(st.sampled_from([None, None, 1, 3]), min_size=1, max_size=9),
    wide=st.booleans(),
    errors=st.booleans(),
    imprint=st.booleans(),
    budget=st.sampled_from([1, 40_000, 1 << 26]),
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_set_is_the_same_alone_and_beside_others(seed, depths, wide, errors, imprint, budget):
    """Alone, its flags are joined as they are read; beside others they wait for their sets."""
    rng = np.random.default_rng(seed)
    sources = [source(rng, depth, wide=wide or i > 0) for i, depth in enumerate(depths)]
    every = tuple(range(len(sources)))
    options = {"rule": StackRule(), "errors": errors}
    if imprint:
        options["imprints"] = [Imprint(source(rng, None, wide=True), every[::2])]
    [alone] = combine_band(sources, [every], BAND, budget=budget, **options)
    beside, _ = combine_band(sources, [every, every[:1]], BAND, budget=1 << 24, **options)
    for name in ("sci", "err", "dq", "n_used"):
        got, want = getattr(alone.pixels, name), getattr(beside.pixels, name)
        np.testing.assert_array_equal(got, want, err_msg=name)
    assert alone.members == beside.members
    np.testing.assert_array_equal(alone.levels.median, beside.levels.median)


@pytest.mark.slow
def test_flags_are_those_of_every_exposure():
    """Also of what was clipped, and of pixels that no exposure has a value for."""
    flags = [1 << i for i in range(12)]
    values = [0.0] * 10 + [1e6, np.nan]
    models = [
        make_model(np.full((8, 8), value), 0.5, flag, corner=(1, 1))
        for value, flag in zip(values, flags, strict=True)
    ]
    sources = [model_facts(model, "x").source for model in models]
    [band] = combine_band(
        sources, [range(12)], Window(0, 0, 8, 8), rule=StackRule(), budget=1 << 20, errors=False
    )
    assert (band.pixels.dq == sum(flags)).all()
    assert (band.pixels.n_used == 10).all()


@pytest.mark.parametrize(
    "rule",
    [StackRule(bad_bits=1), StackRule(clip=ClipRule(method="robust")), StackRule(dq_percent=100)],
)
def test_rules_that_ask_for_the_flags_of_each_get_them(rule):
    dq = [np.zeros((8, 8), np.uint32), np.full((8, 8), 5, np.uint32), np.full((8, 8), 4, np.uint32)]
    models = [make_model(np.full((8, 8), i), 0.5, each) for i, each in enumerate(dq)]
    sources = [model_facts(model, "x").source for model in models]
    one, other = (
        combine_band(sources, sets, Window(0, 0, 8, 8), rule=rule, budget=1 << 20)[0]
        for sets in ([(0, 1, 2)], [(0, 1, 2), (0, 1)])
    )
    for name in ("sci", "err", "dq", "n_used"):
        np.testing.assert_array_equal(getattr(one.pixels, name), getattr(other.pixels, name))
    assert one.pixels.n_used[0, 0] == (2 if rule.bad_bits else 3)
