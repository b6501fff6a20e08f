"""What slitless exposures are fitted with, as people keep it: masks, catalogs and skies."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable, Table

import bkgflow
from bkgflow.detector import Window
from bkgflow.errors import FileError, ShapeError, WindowError
from bkgflow.io.references.catalog import CORNERS, read_catalog
from bkgflow.io.references.mask import read_mask
from bkgflow.io.references.skies import read_templates
from tests.helpers.slitless import CORNER, MODES, SCALE, SHAPE, make_scene, write_catalog

WINDOW = Window(*CORNER, SHAPE[1], SHAPE[0])


@pytest.fixture
def scene(tmp_path):
    return make_scene(tmp_path, MODES["NIS-R"])


def run_of(scene, out, **arguments):
    program, references = scene
    plan = bkgflow.plan(program, out, references=references, **arguments)
    return bkgflow.run(plan, "threads").verdicts[0]


def full_mask(rng):
    return (rng.random((2048, 2048)) < 0.5).astype(np.uint8)


@pytest.mark.parametrize("kind", ["fits", "extension", "npy"])
def test_a_mask_of_the_full_frame_is_cut_by_detector_coordinates(tmp_path, kind):
    mask = full_mask(np.random.default_rng(0))
    path = tmp_path / f"mask.{kind}"
    if kind == "npy":
        np.save(path, mask)
        path = path.with_name(path.name)
    elif kind == "fits":
        fits.PrimaryHDU(mask).writeto(path)
    else:
        fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(mask, name="mask")]).writeto(path)
    found = read_mask(path, WINDOW, "NIRISS")
    np.testing.assert_array_equal(found, mask[WINDOW.slices_in(Window(0, 0, 2048, 2048))] == 1)


def test_a_mask_of_another_subarray_lies_where_its_keywords_say(tmp_path):
    mask = np.random.default_rng(1).integers(0, 2, (300, 350), dtype=np.uint8)
    hdu = fits.PrimaryHDU(mask)
    hdu.header["SUBSTRT1"], hdu.header["SUBSTRT2"] = 21, 11
    hdu.writeto(tmp_path / "mask.fits")
    found = read_mask(tmp_path / "mask.fits", WINDOW, "NIRISS")
    expected = mask[WINDOW.slices_in(Window(20, 10, 350, 300))]
    np.testing.assert_array_equal(found, expected == 1)


@pytest.mark.parametrize(
    ("shape", "corner", "error", "words"),
    [
        ((100, 100), None, ShapeError, r"mask \(100, 100\), exposure \(220, 240\)"),
        ((100, 100), (31, 41), WindowError, "must cover its exposure"),
        (SHAPE, (1, 1), WindowError, "must cover its exposure"),
        ((2, *SHAPE), None, FileError, r"2-D image \(found: \(2, 220, 240\)\)"),
    ],
)
def test_a_mask_that_does_not_cover_the_exposure_is_refused(tmp_path, shape, corner, error, words):
    hdu = fits.PrimaryHDU(np.ones(shape, np.uint8))
    if corner:
        hdu.header["SUBSTRT1"], hdu.header["SUBSTRT2"] = corner
    hdu.writeto(tmp_path / "mask.fits")
    with pytest.raises(error, match=words) as caught:
        read_mask(tmp_path / "mask.fits", WINDOW, "NIRISS")
    assert caught.value.file == str(tmp_path / "mask.fits")


# Catalogs


@pytest.fixture
def catalog(tmp_path):
    rng = np.random.default_rng(3)
    return write_catalog(tmp_path / "c.ecsv", MODES["NIS-R"], SHAPE, CORNER, 9, rng)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["c.fits", "c.csv", "c.vot", "c.txt", "c.tab"])
def test_catalogs_of_other_formats_are_the_same(tmp_path, catalog, name):
    table, path = QTable.read(catalog, format="ascii.ecsv"), tmp_path / name
    if name == "c.fits":
        table.write(path)
    else:
        flat = Table()
        flat["label"], flat["isophotal_abmag"] = table["label"], table["isophotal_abmag"]
        mark = "_" if name == "c.vot" else "."
        for corner in CORNERS:
            flat[f"{corner}{mark}ra"] = table[corner].ra.deg
            flat[f"{corner}{mark}dec"] = table[corner].dec.deg
        formats = {"csv": "ascii.csv", "vot": "votable", "txt": "ascii.basic", "tab": "ascii.tab"}
        flat.write(path, format=formats[name[2:]])
    first, second = read_catalog(catalog), read_catalog(path)
    np.testing.assert_array_equal(second.label, first.label)
    np.testing.assert_allclose(second.abmag, first.abmag)
    np.testing.assert_allclose(second.ra, first.ra, rtol=1e-12)
    np.testing.assert_allclose(second.dec, first.dec, rtol=1e-12)


@pytest.mark.parametrize("name", ["c.fits", "c.csv", "c.ecsv", "c.vot"])
def test_a_catalog_without_the_columns_names_those_that_are_missing(tmp_path, name):
    table = Table({"label": [1, 2], "ra": [1.0, 2.0], "dec": [3.0, 4.0]})
    formats = {"fits": "fits", "csv": "ascii.csv", "ecsv": "ascii.ecsv", "vot": "votable"}
    table.write(tmp_path / name, format=formats[name[2:]])
    with pytest.raises(FileError, match=r"no isophotal_abmag, sky_bbox_ll, .* among label, ra"):
        read_catalog(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfe\x01" * 40, b"SIMPLE  = no", b"hello"])
def test_what_is_no_catalog_is_refused_in_words(tmp_path, content):
    (tmp_path / "c.ecsv").write_bytes(content)
    with pytest.raises(FileError, match=r"must be a table|must have the columns"):
        read_catalog(tmp_path / "c.ecsv")


@pytest.mark.slow
def test_a_catalog_without_a_source_masks_nothing(scene, tmp_path):
    path = scene[0] / "e1_cat.ecsv"
    QTable.read(path, format="ascii.ecsv")[:0].write(path, format="ascii.ecsv", overwrite=True)
    verdict = run_of(scene, tmp_path / "out")
    found = verdict.record.found
    assert verdict.state == "COMPLETE" and found.masked_fraction == 0
    assert any("no source: nothing is masked" in note for note in found.fit_notes)
    assert found.scaling_factors[0] == pytest.approx(SCALE, rel=0.01)


@pytest.mark.slow
def test_a_catalog_without_a_bright_source_masks_nothing(scene, tmp_path):
    verdict = run_of(scene, tmp_path / "out", wfss_mmag_extract=1.0)
    assert verdict.state == "COMPLETE"
    assert any("brighter than 1 mag" in note for note in verdict.record.found.fit_notes)


# Skies of one's own


def write_sky(path, sky, kind):
    if kind == "npy":
        np.save(path, sky)
    elif kind == "primary":
        fits.PrimaryHDU(sky).writeto(path)
    else:
        errors = fits.ImageHDU(np.zeros_like(sky), name="err")
        image = fits.ImageHDU(sky, name="sky" if kind == "named" else "sci")
        fits.HDUList([fits.PrimaryHDU(), errors, image]).writeto(path)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", ">f8"])
@pytest.mark.parametrize("kind", ["primary", "sci", "named", "npy"])
def test_a_sky_is_read_wherever_it_is(tmp_path, kind, dtype):
    y, x = np.mgrid[:2048, :2048]
    sky = (1 + x % 90 + y % 70).astype(dtype)
    path = tmp_path / ("sky.npy" if kind == "npy" else "sky.fits")
    write_sky(path, sky, kind)
    found = read_templates(path, WINDOW, instrument="NIRISS").sci
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, sky[None, 40:260, 30:270])


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ([], "found: PRIMARY without an array"),
        ([np.ones(9)], r"ONE \(9,\)"),
        ([np.ones((4, 4)), np.ones((4, 4))], r"ONE \(4, 4\), TWO \(4, 4\)"),
        ([np.ones((2, 2, 4, 4))], r"ONE \(2, 2, 4, 4\)"),
    ],
)
def test_a_file_that_does_not_say_which_image_is_the_sky_is_refused(tmp_path, arrays, words):
    names = ("one", "two")
    own = [fits.ImageHDU(a, name=n) for a, n in zip(arrays, names, strict=False)]
    fits.HDUList([fits.PrimaryHDU(), *own]).writeto(tmp_path / "sky.fits")
    with pytest.raises(FileError, match=words):
        read_templates(tmp_path / "sky.fits", WINDOW, instrument="NIRISS")


def test_numpy_files_without_numbers_are_refused(tmp_path):
    np.save(tmp_path / "words.npy", np.array([["a", "b"]]))
    np.save(tmp_path / "line.npy", np.ones(7))
    np.save(tmp_path / "objects.npy", np.array([None, 1]), allow_pickle=True)
    for name, words in (("words", r"\(1, 2\)"), ("line", r"\(7,\)"), ("objects", "can be read")):
        with pytest.raises(FileError, match=words):
            read_templates(tmp_path / f"{name}.npy", WINDOW, instrument="NIRISS")


def test_a_compressed_sky_is_refused_with_its_cure(tmp_path):
    sky = np.ones((64, 64), np.float32)
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(sky, name="SCI")]).writeto(
        tmp_path / "sky.fits"
    )
    with pytest.raises(FileError, match="SCI a compressed image"):
        read_templates(tmp_path / "sky.fits", WINDOW, instrument="NIRISS")
