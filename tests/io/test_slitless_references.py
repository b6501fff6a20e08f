"""What is read for a slitless exposure: boxes against the peer's, and every bad input."""

import logging
import warnings
from dataclasses import replace

import asdf
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from jwst.assign_wcs.util import create_grism_bbox
from jwst.background.background_sub_wfss import _mask_from_source_cat
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.transforms.models import (
    NIRCAMBackwardGrismDispersion,
    NIRCAMForwardRowGrismDispersion,
)

from bkgflow.detector import Window
from bkgflow.errors import (
    BackgroundError,
    FileError,
    MetadataError,
    ShapeError,
    WindowError,
)
from bkgflow.io.exposures.from_fits import inspect
from bkgflow.io.exposures.from_model import model_facts
from bkgflow.io.references.catalog import read_catalog
from bkgflow.io.references.mask import read_mask
from bkgflow.io.references.skies import read_templates
from bkgflow.io.references.slitless import slitless_inputs, source_corners
from bkgflow.io.references.wavelengths import blocking_filter, wavelength_ranges
from bkgflow.methods.slitless import boxes_to_mask, grism_boxes
from tests.helpers.pace import few_fast
from tests.helpers.slitless import (
    MODES,
    exposure,
    grism_wcs,
    write_catalog,
    write_ranges,
    write_reference,
)

logging.getLogger("jwst").setLevel(logging.ERROR)

SHAPE = (120, 160)
FRAME = Window(0, 0, 160, 120)
NIRISS, NIRCAM, MIRI = MODES["NIS-R"], MODES["A-R"], MODES["MIRI"]


def facts_of(model):
    return model_facts(model, "/program/jw1_rate.fits")


def our_boxes(model, mode, catalog, ranges, limit=None, **options):
    corners = source_corners(
        facts_of(model),
        read_catalog(catalog).brighter(limit),
        wavelength_ranges(ranges, blocking_filter(facts_of(model)), **options),
    )
    return grism_boxes(corners.x, corners.y, model.data.shape, mode.axis)


@pytest.mark.slow
@pytest.mark.parametrize("name", few_fast(MODES, 1))
def test_masks_are_the_peers_to_the_pixel(name, tmp_path):
    """15 random scenes a mode: places on the detector, sizes, magnitudes, some without one."""
    mode = MODES[name]
    ranges = write_ranges(tmp_path / "ranges.asdf", mode)
    covered = 0
    for seed in range(15):
        rng = np.random.default_rng(seed)
        shape = tuple(int(n) for n in rng.integers(60, 300, 2))
        corner = tuple(int(n) for n in rng.integers(0, 700, 2))
        model = exposure(mode, shape, corner)
        catalog = write_catalog(tmp_path / "cat.ecsv", mode, shape, corner, 12, rng)
        model.meta.source_catalog = str(catalog)
        limit = None if seed % 3 == 0 else float(rng.uniform(20, 27))
        boxes = our_boxes(model, mode, catalog, ranges, limit)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = _mask_from_source_cat(model, str(ranges), limit)
            objects = create_grism_bbox(model, {"wavelengthrange": str(ranges)}, limit)
        assert len(boxes) == sum(len(each.order_bounding) for each in objects)
        np.testing.assert_array_equal(boxes_to_mask(boxes, shape), expected)
        covered += np.count_nonzero(~expected)
    assert covered > 1000


@pytest.mark.real
@pytest.mark.parametrize("number", ["0010", "0011"])
def test_real_dispersion_and_catalogue_give_the_peers_mask(real_data, tmp_path, number):
    """Full frame; dispersion of a CRDS reference (legacy form), the catalogue of a pipeline."""
    path = real_data / "references" / f"jwst_nircam_specwcs_{number}.asdf"
    with asdf.open(path) as reference:
        tree = reference.tree
        models = {
            "lmodels": list(tree["displ"]),
            "xmodels": list(tree["dispx"]),
            "ymodels": list(tree["dispy"]),
            "inv_lmodels": list(tree["invdispl"]),
        }
        orders = list(tree["orders"])
        mode = MODES["A-R" if tree["meta"]["instrument"]["pupil"] == "GRISMR" else "A-C"]
        model = exposure(mode, (2048, 2048), wcs=False)
        transform = NIRCAMForwardRowGrismDispersion(orders, **models)
        transform.inverse = NIRCAMBackwardGrismDispersion(orders, **models)
        model.meta.wcs = grism_wcs(mode, (0, 0), transform)
    catalog = real_data / "references" / "test_cat.ecsv"
    ranges = write_ranges(tmp_path / "r.asdf", mode)
    model.meta.source_catalog = str(catalog)
    for limit in (None, 24.0):
        ours = boxes_to_mask(our_boxes(model, mode, catalog, ranges, limit), (2048, 2048))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = _mask_from_source_cat(model, str(ranges), limit)
        assert 0 < np.count_nonzero(~expected) < expected.size
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.slow
def test_all_orders_mask_the_zeroth_too(tmp_path):
    model = exposure(NIRISS, SHAPE)
    rng = np.random.default_rng(4)
    catalog = write_catalog(tmp_path / "cat.ecsv", NIRISS, SHAPE, (0, 0), 30, rng)
    ranges = write_ranges(tmp_path / "ranges.asdf", NIRISS)
    assert list(wavelength_ranges(ranges, "F115W")) == [1, 2]
    assert list(wavelength_ranges(ranges, "F115W", orders="all")) == [-1, 0, 1, 2]
    few = boxes_to_mask(our_boxes(model, NIRISS, catalog, ranges), SHAPE)
    more = boxes_to_mask(our_boxes(model, NIRISS, catalog, ranges, orders="all"), SHAPE)
    assert more.sum() < few.sum()
    assert not (more & ~few).any()


def test_an_order_that_the_wcs_lacks(tmp_path):
    model = exposure(MIRI, SHAPE)
    rng = np.random.default_rng(4)
    catalog = read_catalog(write_catalog(tmp_path / "cat.ecsv", MIRI, SHAPE, (0, 0), 3, rng))
    with pytest.raises(MetadataError, match="no order 7"):
        source_corners(facts_of(model), catalog, {1: (5.0, 9.0), 7: (5.0, 9.0)})
    ranges = {1: (5.0, 9.0), 7: (5.0, 9.0)}
    corners = source_corners(facts_of(model), catalog, ranges, skip_unknown=True)
    assert corners.orders == (1,) and corners.x.shape == (3, 1, 2, 4)
    with pytest.raises(MetadataError, match="no order 7"):
        source_corners(facts_of(model), catalog, {7: (5.0, 9.0)}, skip_unknown=True)


@pytest.mark.slow
def test_a_saved_exposure_gives_the_same_corners(tmp_path):
    model = exposure(NIRCAM, SHAPE, (30, 40))
    rng = np.random.default_rng(4)
    catalog = read_catalog(write_catalog(tmp_path / "cat.ecsv", NIRCAM, SHAPE, (30, 40), 9, rng))
    first = source_corners(facts_of(model), catalog, {1: (3.1, 4.0)})
    model.save(str(tmp_path / "jw_test_rate.fits"))
    second = source_corners(inspect(tmp_path / "jw_test_rate.fits"), catalog, {1: (3.1, 4.0)})
    np.testing.assert_allclose(second.x, first.x, atol=1e-6)
    np.testing.assert_allclose(second.y, first.y, atol=1e-6)


# catalogues


def test_a_source_without_magnitude_is_kept(tmp_path):
    rng = np.random.default_rng(1)
    mags = [18.0, 25.0, np.nan, np.inf]
    path = write_catalog(tmp_path / "c.ecsv", NIRISS, SHAPE, (0, 0), 4, rng, abmag=mags)
    catalog = read_catalog(path)
    assert len(catalog) == 4
    assert catalog.brighter(25.0).label.tolist() == [1, 3]
    assert catalog.brighter(None).label.tolist() == [1, 2, 3]


@pytest.mark.slow
def test_a_masked_magnitude_is_none(tmp_path):
    rng = np.random.default_rng(1)
    path = write_catalog(tmp_path / "c.ecsv", NIRISS, SHAPE, (0, 0), 3, rng, abmag=20.0)
    table = QTable.read(path, format="ascii.ecsv")
    table["isophotal_abmag"] = np.ma.MaskedArray([20.0, 20.0, 30.0], [False, True, False])
    table.write(path, format="ascii.ecsv", overwrite=True)
    catalog = read_catalog(path)
    assert np.isnan(catalog.abmag[1])
    assert catalog.brighter(19.0).label.tolist() == [2]


@pytest.mark.parametrize("column", ["label", "isophotal_abmag", "sky_bbox_ur"])
def test_a_missing_column_is_named(tmp_path, column):
    rng = np.random.default_rng(1)
    path = write_catalog(tmp_path / "c.ecsv", NIRISS, SHAPE, (0, 0), 3, rng, drop=[column])
    with pytest.raises(FileError, match=f"no {column}") as caught:
        read_catalog(path)
    assert caught.value.file == str(path)


@pytest.mark.slow
def test_catalogues_that_cannot_be_used(tmp_path):
    rng = np.random.default_rng(1)
    with pytest.raises(FileError, match="readable"):
        read_catalog(tmp_path / "none.ecsv")
    (tmp_path / "text.ecsv").write_text("label,abmag\n1,2\n")
    with pytest.raises(FileError, match="ECSV"):
        read_catalog(tmp_path / "text.ecsv")
    path = write_catalog(tmp_path / "c.ecsv", NIRISS, SHAPE, (0, 0), 3, rng)
    table = QTable.read(path, format="ascii.ecsv")
    table[:0].write(tmp_path / "empty.ecsv", format="ascii.ecsv")
    assert len(read_catalog(tmp_path / "empty.ecsv")) == 0
    table["sky_bbox_ll"] = [1.0, 2.0, 3.0]
    table.write(tmp_path / "flat.ecsv", format="ascii.ecsv")
    with pytest.raises(FileError, match="sky coordinates"):
        read_catalog(tmp_path / "flat.ecsv")


# wavelength ranges


@pytest.mark.slow
def test_which_wheel_holds_the_filter():
    assert blocking_filter(facts_of(exposure(NIRISS, SHAPE, wcs=False))) == "F115W"
    assert blocking_filter(facts_of(exposure(NIRCAM, SHAPE, wcs=False))) == "F356W"
    assert blocking_filter(facts_of(exposure(MIRI, SHAPE, wcs=False))) == "P750L"
    model = exposure(NIRISS, SHAPE, wcs=False)
    facts = facts_of(model)
    spelled = replace(facts, keywords=(*facts.keywords, ("PUPIL", "f115w ")))
    assert blocking_filter(spelled) == "F115W"
    model.meta.instrument.pupil = None
    with pytest.raises(MetadataError, match="in PUPIL"):
        blocking_filter(facts_of(model))
    model.meta.instrument.name = "NIRSPEC"
    with pytest.raises(MetadataError, match="NIRCAM, MIRI, NIRISS"):
        blocking_filter(facts_of(model))


@pytest.mark.parametrize("orders", ["extract", "all"])
def test_a_missing_filter_names_those_there_are(tmp_path, orders):
    ranges = write_ranges(tmp_path / "r.asdf", NIRISS, filters=("F150W", "F090W"))
    with pytest.raises(MetadataError, match=r"F115W.*it holds F090W, F150W") as caught:
        wavelength_ranges(ranges, "F115W", orders=orders)
    assert caught.value.file == str(ranges)


def test_ranges_that_cannot_be_used(tmp_path):
    ranges = write_ranges(tmp_path / "r.asdf", NIRISS, extract=[1, 3])
    with pytest.raises(MetadataError, match="none for 3"):
        wavelength_ranges(ranges, "F115W")
    ranges = write_ranges(tmp_path / "r.asdf", NIRCAM, exp_type="NRC_TSGRISM")
    with pytest.raises(FileError, match="NRC_TSGRISM"):
        wavelength_ranges(ranges, "F356W")
    (tmp_path / "bad.asdf").write_bytes(b"not asdf")
    for name in ("bad.asdf", "none.asdf"):
        with pytest.raises(FileError, match="readable ASDF"):
            wavelength_ranges(tmp_path / name, "F356W")


# the user's mask


def half():
    mask = np.zeros(SHAPE, np.uint32)
    mask[:, :70] = 1
    return mask


def test_masks_of_all_kinds_are_read(tmp_path):
    model = datamodels.ImageModel(SHAPE)
    model.mask = half()
    model.save(str(tmp_path / "model.fits"))
    model.save(str(tmp_path / "model.asdf"))
    fits.PrimaryHDU(half().astype(np.uint8)).writeto(tmp_path / "primary.fits")
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(half().astype(np.float32), name="BKG")]).writeto(
        tmp_path / "float.fits"
    )
    asdf.AsdfFile({"mask": half().astype(bool)}).write_to(tmp_path / "bool.asdf")
    for name in ("model.fits", "model.asdf", "primary.fits", "float.fits", "bool.asdf"):
        np.testing.assert_array_equal(read_mask(tmp_path / name, FRAME), half() == 1)


def test_in_mask_every_number_but_0_is_background(tmp_path):
    model = datamodels.ImageModel(SHAPE)
    model.mask = half() * 7
    model.save(str(tmp_path / "model.fits"))
    np.testing.assert_array_equal(read_mask(tmp_path / "model.fits", FRAME), half() == 1)


def test_masks_that_cannot_be_used(tmp_path):
    path = tmp_path / "m.fits"
    with pytest.raises(FileError, match="readable"):
        read_mask(path, FRAME)
    segments = fits.PrimaryHDU(half().astype(np.int16) * 5)
    segments.writeto(path)
    with pytest.raises(FileError, match=r"0 and 1 alone \(found: 0, 5\)"):
        read_mask(path, FRAME)
    with pytest.raises(ShapeError, match=r"mask \(120, 160\), exposure \(5, 5\)"):
        read_mask(path, Window(0, 0, 5, 5))
    nan = np.full(SHAPE, np.nan, np.float32)
    fits.PrimaryHDU(nan).writeto(path, overwrite=True)
    with pytest.raises(FileError, match="whole numbers"):
        read_mask(path, FRAME)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(nan), fits.ImageHDU(nan, name="B")]).writeto(
        path, overwrite=True
    )
    with pytest.raises(FileError, match="the only image of its file"):
        read_mask(path, FRAME)
    fits.PrimaryHDU().writeto(path, overwrite=True)
    with pytest.raises(FileError, match="PRIMARY without an array"):
        read_mask(path, FRAME)
    asdf.AsdfFile({"other": 1}).write_to(tmp_path / "m.asdf")
    with pytest.raises(FileError, match="must have mask"):
        read_mask(tmp_path / "m.asdf", FRAME)
    asdf.AsdfFile({"mask": np.array([["a", "b"]])}).write_to(tmp_path / "m.asdf")
    with pytest.raises(FileError, match="whole numbers"):
        read_mask(tmp_path / "m.asdf", Window(0, 0, 2, 1))
    (tmp_path / "m.asdf").write_bytes(b"#ASDF rubbish")
    with pytest.raises(FileError, match="readable FITS or ASDF"):
        read_mask(tmp_path / "m.asdf", FRAME)


# reference skies


def test_a_reference_is_cut_by_detector_coordinates(tmp_path):
    sky = np.arange(200 * 300, dtype=np.float32).reshape(200, 300)
    dq = (sky % 7).astype(np.uint32)
    path = write_reference(tmp_path / "sky.fits", sky, dq=dq, corner=(10, 20))
    found = read_templates(path, Window(40, 25, 100, 50), instrument="NIRCAM")
    np.testing.assert_array_equal(found.sci, sky[None, 5:55, 30:130])
    np.testing.assert_array_equal(found.dq, dq[5:55, 30:130])
    assert found.sci.dtype == np.float32 and found.dq.dtype == np.uint32
    with pytest.raises(WindowError, match="x 11–310, y 21–220, the exposure x 1–100"):
        read_templates(path, Window(0, 25, 100, 50), instrument="NIRCAM")


@pytest.mark.slow
def test_dq_def_is_applied_as_the_data_model_does(tmp_path):
    table = np.array(
        [(0, 1, "HOT", "hot"), (1, 2, "DO_NOT_USE", "bad")],
        dtype=[("BIT", "u4"), ("VALUE", "u4"), ("NAME", "S40"), ("DESCRIPTION", "S80")],
    )
    dq = np.arange(400, dtype=np.uint32).reshape(20, 20) % 4
    path = write_reference(tmp_path / "sky.fits", np.ones((20, 20)), dq=dq, dq_def=table)
    with fits.open(path, mode="update") as units:  # as a reference is delivered: bits of its own
        units["DQ"].data[:] = dq
    with datamodels.WfssBkgModel(str(path)) as model:
        expected = model.dq.copy()
    found = read_templates(path, Window(0, 0, 20, 20), instrument="NIRCAM")
    np.testing.assert_array_equal(found.dq, expected)
    assert set(np.unique(found.dq)) == {0, 1, 2048, 2049}


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_pixel_of_a_sky_is_missing(tmp_path, value):
    """The peer's fit is not finite then; what is subtracted must be no infinite number."""
    sky = np.ones((20, 30), np.float32)
    sky[3, 4], window = value, Window(0, 0, 30, 20)
    found = read_templates(write_reference(tmp_path / "a.fits", sky), window, instrument="NIRCAM")
    assert np.argwhere(np.isnan(found.sci)).tolist() == [[0, 3, 4]]
    np.save(tmp_path / "a.npy", sky)
    again = read_templates(tmp_path / "a.npy", window, instrument="NIRCAM")
    np.testing.assert_array_equal(again.sci, found.sci)


def test_several_components(tmp_path):
    first, second = np.ones((2, 20, 30), np.float32) * [[[1]], [[2]]]
    flags = np.zeros((20, 30), np.uint32)
    flags[3, 4] = 4
    paths = [
        write_reference(tmp_path / "a.fits", first, dq=flags),
        write_reference(tmp_path / "b.fits", second, dq=flags.T.reshape(20, 30)),
    ]
    window = Window(0, 0, 30, 20)
    found = read_templates(paths, window, instrument="NIRCAM")
    assert found.sci[:, 0, 0].tolist() == [1, 2]
    assert np.count_nonzero(found.dq) == 2
    cube = fits.HDUList(fits.open(paths[0]))
    cube["SCI"].data = np.stack([first, second, second * 2]).astype(np.float32)
    cube.writeto(tmp_path / "cube.fits")
    found = read_templates(tmp_path / "cube.fits", window, instrument="NIRCAM")
    assert found.sci[:, 19, 29].tolist() == [1, 2, 4]
    np.testing.assert_array_equal(found.dq, flags)


@pytest.mark.slow
def test_references_that_cannot_be_used(tmp_path):
    window = Window(0, 0, 30, 20)
    good = np.ones((20, 30), np.float32)
    for bad in (good * 0, good * np.nan, good * np.inf):
        path = write_reference(tmp_path / "sky.fits", bad)
        with pytest.raises(BackgroundError, match="component 1 of 1 is 0 or not finite"):
            read_templates(path, window, instrument="NIRCAM")
    with pytest.raises(FileError, match="readable"):
        read_templates(tmp_path / "none.fits", window, instrument="NIRCAM")
    with pytest.raises(FileError, match="override_bkg"):
        read_templates([], window, instrument="NIRCAM")
    fits.PrimaryHDU(good).writeto(tmp_path / "p.fits")
    with pytest.raises(WindowError, match="no SUBSTRT1"):
        read_templates(tmp_path / "p.fits", window, instrument="NIRCAM")
    lost = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(good, name="SCI")])
    lost.writeto(tmp_path / "lost.fits")
    with pytest.raises(WindowError, match="no SUBSTRT1"):
        read_templates(tmp_path / "lost.fits", window, instrument="NIRCAM")
    path = write_reference(tmp_path / "sky.fits", good)
    with fits.open(path, mode="update") as units:
        units["DQ"].data = units["DQ"].data[:5]
    with pytest.raises(ShapeError, match="DQ must have the shape of SCI"):
        read_templates(path, window, instrument="NIRCAM")


# all together


@pytest.mark.slow
def test_slitless_inputs(tmp_path):
    rng = np.random.default_rng(9)
    model = exposure(NIRCAM, SHAPE, (30, 40))
    catalog = write_catalog(tmp_path / "c.ecsv", NIRCAM, SHAPE, (30, 40), 20, rng)
    ranges = write_ranges(tmp_path / "r.asdf", NIRCAM)
    sky = write_reference(tmp_path / "sky.fits", np.ones((400, 400)))
    files = {"catalog": catalog, "wavelengthrange": ranges}
    found = slitless_inputs(facts_of(model), sky, **files, mmag_extract=24.0)
    assert found.templates.sci.shape == (1, *SHAPE)
    assert found.dispersion_axis == 1 and found.mask is None
    boxes = grism_boxes(found.corners.x, found.corners.y, SHAPE, found.dispersion_axis)
    np.testing.assert_array_equal(boxes, our_boxes(model, NIRCAM, catalog, ranges, 24.0))

    model.mask = half()
    model.save(str(tmp_path / "m.fits"))
    found = slitless_inputs(
        facts_of(model), [sky, sky], catalog="not even opened", user_mask=tmp_path / "m.fits"
    )
    np.testing.assert_array_equal(found.mask, half() == 1)
    assert found.corners is None and len(found.templates.sci) == 2
    found = slitless_inputs(facts_of(model), sky)
    assert found.corners is None and found.mask is None
    with pytest.raises(FileError, match="override_wavelengthrange") as caught:
        slitless_inputs(facts_of(model), sky, catalog=catalog)
    assert caught.value.file == "/program/jw1_rate.fits"


@pytest.mark.slow
def test_exposures_without_a_grism_wcs(tmp_path):
    rng = np.random.default_rng(9)
    catalog = write_catalog(tmp_path / "c.ecsv", NIRCAM, SHAPE, (0, 0), 5, rng)
    files = {"catalog": catalog, "wavelengthrange": write_ranges(tmp_path / "r.asdf", NIRCAM)}
    sky = write_reference(tmp_path / "sky.fits", np.ones((400, 400)))
    model = exposure(NIRCAM, SHAPE, wcs=False)
    with pytest.raises(MetadataError, match=r"^/program/jw1_rate\.fits: .* assign_wcs"):
        slitless_inputs(facts_of(model), sky, **files)
    model.meta.wcs = _imaging_wcs()
    with pytest.raises(MetadataError, match="2 inputs"):
        slitless_inputs(facts_of(model), sky, **files)


def test_a_cube_is_refused(tmp_path):
    model = datamodels.CubeModel((2, *SHAPE))
    model.update(exposure(NIRCAM, SHAPE, wcs=False))
    with pytest.raises(ShapeError, match=r"\(2, 120, 160\).*rateints"):
        slitless_inputs(facts_of(model), tmp_path / "sky.fits")


def _imaging_wcs():
    from astropy.modeling.models import Scale
    from gwcs import WCS
    from gwcs import coordinate_frames as cf

    frame = cf.Frame2D(name="detector")
    return WCS([(frame, Scale(1.0) & Scale(2.0)), (cf.Frame2D(name="world"), None)])
