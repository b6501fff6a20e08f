"""Slitless exposures as people have them: bad pixels, masks, catalogs and skies of many kinds."""

from __future__ import annotations

import logging
import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable, Table
from jwst.background.background_sub_wfss import ScalingFactorComputer
from stdatamodels.jwst import datamodels

import bkgflow
from bkgflow.detector import Window
from bkgflow.errors import FileError, ShapeError, WindowError
from bkgflow.io.references.catalog import CORNERS, read_catalog
from bkgflow.io.references.mask import read_mask
from bkgflow.io.references.skies import read_templates
from bkgflow.methods.slitless import fit_background, mask_doubts, residual_mask
from bkgflow.report.tables import as_text
from bkgflow.report.unit_tables import plan_table, run_table
from bkgflow.rules import ScaleRule
from tests.helpers.pace import few_fast
from tests.helpers.slitless import CORNER, MODES, SCALE, SHAPE, make_scene, write_catalog

logging.getLogger("jwst").setLevel(logging.ERROR)

WINDOW = Window(*CORNER, SHAPE[1], SHAPE[0])


@pytest.fixture
def scene(tmp_path):
    return make_scene(tmp_path, MODES["NIS-R"])


def run_of(scene, out, **arguments):
    program, references = scene
    plan = bkgflow.plan(program, out, references=references, **arguments)
    result = bkgflow.run(plan, "threads")
    return plan, result, result.verdicts[0]


def changed(path, **arrays):
    """Write an exposure again with other arrays."""
    with datamodels.open(path) as model:
        copy = model.copy()
    for name, array in arrays.items():
        copy[name] = array
    copy.save(str(path))


# Flagged pixels


def sky_and_noise(seed, shape=(150, 200)):
    rng = np.random.default_rng(seed)
    template = (1 + 0.3 * np.sin(np.arange(shape[1]) / 40) + np.zeros(shape)).astype(np.float32)
    err = np.full(shape, 0.05, np.float32)
    sci = (0.583 * template + err * rng.normal(size=shape)).astype(np.float32)
    bad = rng.random(shape) < rng.uniform(0.01, 0.3)
    dq = np.where(bad, 1 | (rng.integers(0, 2, shape) << 11), rng.choice([0, 2, 4], shape))
    return sci, err, dq.astype(np.uint32), np.ones(shape, bool), template


@pytest.mark.parametrize("rule", [ScaleRule(), ScaleRule(maxiter=0), ScaleRule(rms_stop=1.0)])
@pytest.mark.parametrize("value", [0.0, 1e4, -1e5, np.nan, np.inf, 3e38])
@pytest.mark.parametrize("seed", few_fast(range(6), 2))
def test_flagged_pixels_take_no_part_in_the_fit_whatever_is_in_them(seed, value, rule):
    """The peer's factor is 0.547 for 0.583 with zeros there, and 722 with 1e4."""
    sci, err, dq, mask, template = sky_and_noise(seed)
    options = {"rule": rule, "dispersion_axis": 1}
    bad = (dq & 1) == 1
    expected = fit_background(sci, err, 0 * dq, mask & ~bad, template, **options)
    for array in (sci, err):
        spoilt = [sci.copy(), err.copy()]
        spoilt[0 if array is sci else 1][bad] = value
        fit = fit_background(*spoilt, dq, mask, template, **options)
        np.testing.assert_array_equal(fit.coefficients, expected.coefficients)
        np.testing.assert_array_equal(fit.covariance, expected.covariance)
        assert fit.n_used == expected.n_used
        assert abs(fit.coefficients[0] - 0.583) < 4 * fit.standard_errors[0]


@pytest.mark.parametrize("seed", few_fast(range(20), 4))
def test_without_flagged_pixels_the_factor_is_the_peers(seed):
    sci, err, dq, mask, template = sky_and_noise(seed)
    mask[:, :60] = False
    computer = ScalingFactorComputer(p=1.0, maxiter=5, delta_rms_thresh=0, dispersion_axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        factor, _ = computer(sci.copy(), template.copy(), err.copy() ** 2, mask=~mask)
    fit = fit_background(sci, err, dq & ~np.uint32(1), mask, template)
    assert fit.coefficients[0] == pytest.approx(factor, rel=1e-6)


def test_pixels_that_are_flagged_in_the_reference_take_no_part_either():
    sci, err, dq, mask, template = sky_and_noise(3)
    flags = np.zeros_like(dq)
    flags[40:80] = 1
    good = fit_background(sci, err, dq | flags, mask, template)
    template[40:80] = 1e3
    fit = fit_background(sci, err, dq, mask, template, template_dq=flags)
    np.testing.assert_array_equal(fit.coefficients, good.coefficients)


@pytest.mark.parametrize("value", [0.0, 1e4])
def test_a_mask_from_residuals_does_not_see_flagged_pixels(value):
    sci, err, dq, _, template = sky_and_noise(5)
    sci[60:66, 30:160] += 2.0
    first = residual_mask(sci, err, dq, template, dispersion_axis=1)
    sci[(dq & 1) == 1] = value
    second = residual_mask(sci, err, dq, template, dispersion_axis=1)
    np.testing.assert_array_equal(second.mask, first.mask)
    fit = fit_background(sci, err, dq, second.mask, template)
    assert abs(fit.coefficients[0] - 0.583) < 4 * fit.standard_errors[0] + 0.002


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["boxes", "residual"])
def test_a_run_leaves_flagged_pixels_out_of_the_fit(scene, tmp_path, mode):
    path = scene[0] / "e1_rate.fits"
    with datamodels.open(path) as model:
        sci, dq = np.array(model.data), np.array(model.dq)
    bad = np.random.default_rng(1).random(SHAPE) < 0.06
    sci[bad], dq[bad] = 1e4, 1
    changed(path, data=sci, dq=dq)
    _, _, verdict = run_of(scene, tmp_path / "out", wfss_mask_mode=mode)
    found = verdict.record.found
    assert verdict.state == "COMPLETE"
    error = found.scaling_factor_errors[0]
    assert abs(found.scaling_factors[0] - SCALE) < 4 * error + 0.002
    with datamodels.open(verdict.products[0]) as product:
        assert ((product.dq[bad] & 1) == 1).all()


# Masks of one's own


def with_spectra(seed=2):
    sci, _, dq, mask, template = sky_and_noise(seed)
    for row in range(10, 140, 12):
        sci[row : row + 3] += 0.4
        mask[row - 2 : row + 5] = False
    return sci, dq, mask, template


@pytest.mark.parametrize("seed", range(5))
def test_an_inverted_mask_raises_a_doubt(seed):
    sci, dq, mask, template = with_spectra(seed)
    assert mask_doubts(sci, dq, mask, template) == ()
    (doubt,) = mask_doubts(sci, dq, ~mask, template)
    assert "brighter than the rest" in doubt
    assert "1 must be background" in doubt


def test_a_mask_of_next_to_nothing_raises_a_doubt():
    sci, dq, mask, template = with_spectra()
    mask[:] = False
    mask[6, :50] = True
    assert any("next to nothing" in doubt for doubt in mask_doubts(sci, dq, mask, template))


@pytest.mark.parametrize("seed", range(10))
def test_masks_of_chance_raise_no_doubt(seed):
    sci, _, dq, _, template = sky_and_noise(seed)
    rng = np.random.default_rng(seed)
    for share in (0.1, 0.5, 0.95):
        assert mask_doubts(sci, dq, rng.random(sci.shape) < share, template) == ()
    everything = np.ones(sci.shape, bool)
    assert mask_doubts(sci, dq, everything, template) == ()


@pytest.mark.slow
def test_an_inverted_mask_is_said_in_product_and_tables(scene, tmp_path):
    path = scene[0] / "e1_rate.fits"
    with datamodels.open(path) as model:
        sci = np.array(model.data)
    background = np.ones(SHAPE, np.uint8)
    background[::3] = 0
    sci[::3] += 0.2
    changed(path, data=sci)
    for name, mask in (("right", background), ("inverted", 1 - background)):
        fits.PrimaryHDU(mask).writeto(tmp_path / f"{name}.fits")
    plan, result, verdict = run_of(scene, tmp_path / "a", wfss_mask=str(tmp_path / "right.fits"))
    assert any("1 is background, 0 is a source" in note for note in plan.units[0].notes)
    assert verdict.record.found.fit_warnings == ()
    plan, result, verdict = run_of(scene, tmp_path / "b", wfss_mask=str(tmp_path / "inverted.fits"))
    assert verdict.state == "COMPLETE"
    (warning,) = verdict.record.found.fit_warnings
    assert "is it inverted?" in warning
    assert "is it inverted?" in as_text(run_table(plan, result.verdicts, 1.0))
    with fits.open(verdict.products[0]) as units:
        history = " ".join(units[0].header["HISTORY"]).replace("\n", "")
    assert "inverted" in history and "1 is background" in history


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
    _, _, verdict = run_of(scene, tmp_path / "out")
    found = verdict.record.found
    assert verdict.state == "COMPLETE" and found.masked_fraction == 0
    assert any("no source: nothing is masked" in note for note in found.fit_notes)
    assert found.scaling_factors[0] == pytest.approx(SCALE, rel=0.01)


@pytest.mark.slow
def test_a_catalog_without_a_bright_source_masks_nothing(scene, tmp_path):
    _, _, verdict = run_of(scene, tmp_path / "out", wfss_mmag_extract=1.0)
    assert verdict.state == "COMPLETE"
    assert any("brighter than 1 mag" in note for note in verdict.record.found.fit_notes)


# Exposures as the archive has them


@pytest.mark.parametrize("mode", few_fast(["NIS-R", "A-R", "MIRI"], 1))
def test_the_plan_says_that_a_rate_file_of_the_archive_has_no_wcs(tmp_path, mode):
    program, references = make_scene(tmp_path, MODES[mode], wcs=False)
    plan = bkgflow.plan(program, tmp_path / "out", references=references)
    (unit,) = plan.units
    assert unit.verdict.state == "QUARANTINED"
    for cure in ("assign_wcs", "wfss_mask_mode=residual", "wfss_mask"):
        assert cure in unit.verdict.error.cure
    assert "QUARANTINED" in as_text(plan_table(plan))
    plan = bkgflow.plan(program, tmp_path / "out", references=references, wfss_mask_mode="residual")
    assert plan.units[0].verdict.to_do
    assert bkgflow.run(plan, "threads").counts == {"COMPLETE": 1}


# Thin fits


@pytest.mark.slow
def test_a_factor_that_rests_on_little_is_said_and_can_be_refused(scene, tmp_path):
    path = scene[0] / "e1_rate.fits"
    mask = np.zeros(SHAPE, np.uint8)
    mask[5, :20] = 1
    fits.PrimaryHDU(mask).writeto(tmp_path / "mask.fits")
    with datamodels.open(path) as model:
        noise = np.random.default_rng(4).normal(0, 2.0, SHAPE).astype(np.float32)
        sci = model.data + noise
    changed(path, data=sci, err=np.full(SHAPE, 2.0, np.float32))
    own = {"wfss_mask": str(tmp_path / "mask.fits")}
    _, _, verdict = run_of(scene, tmp_path / "a", **own)
    assert verdict.state == "COMPLETE"
    words = " ".join(verdict.record.found.fit_warnings)
    assert "pixels, which are few" in words and "is uncertain" in words
    _, result, verdict = run_of(scene, tmp_path / "b", **own, wfss_max_error=0.1)
    assert verdict.state == "FAILED" and not result.ok
    assert "wfss_max_error allows 0.1" in verdict.reason
    with datamodels.open(verdict.products[0]) as product:
        np.testing.assert_array_equal(product.data, sci)
        assert product.meta.background.scaling_factor == 0
        np.testing.assert_array_equal(product.mask, mask)


def test_a_good_factor_raises_no_warning(scene, tmp_path):
    _, _, verdict = run_of(scene, tmp_path / "out", wfss_max_error=0.1)
    assert verdict.state == "COMPLETE"
    assert verdict.record.found.fit_warnings == ()


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
