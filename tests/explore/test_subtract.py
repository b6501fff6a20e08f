"""A background subtracted from a Dataset: the same numbers as the step itself, lazily."""

import dask
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bkgflow
from bkgflow.errors import BackgroundError, ShapeError, WindowError
from tests.helpers.exposures import make_model
from tests.helpers.pace import examples

CORNER = (11, 21)


def write(path, rng, shape, corner=CORNER, bad=0.2, *, variances=False):
    """Write an exposure with outliers, NaN and flags."""
    sci = rng.normal(10, 2, shape).astype(np.float32)
    sci[rng.random(shape) < 0.05] += 300
    sci[rng.random(shape) < bad] = np.nan
    err = rng.uniform(0.5, 2, shape).astype(np.float32)
    with make_model(sci, err, rng.integers(0, 2**32, shape, dtype=np.uint32), corner=corner) as m:
        if variances:
            m.var_rnoise = rng.uniform(0.1, 1, shape).astype(np.float32)
            m.var_poisson = err**2 - m.var_rnoise
        m.save(str(path))
    return path


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Targets, an image and a cube, and backgrounds that cover all, a part, or none of a pixel."""
    folder = tmp_path_factory.mktemp("program")
    rng = np.random.default_rng(5)
    targets = [
        write(folder / "t0_rate.fits", rng, (9, 8), variances=True),
        write(folder / "t1_rateints.fits", rng, (3, 9, 8)),
    ]
    shapes = [((9, 8), CORNER), ((9, 8), CORNER), ((2, 9, 8), CORNER), ((5, 6), (13, 23)),
              ((20, 30), (3, 8))]  # fmt: skip
    backgrounds = [
        write(folder / f"b{i}_rate.fits", rng, shape, corner, 0.4)
        for i, (shape, corner) in enumerate(shapes)
    ]
    return targets, backgrounds


def assert_same(data, model):
    for name, array in (("sci", model.data), ("err", model.err), ("dq", model.dq)):
        found = data[name].values
        assert found.dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found, array)


@pytest.mark.slow
@settings(max_examples=examples(25), suppress_health_check=list(HealthCheck))
@given(
    which=st.integers(0, 1),
    picked=st.lists(st.integers(0, 4), min_size=1, max_size=5, unique=True),
    errors=st.booleans(),
    sigma=st.sampled_from([0.8, 3.0]),
    rows=st.integers(1, 9),
    columns=st.integers(1, 8),
    memory=st.integers(200, 5000),
    wide=st.booleans(),
)
def test_the_numbers_are_those_of_subtract(
    program, which, picked, errors, sigma, rows, columns, memory, wide
):
    targets, backgrounds = program
    paths = [backgrounds[i] for i in picked]
    model = bkgflow.subtract(targets[which], paths, sigma=sigma, propagate_errors=errors)
    with dask.config.set(scheduler="synchronous"):
        target = bkgflow.open_exposure(targets[which], memory=memory)
        # A stack of its own window must be brought to the target's pixels.
        within = {} if wide else {"target": targets[which]}
        background = bkgflow.combine(bkgflow.open_stack(paths, **within), sigma=sigma)
        found = bkgflow.subtract_background(target, background, propagate_errors=errors)
        assert dask.is_dask_collection(found.sci)
        assert_same(found, model)
        chunked = target.chunk(y=rows, x=columns)
        assert_same(
            bkgflow.subtract_background(chunked, background, propagate_errors=errors), model
        )
        eager = bkgflow.subtract_background(
            target.compute(), background.compute(), propagate_errors=errors
        )
    assert not dask.is_dask_collection(eager.sci)
    assert_same(eager, model)


@pytest.mark.slow
def test_a_part_of_a_target_is_that_part_of_the_whole(program):
    (_, cube), backgrounds = program
    target = bkgflow.open_exposure(cube)
    background = bkgflow.combine(bkgflow.open_stack(backgrounds))
    whole = bkgflow.subtract_background(target, background)
    for part in ({"y": slice(2, 5), "x": [1, 6]}, {"integration": 1}, {"integration": [2, 0]}):
        found = bkgflow.subtract_background(target.isel(part), background)
        xr.testing.assert_equal(found.compute(), whole.isel(part).compute())


def test_the_target_is_left_as_it_is(program):
    (image, _), backgrounds = program
    target = bkgflow.open_exposure(image).compute()
    background = bkgflow.combine(bkgflow.open_stack(backgrounds)).compute()
    before = target.copy(deep=True), background.copy(deep=True)
    bkgflow.subtract_background(target, background, propagate_errors=True)
    xr.testing.assert_identical(target, before[0])
    xr.testing.assert_identical(background, before[1])


@pytest.mark.slow
def test_what_xarray_made_of_a_target_is_what_the_background_is_subtracted_from(program):
    (image, _), backgrounds = program
    target = bkgflow.open_exposure(image)
    background = bkgflow.combine(bkgflow.open_stack(backgrounds))
    good = target.assign(sci=target.sci.where(target.dq % 2 == 0))
    found = bkgflow.subtract_background(good, background).compute()
    whole = bkgflow.subtract_background(target, background).compute()
    np.testing.assert_array_equal(found.sci, whole.sci.where(target.dq % 2 == 0))


def test_what_does_not_belong_together_is_refused(program, tmp_path):
    (image, _), backgrounds = program
    target = bkgflow.open_exposure(image)
    background = bkgflow.combine(bkgflow.open_stack(backgrounds))
    with pytest.raises(ShapeError, match="must have sci, err, dq, n_used"):
        bkgflow.subtract_background(target, target)
    with pytest.raises(ShapeError, match="A target must have"):
        bkgflow.subtract_background(bkgflow.open_stack(backgrounds), background)
    with pytest.raises(WindowError, match="must have pixels of its target"):
        bkgflow.subtract_background(target.assign_coords(x=target.x + 500), background)
    other = background.copy()
    other.sci.attrs["units"] = "MJy/sr"
    with pytest.raises(BackgroundError, match="unit"):
        bkgflow.subtract_background(target, other)
    with pytest.raises(BackgroundError, match="detector"):
        bkgflow.subtract_background(target, background.assign_attrs(detector="NRCA1"))


@pytest.mark.slow
def test_rejected_and_used_add_up_to_what_is_valid(program):
    _, backgrounds = program
    stack = bkgflow.open_stack([*backgrounds[:2], *backgrounds[3:]])
    for sigma, maxiters in ((0.8, None), (1.0, 1), (1.2, 2), (3.0, None)):
        rejected = bkgflow.rejected(stack, sigma=sigma, maxiters=maxiters)
        used = bkgflow.combine(stack, sigma=sigma, maxiters=maxiters).n_used
        valid = np.isfinite(stack.sci)
        assert rejected.dtype == bool
        assert rejected.dims == ("exposure", "y", "x")
        assert not (rejected & ~valid).any()
        np.testing.assert_array_equal(valid.sum("exposure") - rejected.sum("exposure"), used)
        # What is kept is what the mean is made of.
        kept = stack.sci.where(~rejected).astype("f8").mean("exposure").values
        mean = bkgflow.combine(stack, sigma=sigma, maxiters=maxiters).sci.values
        np.testing.assert_allclose(kept, mean, rtol=1e-6)
    assert bkgflow.rejected(stack, sigma=0.8).any()


def test_what_is_rejected_of_cubes_are_their_means(program):
    _, backgrounds = program
    stack = bkgflow.open_stack(backgrounds[:3])
    assert "integration" in stack.dims
    rejected = bkgflow.rejected(stack, sigma=0.9)
    means = [
        bkgflow.combine(stack.isel(exposure=i, drop=True), sigma=0.9).n_used > 0 for i in range(3)
    ]
    used = bkgflow.combine(stack, sigma=0.9).n_used
    np.testing.assert_array_equal(sum(means) - rejected.sum("exposure"), used)
