"""The plain clip that shows what is rejected, against the compiled one and against astropy."""

import numpy as np
import pytest
from astropy.stats import sigma_clip
from hypothesis import given, settings
from hypothesis import strategies as st

from bkgflow.methods import clip
from bkgflow.rules import ClipRule, StackRule
from tests.helpers.pace import examples


@settings(max_examples=examples(60))
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 24),
    sigma=st.sampled_from([0.5, 1.0, 1.7, 2.2, 3.0, np.inf]),
    maxiters=st.sampled_from([None, 0, 1, 2, 5]),
    dtype=st.sampled_from([np.float32, np.float64]),
    bad=st.sampled_from([0.0, 0.2, 0.9]),
)
def test_it_rejects_what_the_compiled_clip_leaves_out(seed, n, sigma, maxiters, dtype, bad):
    rng = np.random.default_rng(seed)
    sci = rng.normal(5, 1, (n, 6, 7)).astype(dtype)
    sci[rng.random(sci.shape) < 0.1] += 50
    sci[rng.random(sci.shape) < bad] = rng.choice([np.nan, np.inf, -np.inf])
    rule = StackRule(clip=ClipRule(sigma=sigma, maxiters=maxiters))
    found = clip.rejected(sci, rule)
    valid = np.isfinite(sci)
    assert not (found & ~valid).any()
    combined = clip.combine(sci, None, np.zeros(sci.shape, np.uint32), rule)
    np.testing.assert_array_equal(valid.sum(axis=0) - found.sum(axis=0), combined.n_used)
    kept = np.where(valid & ~found, sci, 0).sum(axis=0, dtype=np.float64)
    some = combined.n_used > 0
    np.testing.assert_allclose(
        kept[some] / combined.n_used[some], combined.sci[some], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("sigma", [1.5, 2.5])
def test_it_is_astropys_clip(sigma):
    sci = np.random.default_rng(7).standard_t(2, (12, 20, 20))
    expected = sigma_clip(sci, sigma, maxiters=None, axis=0).mask
    np.testing.assert_array_equal(
        clip.rejected(sci, StackRule(clip=ClipRule(sigma=sigma))), expected
    )


def test_the_stack_is_left_as_it_is():
    sci = np.random.default_rng(8).normal(size=(9, 4, 4)).astype(np.float32)
    before = sci.copy()
    clip.rejected(sci, StackRule(clip=ClipRule(sigma=1.0)))
    np.testing.assert_array_equal(sci, before)
