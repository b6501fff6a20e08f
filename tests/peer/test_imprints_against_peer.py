"""Imprints against the peer: its imprint step on every exposure, then its background step."""

import warnings

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jwst.background.background_sub import background_sub
from jwst.imprint.imprint_step import ImprintStep

import bkgflow
from bkgflow.errors import BackgroundError
from bkgflow.io.exposures.from_model import model_facts
from bkgflow.kinds.imprints import match_imprint
from tests.helpers.imprints import nirspec, peer_two_steps
from tests.helpers.pace import examples

CASES = settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))

matching = st.fixed_dictionaries(
    {
        "bkgdtarg": st.sampled_from([False, True, None]),
        "observation": st.sampled_from(["001", "002", None]),
        "position": st.sampled_from([1, 2, None]),
    }
)


def exposure(rng, shape, holes=True, **more):
    sci = rng.normal(10, 2, shape).astype(np.float32)
    if holes:
        sci[rng.random(shape) < 0.05] = np.nan
    dq = np.where(rng.random(shape) < 0.3, rng.integers(0, 2**32, shape, dtype=np.uint32), 0)
    return nirspec(sci, rng.uniform(0.5, 2, shape), dq, **more)


@pytest.mark.slow
@CASES
@given(
    seed=st.integers(0, 10**6),
    exp_type=st.sampled_from(["NRS_IFU", "NRS_MSASPEC"]),
    depth=st.sampled_from([None, None, 3]),
    target=matching,
    backgrounds=st.lists(matching, max_size=4),
    imprints=st.lists(matching, max_size=4),
    tilt=st.sampled_from([0.1, 0.1, 0.2]),
)
def test_imprint_then_background_equals_the_peer(
    seed, exp_type, depth, target, backgrounds, imprints, tilt
):
    rng = np.random.default_rng(seed)
    shape = (5, 7) if depth is None else (depth, 5, 7)
    # Of cubes the peer dilutes what is not there.
    more = {"exp_type": exp_type, "holes": depth is None}
    science = exposure(rng, shape, tilt=tilt, **more, **target)
    others = [exposure(rng, shape, **more, **each) for each in backgrounds]
    # A cube may have an image, one integration, or its own number of them.
    shapes = [shape[-2:]] if depth is None else [shape, shape[-2:], (1, *shape[-2:])]
    leakage = [
        exposure(rng, shapes[rng.integers(len(shapes))], **more, **each) for each in imprints
    ]
    before = [each.copy() for each in (science, *others, *leakage)]
    try:
        ours = bkgflow.subtract(science, others, imprints=leakage, sigma=3.0)
    except BackgroundError:  # an imprint of another shape has left nothing
        assume(False)
    peer = peer_two_steps(science, others, leakage)
    np.testing.assert_allclose(ours.data, peer.data, rtol=3e-6, atol=3e-5)
    np.testing.assert_array_equal(ours.dq, peer.dq)
    np.testing.assert_array_equal(ours.err, peer.err)
    assert ours.meta.cal_step.imprint == peer.meta.cal_step.imprint
    assert ours.meta.cal_step.bkg_subtract == peer.meta.cal_step.bkg_subtract
    for model, old in zip((science, *others, *leakage), before, strict=True):
        np.testing.assert_array_equal(model.data, old.data)
        np.testing.assert_array_equal(model.dq, old.dq)


@pytest.mark.slow
@CASES
@given(target=matching, imprints=st.lists(matching, min_size=1, max_size=5))
def test_the_imprint_that_is_chosen_is_the_peers(target, imprints):
    """Each imprint subtracts a power of two of its own, so that the difference names it."""
    science = nirspec(np.zeros((2, 2)), **target)
    models = [nirspec(np.full((2, 2), 2.0**i), **each) for i, each in enumerate(imprints)]
    facts = [model_facts(model, f"imprint {i}") for i, model in enumerate(models)]
    ours = match_imprint(model_facts(science, "target"), facts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = ImprintStep().process(science.copy(), models)
    assert (0.0 if ours is None else 2.0 ** facts.index(ours)) == -peer.data[0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("exp_type", ["NRS_IFU", "NRS_MSASPEC"])
def test_the_combined_background_is_the_peers(exp_type, tmp_path):
    rng = np.random.default_rng(5)
    more = {"exp_type": exp_type}
    science = exposure(rng, (9, 8), **more)
    others = [exposure(rng, (9, 8), bkgdtarg=True, position=i, **more) for i in (1, 2, 3)]
    leakage = [exposure(rng, (9, 8), **more)]
    leakage += [exposure(rng, (9, 8), bkgdtarg=True, position=i, **more) for i in (1, 2, 3)]
    science.meta.filename = "s_rate.fits"
    bkgflow.subtract(
        science, others, imprints=leakage, output_dir=tmp_path, save_combined_background=True
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        step = ImprintStep()
        cleaned = [step.process(each.copy(), leakage) for each in others]
        combined, _ = background_sub(step.process(science.copy(), leakage), cleaned, 3.0, None)
    with fits.open(tmp_path / "s_combinedbackground.fits") as units:
        np.testing.assert_allclose(units["SCI"].data, combined.data, rtol=3e-6)
        np.testing.assert_allclose(units["ERR"].data, combined.err, rtol=3e-6)
        np.testing.assert_array_equal(units["DQ"].data, combined.dq)
        assert units[0].header["S_IMPRNT"] == "COMPLETE"
