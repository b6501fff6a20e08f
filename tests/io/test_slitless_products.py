"""Slitless products: a mask as one more extension, and a scaling factor."""

from __future__ import annotations

import gzip
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from stdatamodels.fits_support import fits_hash, from_fits_asdf
from stdatamodels.jwst import datamodels

from bkgflow.io.products.fits import FitsWriter
from bkgflow.simulate import simulate_wfss
from tests.helpers.products import SKY, add_extra, assert_same, rehash, saved, tree_text, write_both

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def slitless(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slitless")
    return simulate_wfss(folder, exposures=1, size=128).exposures[0]


def old_mask(model):
    model.mask = np.full(model.data.shape, 5, np.uint32)
    model.meta.background.scaling_factor = 7.5
    model.meta.cal_step.bkg_subtract = "COMPLETE"


def more_arrays(model):
    model.area = np.full(model.data.shape, 2, np.float32)
    model.pathloss_point = np.full(model.data.shape, 3, np.float32)
    model.meta.background.subtracted = True


def title_taken(model):
    model.meta.background.method = "a method"


SLITLESS = {
    "plain": lambda model: None,
    "with a mask": old_mask,
    "with more arrays": more_arrays,
    "with a method": title_taken,
    "without variances": lambda model: model.instance.pop("var_poisson", None),
    "without a unit": lambda model: model.meta.instance.pop("bunit_err", None),
}


@pytest.mark.parametrize("name", SLITLESS)
@pytest.mark.parametrize("way", ["amended", "through the model"])
def test_slitless_products_are_the_models(slitless, tmp_path, name, way):
    path = saved(slitless, tmp_path / "t_rate.fits", SLITLESS[name])
    writer = FitsWriter(amend=way == "amended")
    streamed, whole = write_both(path, tmp_path, amended=True, changes=SKY, writer=writer)
    assert_same(streamed, whole)
    assert tree_text(streamed) == tree_text(whole)
    assert_slitless(streamed)


def test_slitless_files_that_are_packed(slitless, tmp_path):
    path = tmp_path / "t_rate.fits.gz"
    path.write_bytes(gzip.compress(slitless.read_bytes()))
    streamed, whole = write_both(path, tmp_path, amended=True, changes=SKY)
    assert_same(streamed, whole)
    assert_slitless(streamed)


@pytest.mark.real
def test_real_images_take_masks(real_data, tmp_path):
    paths = list((real_data / "layouts").glob("*_rate.fits*"))
    assert paths
    for path in paths:
        shape = fits.getdata(path, "SCI").shape
        changes = replace(SKY, mask=np.ones(shape, np.uint32))
        streamed, whole = write_both(path, tmp_path, changes=changes)
        assert_same(streamed, whole)
        assert fits.getdata(streamed, "MASK").all()


def assert_slitless(product):
    with fits.open(product) as units:
        assert from_fits_asdf(units)["_fits_hash"] == fits_hash(units)
        assert units[0].header["BKGD_SCL"] == 1 / 3
        assert (units["MASK"].data.dtype, units["MASK"].ver) == (np.uint32, 1)
    with datamodels.open(product) as model:
        np.testing.assert_array_equal(model.mask, SKY.mask)
        assert model.meta.background.scaling_factor == 1 / 3


@pytest.mark.parametrize("name", ["plain", "with a mask"])
def test_slitless_files_that_were_touched(slitless, tmp_path, name):
    path = saved(slitless, tmp_path / "t_rate.fits", SLITLESS[name])
    fits.setval(path, "TARGNAME", value="elsewhere")
    add_extra(path, np.arange(7.0, dtype="f4"), {})
    with fits.open(path) as units:
        units.insert(1, fits.BinTableHDU(np.zeros(3, [("a", "f4")]), name="MINE"))
        units.writeto(path, overwrite=True)
    streamed, whole = write_both(path, tmp_path, amended=False, changes=SKY)
    assert_same(streamed, whole)
    assert tree_text(streamed) == tree_text(whole)
    assert_slitless(streamed)


def other_shape(model):
    model.mask = np.ones((3, 4), np.uint32)


@pytest.mark.parametrize("change", [other_shape])
def test_a_mask_of_another_shape_is_replaced_by_the_model(slitless, tmp_path, change):
    path = saved(slitless, tmp_path / "t_rate.fits", change)
    streamed, whole = write_both(path, tmp_path, amended=False, changes=SKY)
    assert_same(streamed, whole)
    assert_slitless(streamed)


def test_a_mask_of_another_type_is_replaced_by_the_model(slitless, tmp_path):
    path = saved(slitless, tmp_path / "t_rate.fits", old_mask)
    with fits.open(path, mode="update") as units:
        units["MASK"].data = units["MASK"].data.astype("u1")
    rehash(path)
    streamed, whole = write_both(path, tmp_path, amended=False, changes=SKY)
    assert_same(streamed, whole)
    assert_slitless(streamed)


def test_models_without_a_mask_of_their_own_keep_it_in_the_tree(write_exposure, tmp_path):
    path = write_exposure("t_rateints.fits", np.ones((2, 8, 8)))
    changes = replace(SKY, mask=np.eye(8, dtype="u4"))
    streamed, whole = write_both(path, tmp_path, amended=False, changes=changes)
    assert_same(streamed, whole)
    with datamodels.open(streamed) as model:
        np.testing.assert_array_equal(model.mask, np.eye(8))
