"""What `propagate_errors` adds is not lost: the background's variance goes where the pipeline,
which makes ERR of VAR_* again and again, keeps it."""

import warnings

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jwst.flatfield.flat_field import do_correction
from stdatamodels.jwst import datamodels

import bkgflow
from bkgflow.api import subtract_to_file
from tests.helpers.exposures import make_model, write_fits
from tests.helpers.pace import examples

pytestmark = pytest.mark.slow

CASES = settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))


def rate(rng, shape=(8, 6), *, holes=False, lacks=(), scale=1.0, **more):
    """A rate file's model: ERR is the root of its variances, times ``scale``."""
    model = make_model(rng.normal(10, 1, shape), **more)
    parts = {name: rng.uniform(0.1, 2, shape).astype(np.float32) for name in ("poisson", "rnoise")}
    if holes:
        gone = rng.random(shape) < 0.1
        model.data[gone] = np.nan
        for part in parts.values():
            part[gone] = np.nan
    model.err = np.float32(scale) * np.sqrt(sum(parts.values()))
    for name, part in parts.items():
        if name not in lacks:
            setattr(model, f"var_{name}", part)
    return model


def flattened(model):
    """Divide by a flat of 1 without an uncertainty, as the pipeline does; return ERR."""
    flat = datamodels.FlatModel((8, 6))
    flat.data, flat.err = np.ones((8, 6), np.float32), np.zeros((8, 6), np.float32)
    flat.dq = np.zeros((8, 6), np.uint32)
    flat.meta.subarray.xstart = flat.meta.subarray.ystart = 1
    flat.meta.subarray.xsize, flat.meta.subarray.ysize = 6, 8
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result, _ = do_correction(model.copy(), flat=flat)
    assert result.meta.cal_step.flat_field == "COMPLETE"
    return result.err


def written(tmp_path, model, name="t_rate.fits", touched=False):
    path = tmp_path / name
    model.save(str(path))
    if touched:  # headers that somebody else wrote: the product comes through its data model
        with fits.open(path, mode="update") as units:
            units[0].header["OBSERVER"] = "somebody"
    return path


def saved(path):
    with fits.open(path) as units:
        return {unit.name: np.array(unit.data) for unit in units[1:] if unit.name != "ASDF"}


@pytest.mark.parametrize("shape", [(8, 6), (3, 8, 6)])
def test_propagated_errors_survive_the_flat_field(shape):
    rng = np.random.default_rng(1)
    target, backgrounds = rate(rng, shape), [rate(rng, shape) for _ in range(3)]
    plain = bkgflow.subtract(target, backgrounds)
    result = bkgflow.subtract(target, backgrounds, propagate_errors=True)
    assert (result.err > plain.err * 1.01).all()
    np.testing.assert_allclose(flattened(plain), plain.err, rtol=1e-5)
    np.testing.assert_allclose(flattened(result), result.err, rtol=1e-5)
    np.testing.assert_array_equal(plain.var_rnoise, target.var_rnoise)
    np.testing.assert_array_equal(result.var_poisson, target.var_poisson)
    assert result.meta.bkgflow.variance_array == "VAR_RNOISE"
    assert not result.meta.bkgflow.hasattr("error_notes")


@pytest.mark.parametrize("touched", [False, True])
@pytest.mark.parametrize("shape", [(8, 6), (3, 8, 6)])
def test_products_in_files_have_the_variance_of_products_in_memory(shape, touched, tmp_path):
    rng = np.random.default_rng(2)
    target = rate(rng, shape, holes=True)
    background = rate(rng, holes=True)
    path = written(tmp_path, target, touched=touched)
    to = subtract_to_file(path, [background], tmp_path / "o", propagate_errors=True)
    result = bkgflow.subtract(target, [background], propagate_errors=True)
    product, before = saved(to), saved(path)
    assert product.keys() == before.keys()
    for name, attribute in (("VAR_RNOISE", "var_rnoise"), ("ERR", "err"), ("SCI", "data")):
        np.testing.assert_array_equal(product[name], getattr(result, attribute))
    np.testing.assert_array_equal(product["VAR_POISSON"], before["VAR_POISSON"])
    here = np.isfinite(background.data)
    added = product["VAR_RNOISE"] - before["VAR_RNOISE"]
    fine = here & np.isfinite(added)
    wanted = np.broadcast_to(background.err**2, shape)
    np.testing.assert_allclose(added[fine], wanted[fine], rtol=1e-5, atol=1e-6)
    # No background: nothing is added; nothing known of the target: nothing is made up.
    np.testing.assert_array_equal(
        product["VAR_RNOISE"][..., ~here], before["VAR_RNOISE"][..., ~here]
    )
    assert (np.isnan(product["VAR_RNOISE"]) == np.isnan(before["VAR_RNOISE"])).all()
    with datamodels.open(to) as model:
        np.testing.assert_allclose(flattened(model), np.where(
            np.isfinite(model.data), product["ERR"], np.nan), rtol=1e-5)  # fmt: skip


@CASES
@given(
    seed=st.integers(0, 10**6),
    depth=st.sampled_from([None, 2]),
    others=st.integers(1, 4),
    corner=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    holes=st.booleans(),
    scale=st.sampled_from([1.0, 1.0, 0.5, 3.0]),
    lacks=st.sampled_from([(), (), ("rnoise",), ("poisson",)]),
)
def test_the_sum_of_the_variances_grows_as_err_does(
    seed, depth, others, corner, holes, scale, lacks
):
    """In any subarray: ERR never decreases, and ΣVAR grows by what ERR² grows by."""
    rng = np.random.default_rng(seed)
    shape = (8, 6) if depth is None else (depth, 8, 6)
    target = rate(rng, shape, holes=holes, lacks=lacks, scale=scale, corner=(3, 3))
    backgrounds = [rate(rng, (10, 11), holes=holes, corner=corner) for _ in range(others)]
    before = target.copy()
    result = bkgflow.subtract(target, backgrounds, propagate_errors=True)
    names = [f"var_{name}" for name in ("poisson", "rnoise") if name not in lacks]
    old, new = (sum(getattr(m, n).astype(float) for n in names) for m in (before, result))
    growth = result.err.astype(float) ** 2 - before.err.astype(float) ** 2
    assert not (growth < -1e-5).any()
    fine = np.isfinite(growth) & np.isfinite(old)
    np.testing.assert_allclose((new - old)[fine], growth[fine], rtol=1e-4, atol=2e-5)
    np.testing.assert_array_equal(np.isnan(result.err), np.isnan(before.err))
    assert (result.err[fine] > before.err[fine]).any()
    for name in lacks:  # nothing is made up
        assert not result.hasattr(f"var_{name}")


def note_of(result):
    [note] = result.meta.bkgflow.error_notes
    return note


def test_without_variances_err_alone_grows_and_the_product_says_so(tmp_path, caplog):
    rng = np.random.default_rng(3)
    target = rate(rng, lacks=("poisson", "rnoise"))
    result = bkgflow.subtract(target, [rate(rng)], propagate_errors=True)
    assert (result.err > target.err).all()
    assert "neither VAR_RNOISE nor VAR_POISSON" in note_of(result)
    assert "neither VAR_RNOISE nor VAR_POISSON" in caplog.text
    assert not result.hasattr("var_rnoise") and not result.hasattr("var_poisson")
    # The same of a file that never had any.
    sci = np.full((8, 6), 20, np.float32)
    for name in ("t", "b"):
        write_fits(
            tmp_path / f"{name}_rate.fits", sci, 3 * np.ones_like(sci), DATAMODL="ImageModel"
        )
    to = subtract_to_file(
        tmp_path / "t_rate.fits", [tmp_path / "b_rate.fits"], tmp_path / "o", propagate_errors=True
    )
    product = saved(to)
    np.testing.assert_allclose(product["ERR"], 3 * np.sqrt(2), rtol=1e-6)
    assert "VAR_RNOISE" not in product


def test_variances_that_are_no_match_for_err_are_named(tmp_path):
    rng = np.random.default_rng(4)
    target = rate(rng, scale=2.0)
    result = bkgflow.subtract(target, [background := rate(rng)], propagate_errors=True)
    assert "0.25 of ERR²" in note_of(result)
    np.testing.assert_allclose(result.err, np.hypot(target.err, background.err), rtol=1e-6)
    np.testing.assert_allclose(result.var_rnoise, target.var_rnoise + background.err**2, rtol=1e-6)
    to = subtract_to_file(
        written(tmp_path, target), [background], tmp_path / "o", propagate_errors=True
    )
    with datamodels.open(to) as model:
        assert note_of(model) == note_of(result)
    assert "0.25 of ERR" in "".join(fits.getheader(to)["HISTORY"])


def test_variances_of_another_shape_do_not_count(tmp_path):
    rng = np.random.default_rng(5)
    path = written(tmp_path, rate(rng))
    with fits.open(path) as units:
        units["VAR_RNOISE"].data = units["VAR_RNOISE"].data[:4]
        units.writeto(tmp_path / "odd_rate.fits")
    result = bkgflow.subtract(tmp_path / "odd_rate.fits", [rate(rng)], propagate_errors=True)
    assert result.meta.bkgflow.variance_array == "VAR_POISSON"
    assert "no VAR_RNOISE" in " ".join(result.meta.bkgflow.error_notes)
    assert result.var_rnoise.shape == (4, 6)


def test_variances_are_copied_byte_by_byte_where_no_errors_are_propagated(tmp_path):
    rng = np.random.default_rng(6)
    path = written(tmp_path, rate(rng, holes=True))
    product = saved(subtract_to_file(path, [rate(rng)], tmp_path / "o"))
    for name in ("ERR", "VAR_POISSON", "VAR_RNOISE"):
        assert product[name].tobytes() == saved(path)[name].tobytes()


def test_the_two_ways_to_write_headers_have_the_same_variances(tmp_path):
    """A variance stored in another type than a data model's is cast by the model."""
    rng = np.random.default_rng(7)
    path = written(tmp_path, rate(rng))
    with fits.open(path) as units:
        units["VAR_RNOISE"].data = units["VAR_RNOISE"].data.astype(np.float64)
        units.writeto(tmp_path / "wide_rate.fits")
    background = rate(rng)
    one, other = (
        saved(subtract_to_file(each, [background], tmp_path / "o", propagate_errors=True))
        for each in (path, tmp_path / "wide_rate.fits")
    )
    assert other["VAR_RNOISE"].dtype == ">f4"
    np.testing.assert_array_equal(one["VAR_RNOISE"], other["VAR_RNOISE"])
