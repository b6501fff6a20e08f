"""What was subtracted stands in a zarr product beside it, and is no part of its FITS file."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
import zarr
from astropy.io import fits
from astropy.stats import sigma_clip

import bkgflow
from bkgflow.simulate import simulate_soss, simulate_wfss
from tests.helpers.exposures import make_model, write_association

pytestmark = pytest.mark.slow

SHAPE = (70, 41)


def save(path, sci):
    with make_model(sci) as model:
        model.save(str(path))


def program(folder, *, cubes=False):
    """Write a target and its backgrounds, one pixel of which has nothing valid; return SCI."""
    rng = np.random.default_rng(7)
    folder.mkdir()
    stack = rng.normal(5, 1, (7, 3, *SHAPE) if cubes else (7, *SHAPE)).astype(np.float32)
    stack[2, ..., 10:20, 5] += 500  # a source, which is clipped
    stack[rng.random(stack.shape) < 0.05] = np.nan
    stack[..., 33, 4] = np.nan
    target = rng.normal(9, 1, (2, *SHAPE) if cubes else SHAPE).astype(np.float32)
    save(folder / "t_rate.fits", target)
    for number, sci in enumerate(stack):
        save(folder / f"b{number}_rate.fits", sci)
    names = [f"b{number}_rate.fits" for number in range(len(stack))]
    write_association(folder / "a_asn.json", [("p", "t_rate.fits", names)])
    return target, stack


def clipped(stack):
    """The mean of what a clip leaves, and of how many that is, by astropy and numpy alone."""
    kept = sigma_clip(np.ma.masked_invalid(stack.astype(float)), 2, maxiters=None, axis=0)
    number = (~np.ma.getmaskarray(kept)).sum(axis=0)
    return np.ma.mean(kept, axis=0).filled(np.nan), number


def run(folder, out, **options):
    plan = bkgflow.plan(folder, out, **options)
    assert bkgflow.run(plan, "threads", progress=False).ok


@pytest.mark.parametrize("cubes", [False, True])
def test_background_and_number_are_those_of_the_truth(tmp_path, cubes):
    target, stack = program(tmp_path / "program", cubes=cubes)
    run(tmp_path / "program", tmp_path / "out", format="zarr", sigma=2.0)
    [path] = (tmp_path / "out").glob("*.zarr")
    images = np.stack([clipped(cube)[0] for cube in stack]) if cubes else stack
    mean, number = clipped(images)
    with xr.open_zarr(path) as data:
        assert data.background.dtype == np.float32 and data.n_used.dtype == np.uint16
        assert data.background.dims == data.n_used.dims == ("y", "x")
        assert data.background.attrs["units"] == data.sci.attrs["units"] == "DN/s"
        np.testing.assert_array_equal(data.n_used, number)
        np.testing.assert_allclose(data.background, mean, rtol=1e-6)
        assert data.n_used[33, 4] == 0 and number.max() == 7 > int(number[10:20, 5].max())
        left = np.where(data.n_used > 0, data.background, np.float32(0))
        np.testing.assert_array_equal(data.sci, target - left)


def test_the_fits_file_knows_nothing_of_them(tmp_path):
    program(tmp_path / "program")
    combined = {"save_combined_background": True}
    run(tmp_path / "program", tmp_path / "direct", format="fits", **combined)
    run(tmp_path / "program", tmp_path / "out", format="zarr", **combined)
    files = bkgflow.export_fits(tmp_path / "out", tmp_path / "back")
    for each in files:
        with fits.open(each.path) as one, fits.open(tmp_path / "direct" / each.name) as other:
            assert [unit.name for unit in one] == [unit.name for unit in other]
            assert not {"BACKGROUND", "N_USED"} & {unit.name for unit in one}
    product, background = (
        xr.open_zarr(tmp_path / "out" / name)
        for name in ("t_bsub.zarr", "t_combinedbackground.zarr")
    )
    np.testing.assert_array_equal(product.n_used, background.n_used)
    np.testing.assert_array_equal(product.background, background.sci)
    assert "background" not in background


def test_a_slitless_product_has_the_scaled_sky_and_a_soss_product_none(tmp_path):
    made = simulate_wfss(tmp_path / "slitless", exposures=1, size=128)
    step = {"references": made.references[0].parent, "format": "zarr"}
    run(list(made.associations), tmp_path / "out", **step)
    [path] = (tmp_path / "out").glob("*.zarr")
    with xr.open_zarr(path) as data:
        sci = fits.getdata(made.exposures[0], "SCI")
        # The sky is subtracted in float64, and rounded by itself in the array.
        np.testing.assert_allclose(sci - data.background.values, data.sci, atol=2e-6)
        assert float(data.background.max()) > 0 and "n_used" not in data
    made = simulate_soss(tmp_path / "soss", integrations=2, segments=1, templates=2)
    step = {"references": made.references[0].parent, "format": "zarr"}
    run(list(made.associations), tmp_path / "soss_out", **step)
    [path] = (tmp_path / "soss_out").glob("*.zarr")
    assert not {"background", "n_used"} & set(zarr.open_group(path, mode="r"))


def test_an_extension_of_that_name_stays_with_the_file(tmp_path):
    program(tmp_path / "program")
    path = tmp_path / "program" / "t_rate.fits"
    with fits.open(path) as units:
        own = fits.ImageHDU(np.full(SHAPE, 8, "i2"), name="N_USED")
        units.insert(len(units) - 1, own)
        units.writeto(path, overwrite=True)
    run(tmp_path / "program", tmp_path / "out", format="zarr")
    [file] = bkgflow.export_fits(tmp_path / "out", tmp_path / "back")
    assert (fits.getdata(file.path, "N_USED") == 8).all()
    assert xr.open_zarr(tmp_path / "out" / "t_bsub.zarr").n_used.max() == 7
