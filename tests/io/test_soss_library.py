"""The SOSS sky library and the integrations as they come out of files."""

import numpy as np
import pytest
from astropy.io import fits
from stdatamodels.jwst import datamodels

from bkgflow.errors import FileError, ShapeError
from bkgflow.io.exposures.from_fits import inspect
from bkgflow.io.references.soss_library import (
    SourceSegment,
    cut_library,
    read_library,
)
from bkgflow.methods.soss import ArraySegment, fit_soss
from tests.helpers.soss import make_library, observe, same


@pytest.fixture
def write_library(tmp_path):
    def write(templates):
        path = tmp_path / "library.fits"
        with datamodels.SossBkgModel(data=np.asarray(templates, np.float32)) as model:
            model.save(str(path))
        return path

    return write


@pytest.mark.slow
def test_a_library_is_read_as_it_was_written(write_library):
    templates = make_library(np.random.default_rng(0), 3)
    found = read_library(write_library(templates))
    assert found.dtype == np.float32
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, templates)


def test_the_short_subarray_gets_its_rows():
    library = np.arange(256, dtype=np.float32)[None, :, None] * np.ones((2, 1, 2048), np.float32)
    part, reason = cut_library(library, (7, 96, 2048))
    assert reason == ""
    assert part[0, :, 0].tolist() == list(range(10, 106))
    whole, reason = cut_library(library, (256, 2048))
    assert whole is library
    assert reason == ""


def test_a_library_made_for_the_short_subarray_serves_it():
    library = np.ones((1, 96, 2048), np.float32)
    assert cut_library(library, (96, 2048)) == (library, "")


@pytest.mark.parametrize(("rows", "exposure"), [(256, 64), (256, 2048), (96, 256)])
def test_other_heights_are_skipped_with_the_reason(rows, exposure):
    part, reason = cut_library(np.ones((1, rows, 2048), np.float32), (exposure, 2048))
    assert part is None
    assert reason == f"the exposure has {exposure} rows, the background reference {rows}"


def test_an_exposure_of_other_columns_is_refused():
    with pytest.raises(ShapeError, match="columns of its background reference"):
        cut_library(np.ones((1, 256, 2048), np.float32), (256, 2040))


def test_a_reference_of_another_shape_is_refused(write_library):
    path = write_library(np.ones((2, 256, 2000)))
    with pytest.raises(ShapeError, match="must hold templates") as caught:
        read_library(path)
    assert caught.value.file == str(path)
    assert "(2, 256, 2000)" in caught.value.value


def test_what_is_no_reference_is_refused(tmp_path):
    path = tmp_path / "library.fits"
    with pytest.raises(FileError, match="readable file"):
        read_library(path)
    path.write_bytes(b"SIMPLE  = no")
    with pytest.raises(FileError, match="must be a FITS file that is all there"):
        read_library(path)
    path.write_bytes(b"#ASDF rubbish")
    with pytest.raises(FileError, match="must open as a SossBkgModel"):
        read_library(path)
    with datamodels.ImageModel((256, 2040)) as flat:
        flat.save(str(path))
    with pytest.raises(ShapeError, match=r"found: \(256, 2040\)"):
        read_library(path)


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [1, 2, 4, 9])
def test_a_file_streams_what_it_holds(write_exposure, at_once):
    rng = np.random.default_rng(2)
    library = make_library(rng, 2, 96)
    sci, dq = observe(rng, library[0], 5)
    path = write_exposure("x.fits", sci, dq=dq, instrument="NIRISS", exp_type="NIS_SOSS")
    segment = SourceSegment(inspect(path).source, at_once)
    assert segment.shape == sci.shape
    for _ in range(2):
        parts = [(s.copy(), d.copy()) for s, d in segment.chunks()]
        assert max(len(part) for part, _ in parts) <= at_once
        np.testing.assert_array_equal(np.concatenate([part for part, _ in parts]), sci)
        np.testing.assert_array_equal(np.concatenate([part for _, part in parts]), dq)
    same(fit_soss([segment], library)[0], fit_soss([ArraySegment(sci, dq)], library)[0])


def test_an_image_is_one_integration(write_exposure):
    sci = np.random.default_rng(4).normal(5, 1, (96, 2048)).astype(np.float32)
    path = write_exposure("x.fits", sci, instrument="NIRISS", exp_type="NIS_SOSS")
    segment = SourceSegment(inspect(path).source)
    assert segment.shape == (1, 96, 2048)
    ((found, flags),) = segment.chunks()
    np.testing.assert_array_equal(found[0], sci)
    assert not flags.any()


def test_a_file_that_was_cut_is_refused(write_exposure):
    path = write_exposure("x.fits", np.ones((3, 96, 2048)), exp_type="NIS_SOSS")
    segment = SourceSegment(inspect(path).source)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 4)
    with pytest.raises(FileError, match="as long as the header says"):
        list(segment.chunks())


@pytest.mark.slow
def test_a_library_that_is_no_plain_fits_is_read_through_its_model(write_library, tmp_path):
    templates = make_library(np.random.default_rng(0), 2)
    path = write_library(templates)
    with fits.open(path, mode="update") as hdus:
        hdus["SCI"].data = templates.astype(">f8")
    np.testing.assert_array_equal(read_library(path), templates)
