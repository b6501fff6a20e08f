"""The backend for xarray: lazy by rows, with the types and the coordinates of the detector."""

import os
import pickle
import subprocess
import sys

import dask
import numpy as np
import pytest
import xarray as xr
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stdatamodels.jwst import datamodels

import bkgflow
from bkgflow.errors import FileError, UsageError
from bkgflow.explore.backend import BkgflowBackend
from bkgflow.io.exposures.from_fits import inspect
from tests.helpers.exposures import make_model, write_fits
from tests.helpers.pace import examples
from tests.helpers.slitless import MODES, make_scene
from tests.helpers.sources import ROOT

SHAPES = [(9, 8), (3, 9, 8)]
TYPES = {"f4": np.float32, "f8": np.float64, "i2": np.int16}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """An image and a cube, and what astropy reads of them."""
    folder, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(3)
    found = []
    for i, shape in enumerate(SHAPES):
        for kind, dtype in TYPES.items():
            sci = rng.normal(100, 20, shape).astype(dtype)
            if sci.dtype.kind == "f":
                sci[rng.random(shape) < 0.2] = np.nan
            dq = rng.integers(0, 2**32, shape, dtype=np.uint32)
            path = folder / f"{i}{kind}_rate.fits"
            write_fits(path, sci, None, dq, SUBSTRT1=33, SUBSTRT2=5)
            found.append((path, sci.astype(np.float32), dq))
    return found


@pytest.fixture
def rate(tmp_path):
    """An exposure as the pipeline writes it: it says from which telescope it is."""
    with make_model(np.full((4, 4), 7)) as model:
        model.meta.telescope = "JWST"
        model.save(str(tmp_path / "a_rate.fits"))
    return tmp_path / "a_rate.fits"


def indexers(length):
    return st.one_of(
        st.integers(-length, length - 1),
        # xarray itself stumbles over one that goes backward and holds nothing.
        st.slices(length).filter(lambda s: (s.step or 1) > 0 or len(range(length)[s])),
        st.lists(st.integers(0, length - 1), max_size=4),
    )


@pytest.mark.slow
@settings(max_examples=examples(60), suppress_health_check=list(HealthCheck))
@given(data=st.data(), which=st.integers(0, 5), chunked=st.booleans())
def test_any_part_is_that_part_of_the_array(files, data, which, chunked):
    path, sci, dq = files[which]
    chunks = {"y": data.draw(st.integers(1, 9)), "x": data.draw(st.integers(1, 8))}
    opened = xr.open_dataset(path, engine=BkgflowBackend, chunks={} if chunked else None)
    opened = opened.chunk(chunks) if chunked else opened
    assert dask.is_dask_collection(opened.sci) == chunked
    key = tuple(data.draw(indexers(length)) for length in sci.shape)
    for name, array in (("sci", sci), ("dq", dq)):
        found = opened[name][key]
        expected = xr.DataArray(array, dims=opened[name].dims)[key].values
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found.values, expected)


def test_it_is_what_open_exposure_gives(files):
    for path, _, _ in files:
        opened = xr.open_dataset(path, engine=BkgflowBackend)
        xr.testing.assert_identical(opened.compute(), bkgflow.open_exposure(path).compute())


def test_chunks_are_row_bands(files):
    path, *_ = files[0]
    options = {"engine": BkgflowBackend, "memory": 3 * 8 * 12}
    opened = xr.open_dataset(path, chunks={}, **options)
    assert opened.sci.chunks == ((3, 3, 3), (8,))
    assert opened.sci.chunks == bkgflow.open_exposure(path, memory=3 * 8 * 12).sci.chunks
    np.testing.assert_array_equal(opened.sci, xr.open_dataset(path, **options).sci)


def test_only_the_rows_that_are_wanted_are_read(tmp_path):
    sci = np.random.default_rng(1).normal(size=(40, 8)).astype(np.float32)
    path = write_fits(tmp_path / "a_rate.fits", sci)
    opened = xr.open_dataset(path, engine=BkgflowBackend)
    with path.open("r+b") as stream:
        stream.truncate(inspect(path).source.sci.offset + 12 * 8 * 4)
    np.testing.assert_array_equal(opened.sci[8:12], sci[8:12])
    with pytest.raises(FileError, match="ended early"):
        opened.sci[10:14].load()


def test_variables_that_are_not_wanted(files):
    path, *_ = files[0]
    opened = xr.open_dataset(path, engine=BkgflowBackend, drop_variables=["err", "filter"])
    assert set(opened) == {"sci", "dq"}


def test_another_process_can_read_it(files):
    path, sci, _ = files[0]
    again = pickle.loads(pickle.dumps(xr.open_dataset(path, engine=BkgflowBackend, chunks={})))
    np.testing.assert_array_equal(again.sci, sci)


def test_a_mosaic_lies_on_no_detector(tmp_path):
    path = tmp_path / "x_i2d.fits"
    primary = fits.PrimaryHDU()
    header = {"TELESCOP": "JWST", "INSTRUME": "NIRCAM", "EXP_TYPE": "NRC_IMAGE",
              "SUBSTRT1": 1, "SUBSTRT2": 1, "SUBSIZE1": 2048, "SUBSIZE2": 2048}  # fmt: skip
    primary.header.update(header)
    sci = np.arange(30.0, dtype=np.float32).reshape(5, 6)
    fits.HDUList([primary, fits.ImageHDU(sci, name="SCI")]).writeto(path)
    opened = xr.open_dataset(path, engine=BkgflowBackend)
    assert set(opened) == {"sci", "dq"}  # it has no ERR, and without DQ all is good
    np.testing.assert_array_equal(opened.sci, sci)
    assert opened.x.attrs["long_name"] == "column, from 0"
    assert BkgflowBackend().guess_can_open(path)


def test_it_claims_only_what_is_surely_an_exposure_of_jwst(tmp_path, rate):
    guess = BkgflowBackend().guess_can_open
    assert guess(rate)
    assert guess(str(rate))
    copy = tmp_path / "a.nc"
    copy.write_bytes(rate.read_bytes())
    other = write_fits(tmp_path / "b.fits", np.ones((4, 4)), TELESCOP="HST", EXP_TYPE="IMAGE")
    table = tmp_path / "c.fits"
    fits.HDUList([fits.PrimaryHDU()]).writeto(table)
    broken = tmp_path / "d.fits"
    broken.write_bytes(b"no FITS at all")
    for each in (copy, other, table, broken, tmp_path / "no.fits", b"bytes", 3):
        assert not guess(each)


def test_an_open_file_is_refused_with_the_cure(files):
    path, *_ = files[0]
    with path.open("rb") as stream, pytest.raises(UsageError, match="path or its URL"):
        BkgflowBackend().open_dataset(stream)


@pytest.mark.slow
def test_the_wcs_is_there_where_there_is_one(tmp_path, rate):
    make_scene(tmp_path, MODES["A-R"])
    path = tmp_path / "program" / "e1_rate.fits"
    opened = xr.open_dataset(path, engine=BkgflowBackend)
    with datamodels.open(str(path)) as model:
        expected = model.meta.wcs(12.0, 7.0, 12.0, 7.0, 1)
    np.testing.assert_array_equal(opened.bkgflow.wcs(12.0, 7.0, 12.0, 7.0, 1), expected)
    assert xr.open_dataset(rate, engine=BkgflowBackend).bkgflow.wcs is None


@pytest.mark.slow
def test_xarray_finds_it_by_its_name(tmp_path, rate):
    """As it is installed: with the entry point of pyproject.toml in the metadata."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [(name, where)] = project["entry-points"]["xarray.backends"].items()
    info = tmp_path / "site" / "bkgflow_backend-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bkgflow-backend\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[xarray.backends]\n{name} = {where}\n")
    path = rate
    script = (
        "import xarray as xr, sys\n"
        f"data = xr.open_dataset({str(path)!r}, engine='bkgflow')\n"
        "assert data.dq.dtype == 'uint32' and float(data.sci[0, 0]) == 7\n"
        f"assert xr.open_dataset({str(path)!r}).bkgflow.wcs is None\n"
        "assert 'matplotlib' not in sys.modules\n"
    )
    paths = os.pathsep.join([str(tmp_path / "site"), *sys.path])
    subprocess.run(
        [sys.executable, "-c", script], check=True, env={**os.environ, "PYTHONPATH": paths}
    )


def test_models_have_such_coordinates(tmp_path):
    with make_model(np.ones((4, 4))) as model:
        model.meta.target.proposer_name = "FIELD-1"
        model.meta.wcsinfo.ra_ref = 53.25
        model.save(str(tmp_path / "a_rate.fits"))
    opened = bkgflow.open_exposure(tmp_path / "a_rate.fits")
    assert opened.target.item() == "FIELD-1"
    assert opened.ra.item() == 53.25
    assert opened.time.values == np.datetime64("2026-01-01T12:00:00")
