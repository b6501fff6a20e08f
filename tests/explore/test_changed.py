"""Datasets that xarray has changed: flags, masks and scales are what they were, where they are."""

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

import bkgflow
from bkgflow.errors import OutputError, ShapeError
from tests.helpers.exposures import make_model

SHAPE = (24, 20)
ODD = 3, 4
"""A pixel that one exposure has far too bright."""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A target, three backgrounds of other levels, and one of a part of the detector."""
    folder, rng = tmp_path_factory.mktemp("exposures"), np.random.default_rng(3)
    levels = {"t": 10.0, "b0": 7.0, "b1": 8.0, "b2": 9.0}
    for name, level in levels.items():
        sci = rng.normal(level, 0.1, SHAPE)
        if name == "b1":
            sci[ODD] = 50
        make_model(sci, 0.1).save(str(folder / f"{name}_rate.fits"))
    make_model(rng.normal(9, 0.1, (8, 8)), 0.1, corner=(5, 6)).save(str(folder / "part_rate.fits"))
    return folder


@pytest.fixture
def target(files):
    return files / "t_rate.fits"


@pytest.fixture
def backgrounds(files):
    return sorted(files.glob("b?_rate.fits"))


def less(stack):
    return stack.where(stack.sci < 20)


@pytest.mark.parametrize("options", [{}, {"bkg_scale": "offset"}, {"bkg_scale": "factor"}])
@pytest.mark.parametrize("how", ["lazy", "computed"])
def test_a_value_that_is_dropped_by_hand_is_missing_and_nothing_else(
    target, backgrounds, options, how
):
    stack = bkgflow.open_stack(backgrounds, target=target, **options)
    if how == "computed":
        stack = stack.compute()
    by_sci = bkgflow.combine(stack.assign(sci=stack.sci.where(stack.sci < 20))).compute()
    found = bkgflow.combine(less(stack)).compute()
    xr.testing.assert_identical(found, by_sci)
    assert found.n_used.values[ODD] == 2
    assert not found.dq.values.any()
    assert (found.dtypes["dq"], found.dtypes["n_used"]) == (np.uint32, np.uint16)


def test_rows_that_are_dropped_take_no_scale_with_them(target, backgrounds):
    stack = bkgflow.open_stack(backgrounds, target=target, bkg_scale="offset")
    whole = bkgflow.combine(stack, sigma=9).compute()
    found = bkgflow.combine(stack.where(stack.y >= 5), sigma=9).compute()
    assert not found.n_used.values[:5].any()
    np.testing.assert_array_equal(found.sci[5:], whole.sci[5:])
    np.testing.assert_array_equal(found.err[5:], whole.err[5:])


def test_regions_and_masks_stay_what_they_are(target, backgrounds, tmp_path):
    numbers = np.ones(SHAPE, np.int16)
    numbers[:, 10:] = 2
    fits.PrimaryHDU(numbers).writeto(tmp_path / "map.fits")
    stack = bkgflow.open_stack(
        backgrounds, target=target, bkg_scale="offset", bkg_scale_map=tmp_path / "map.fits",
        mask_sources="detect",
    )  # fmt: skip
    wanted = bkgflow.combine(stack.assign(sci=stack.sci.where(stack.sci < 20))).compute()
    xr.testing.assert_identical(bkgflow.combine(less(stack)).compute(), wanted)
    assert not bkgflow.rejected(less(stack), sigma=9).any()


def test_cubes_are_dropped_integration_by_integration(tmp_path):
    rng = np.random.default_rng(4)
    paths = [tmp_path / f"c{i}_rateints.fits" for i in range(2)]
    for path in paths:
        sci = rng.normal(10, 0.1, (4, 6, 5))
        sci[1, 2, 3] = 90
        make_model(sci, 0.1).save(str(path))
    stack = bkgflow.open_stack(paths)
    wanted = bkgflow.combine(stack.assign(sci=stack.sci.where(stack.sci < 20))).compute()
    xr.testing.assert_identical(bkgflow.combine(less(stack)).compute(), wanted)


def test_stacks_that_are_put_together_are_those_of_all_paths(files, backgrounds):
    part = files / "part_rate.fits"
    both = xr.concat(
        [bkgflow.open_stack(backgrounds), bkgflow.open_stack([part])], "exposure", join="outer"
    )
    found = bkgflow.combine(both).compute()
    wanted = bkgflow.combine(bkgflow.open_stack([*backgrounds, part])).compute()
    for name in ("sci", "err", "dq", "n_used"):
        np.testing.assert_array_equal(found[name], wanted[name])


def test_a_target_and_a_background_may_have_lost_pixels(target, backgrounds, tmp_path):
    exposure, stack = bkgflow.open_exposure(target), bkgflow.open_stack(backgrounds, target=target)
    combined = bkgflow.combine(less(stack))
    whole = bkgflow.subtract_background(exposure, combined).compute()
    less_background = bkgflow.subtract_background(exposure, combined.where(combined.y >= 9))
    np.testing.assert_array_equal(less_background.sci[9:], whole.sci[9:])
    np.testing.assert_array_equal(less_background.sci[:9], exposure.sci[:9])
    assert not less_background.n_used[:9].any()
    less_target = bkgflow.subtract_background(exposure.where(exposure.y >= 9), combined)
    np.testing.assert_array_equal(less_target.sci[9:], whole.sci[9:])
    assert less_target.sci[:9].isnull().all()
    xr.testing.assert_equal(bkgflow.subtract_background(exposure, combined * 1.0).compute(), whole)
    written = less_background.bkgflow.to_fits(tmp_path / "t_bsub.fits")
    assert not fits.getdata(str(written), "DQ").any()
    saved = combined.where(combined.y >= 9).bkgflow.to_fits(tmp_path / "mine.fits")
    assert not fits.getdata(str(saved), "DQ").any()


def test_flags_that_are_none_are_refused(backgrounds):
    stack = bkgflow.open_stack(backgrounds)
    for wrong in (stack.dq + 0.5, stack.dq - 1.0, stack.dq + 2.0**32):
        with pytest.raises(ShapeError, match="dq must hold whole numbers"):
            bkgflow.combine(stack.assign(dq=wrong)).compute()
    with pytest.raises(ShapeError, match="dq must hold whole numbers"):
        bkgflow.combine(stack.assign(dq=stack.dq.astype(str)))


def test_what_was_moved_or_taken_apart_is_no_other_product(target, backgrounds, tmp_path):
    stack, exposure = bkgflow.open_stack(backgrounds, target=target), bkgflow.open_exposure(target)
    usual = bkgflow.combine(stack).compute()
    turned = bkgflow.combine(stack.transpose("exposure", "x", "y"))
    xr.testing.assert_equal(turned.compute(), usual)
    written = turned.bkgflow.to_fits(tmp_path / "turned.fits")
    np.testing.assert_array_equal(fits.getdata(str(written), "SCI"), usual.sci)
    done = bkgflow.subtract_background(exposure, usual)
    with pytest.raises(ShapeError, match="with n_used"):
        done[["sci", "err", "dq"]].bkgflow.to_fits(tmp_path / "x.fits")
    moved = xr.concat([exposure.isel(y=slice(9, None)), exposure.isel(y=slice(9))], "y")
    with pytest.raises(ShapeError, match="another order"):
        moved.bkgflow.to_fits(tmp_path / "x.fits")
    with pytest.raises(OutputError, match="must not replace an exposure"):
        usual.bkgflow.to_fits(backgrounds[1], overwrite=True)
    with pytest.raises(OutputError, match="must not replace an exposure"):
        done.bkgflow.to_fits(backgrounds[2], overwrite=True)


def test_a_stack_names_the_exposures_that_it_is_of_now(backgrounds, tmp_path):
    stack = bkgflow.open_stack(backgrounds)
    some = bkgflow.combine(stack.isel(exposure=[0, 2]))
    assert some.attrs["paths"].splitlines() == [str(backgrounds[i]) for i in (0, 2)]
    parts = [bkgflow.open_stack(backgrounds[:1]), bkgflow.open_stack(backgrounds[1:])]
    both = bkgflow.combine(xr.concat(parts, "exposure"))
    assert both.attrs["paths"].splitlines() == list(map(str, backgrounds))
    opened = xr.concat([bkgflow.open_exposure(each) for each in backgrounds], "exposure")
    written = bkgflow.combine(opened).bkgflow.to_fits(tmp_path / "combined.fits")
    assert "S_BKDSUB" not in fits.getheader(str(written))


def test_one_exposure_of_a_masked_stack_of_cubes_is_combined(tmp_path):
    rng = np.random.default_rng(6)
    paths = [tmp_path / f"c{i}_rateints.fits" for i in range(2)]
    for path in paths:
        make_model(rng.normal(10, 0.1, (4, 64, 64)), 0.1).save(str(path))
    masked = bkgflow.open_stack(paths, mask_sources="detect")
    plain = bkgflow.open_stack(paths)
    some = masked.assign(mask=masked.mask | (masked.y < 5))
    found = bkgflow.combine(some.isel(exposure=0)).compute()
    wanted = bkgflow.combine(plain.isel(exposure=0)).compute()
    free = ~some.mask.isel(exposure=0).values
    assert not found.n_used.values[~free].any()
    np.testing.assert_array_equal(found.sci.values[free], wanted.sci.values[free])


def test_a_background_with_a_row_twice_is_refused(target, backgrounds):
    combined = bkgflow.combine(bkgflow.open_stack(backgrounds, target=target))
    twice = xr.concat([combined, combined.isel(y=slice(3))], "y")
    with pytest.raises(ShapeError, match="each row and column once"):
        bkgflow.subtract_background(bkgflow.open_exposure(target), twice)
