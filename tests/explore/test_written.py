"""Datasets written again: as the products of the step, as zarr stores."""

import warnings

import numpy as np
import pytest
import xarray as xr
from stdatamodels.jwst import datamodels

import bkgflow
from bkgflow.errors import BackgroundError, OutputError, SettingsError, ShapeError
from bkgflow.simulate import simulate_imaging, simulate_tso


@pytest.fixture(scope="module", params=["imaging", "tso"])
def case(request, tmp_path_factory):
    """A target, its backgrounds, and what the step makes of them."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "imaging":
        program = simulate_imaging(folder, targets=1, backgrounds=3, size=64)
    else:
        program = simulate_tso(folder, integrations=3, backgrounds=2, size=64)
    roles = {"target": [], "background": []}
    for path, each in zip(program.exposures, program.truth.exposures, strict=True):
        roles[each.role].append(path)
    return roles["target"][0], roles["background"]


def plain(node):
    """A node of a tree, or what was put in its place, as a dictionary."""
    return getattr(node, "instance", node)


def subtracted(case, **options):
    target, backgrounds = case
    stack = bkgflow.open_stack(backgrounds, target=target)
    background = bkgflow.combine(stack, sigma=2.0)
    return bkgflow.subtract_background(bkgflow.open_exposure(target), background, **options)


@pytest.mark.slow
@pytest.mark.parametrize("errors", [False, True])
def test_a_product_is_the_one_that_subtract_makes(case, tmp_path, errors):
    data = subtracted(case, propagate_errors=errors)
    path = data.bkgflow.to_fits(tmp_path / "x_bsub.fits")
    target, backgrounds = case
    expected = bkgflow.subtract(target, backgrounds, sigma=2.0, propagate_errors=errors)
    with datamodels.open(str(path)) as product:
        assert type(product) is type(expected)
        for name in ("data", "err", "dq", "var_poisson", "var_rnoise", "int_times"):
            if expected.hasattr(name):
                one, other = getattr(product, name), getattr(expected, name)
                np.testing.assert_array_equal(one, other)
        assert product.meta.cal_step.bkg_subtract == "COMPLETE"
        said, wanted = product.meta.bkgflow.instance, plain(expected.meta.bkgflow)
        assert said["backgrounds"] == wanted["backgrounds"]
        assert said["unsubtracted_pixels"] == wanted["unsubtracted_pixels"]
        assert said["settings"]["sigma"] == 2.0
        assert said.get("variance_array") == wanted.get("variance_array")
        assert product.meta.observation.instance == expected.meta.observation.instance
    xr.testing.assert_equal(
        bkgflow.open_exposure(path)[["sci", "err", "dq"]].compute(),
        data[["sci", "err", "dq"]].compute(),
    )


@pytest.mark.slow
def test_a_combined_background_is_written_as_one(case, tmp_path):
    _, backgrounds = case
    data = bkgflow.combine(bkgflow.open_stack(backgrounds))
    path = data.bkgflow.to_fits(tmp_path / "x_combinedbackground.fits")
    with datamodels.open(str(path)) as product:
        assert isinstance(product, datamodels.ImageModel)
        np.testing.assert_array_equal(product.data, data.sci)
        np.testing.assert_array_equal(product.dq, data.dq)
        assert product.meta.cal_step.bkg_subtract is None
        assert len(product.meta.bkgflow.backgrounds) == len(backgrounds)


def test_an_exposure_with_other_pixels_says_that_it_is_that(case, tmp_path):
    target, _ = case
    data = bkgflow.open_exposure(target)
    masked = data.assign(sci=data.sci.where(data.dq == 0))
    with datamodels.open(str(masked.bkgflow.to_fits(tmp_path / "x_rate.fits"))) as product:
        np.testing.assert_array_equal(product.data, masked.sci)
        assert product.meta.cal_step.bkg_subtract == "SKIPPED"
        assert "no background was subtracted" in product.meta.bkgflow.reason


def test_what_cannot_be_a_product_is_refused(case, tmp_path):
    target, backgrounds = case
    data = subtracted(case)
    with pytest.raises(ShapeError, match="all pixels of its exposure"):
        data.isel(x=slice(3, 9)).bkgflow.to_fits(tmp_path / "x.fits")
    with pytest.raises(OutputError, match="must not replace an exposure"):
        data.bkgflow.to_fits(target, overwrite=True)
    (tmp_path / "there.fits").write_bytes(b"mine")
    with pytest.raises(OutputError, match="unasked"):
        data.bkgflow.to_fits(tmp_path / "there.fits")
    assert (tmp_path / "there.fits").read_bytes() == b"mine"
    with pytest.raises(SettingsError, match="must be that of one exposure"):
        bkgflow.open_stack(backgrounds).bkgflow.to_fits(tmp_path / "x.fits")
    empty = data.assign(n_used=data.n_used * np.uint16(0))
    with pytest.raises(BackgroundError, match="valid background"):
        empty.bkgflow.to_fits(tmp_path / "x.fits")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there.fits"]
    data.bkgflow.to_fits(tmp_path / "there.fits", overwrite=True)
    assert bkgflow.open_exposure(tmp_path / "there.fits").sci.dtype == np.float32


@pytest.mark.slow
@pytest.mark.parametrize("rows", [7, 64])
def test_a_store_has_the_types_and_the_values(case, tmp_path, rows):
    data = subtracted(case, propagate_errors=True).chunk(y=rows, x=13)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.bkgflow.to_zarr(tmp_path / "x.zarr")
        again = xr.open_zarr(tmp_path / "x.zarr")
    for name, array in data.data_vars.items():
        assert again[name].dtype == array.dtype
        assert again[name].attrs.get("units") == array.attrs.get("units")
    import zarr

    assert zarr.open_group(tmp_path / "x.zarr")["dq"].dtype == np.uint32
    xr.testing.assert_equal(again.compute(), data.compute())
    assert again["filter" if "filter" in data.coords else "detector"].item()


@pytest.mark.slow
def test_flags_keep_their_meanings_in_zarr(case, tmp_path):
    bkgflow.open_exposure(case[0]).bkgflow.to_zarr(tmp_path / "x.zarr")
    with xr.open_zarr(tmp_path / "x.zarr") as data:
        assert data.dq.attrs["flag_masks"] == [1 << bit for bit in range(32)]
        assert data.dq.attrs["flag_meanings"].split()[0] == "DO_NOT_USE"
