"""Sources of catalogs, maps and folders, projected onto exposures: held against the truth."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from stdatamodels.jwst import datamodels

from bkgflow.errors import FileError, MetadataError, ShapeError
from bkgflow.io.exposures.from_fits import inspect
from bkgflow.io.exposures.from_model import model_facts
from bkgflow.io.references.catalog import read_positions
from bkgflow.io.references.mask import read_regions
from bkgflow.io.references.sky import on_sky
from bkgflow.io.references.source_masks import find_masking
from bkgflow.io.storage.location import Location
from bkgflow.kinds.looks import Look
from bkgflow.kinds.masks import check_maskable, mask_of
from bkgflow.rules import MaskRule
from tests.helpers.crowded import CORE, PIXEL, SHAPE, gwcs_of, header_of, write_field, write_map

EXACT = MaskRule(grow=0)


@pytest.fixture(scope="module", params=["header", "gwcs"])
def field(request, tmp_path_factory):
    """Three exposures that know where they are in one way or the other."""
    folder = tmp_path_factory.mktemp(request.param) / "field"
    return write_field(folder, 3, wcs=request.param)


def masked(path, given, rule=EXACT):
    facts = inspect(path)
    return mask_of(Look.of(facts), find_masking(str(given)), rule).over(facts.window)


def assert_truth(field, given, rule=EXACT, radius=CORE, wrong=0.004):
    for i, path in enumerate(field.paths):
        mask = masked(path, given, rule)
        truth = field.cores(i, radius)
        assert 0.02 < truth.mean() < 0.6
        assert (mask != truth).mean() <= wrong
        assert not (field.cores(i, radius - 1) & ~mask).any()


@pytest.mark.slow
def test_a_catalog_of_positions(field, tmp_path):
    path = tmp_path / "stars.csv"
    Table({"RA": field.ra, "Dec": field.dec}).write(path)
    assert_truth(field, path, MaskRule(grow=CORE), wrong=0.0)


@pytest.mark.slow
@pytest.mark.parametrize("unit", [None, "arcsec", "arcmin"])
def test_radii_of_a_catalog_count(field, tmp_path, unit):
    table = Table({"ra": field.ra, "dec": field.dec})
    table["radius"] = np.full(len(table), CORE * PIXEL / (60 if unit == "arcmin" else 1))
    if unit:
        table["radius"].unit = unit
    table.write(tmp_path / "stars.ecsv")
    # Distortion makes pixels two percent larger or smaller.
    assert_truth(field, tmp_path / "stars.ecsv", wrong=2e-3)
    assert_truth(field, tmp_path / "stars.ecsv", MaskRule(grow=2), CORE + 2, wrong=2e-3)


@pytest.mark.slow
def test_the_boxes_of_the_pipelines_catalog(field, tmp_path):
    half = CORE * PIXEL / 3600
    east = half / np.cos(np.radians(field.dec))
    table = Table({"label": np.arange(len(field.ra)), "isophotal_abmag": np.ones(len(field.ra))})
    for name, x, y in (("ll", 1, -1), ("lr", -1, -1), ("ul", 1, 1), ("ur", -1, 1)):
        table[f"sky_bbox_{name}.ra"] = (field.ra + x * east) % 360
        table[f"sky_bbox_{name}.dec"] = field.dec + y * half
    table.write(tmp_path / "a_cat.ecsv")
    found = read_positions(tmp_path / "a_cat.ecsv")
    np.testing.assert_allclose(found.radius, CORE * PIXEL, rtol=1e-4)
    assert_truth(field, tmp_path / "a_cat.ecsv", wrong=5e-4)


@pytest.mark.parametrize("change", [str.upper, str.title])
@pytest.mark.parametrize("end", ["fits", "csv"])
def test_columns_of_a_catalog_are_told_whatever_their_case(tmp_path, change, end):
    table = Table({change(name): [value] for name, value in (("ra", 1), ("dec", 2), ("radius", 3))})
    table.write(tmp_path / f"a.{end}")
    found = read_positions(tmp_path / f"a.{end}")
    assert (found.ra, found.dec, found.radius) == ([1], [2], [3])


@pytest.mark.parametrize("radius", [np.inf, -99.0])
def test_a_radius_that_is_none_is_refused(tmp_path, radius):
    Table({"ra": [1.0, 2], "dec": [3.0, 4], "radius": [np.nan, radius]}).write(tmp_path / "a.fits")
    with pytest.raises(FileError, match=f"1 of 2, the first {radius:g}.*NaN: mask_grow"):
        read_positions(tmp_path / "a.fits")


@pytest.mark.slow
def test_a_segmentation_image_with_a_wcs_in_its_header(field, tmp_path):
    write_map(tmp_path / "my.fits", field)
    assert_truth(field, tmp_path / "my.fits", wrong=0.02)


def test_growth_of_a_segmentation_image(field, tmp_path):
    write_map(tmp_path / "my.fits", field)
    mask = masked(field.paths[0], tmp_path / "my.fits", MaskRule(grow=2))
    assert not (field.cores(0, CORE + 1) & ~mask).any()
    assert not (mask & ~field.cores(0, CORE + 3)).any()


@pytest.mark.slow
def test_a_mosaic_with_its_segmentation_image_beside_it(field, tmp_path):
    """Only the mosaic knows where it lies, as a gwcs with distortion."""
    header = write_map(tmp_path / "a_segm.fits", field, wcs=gwcs_of, keys=False)
    with datamodels.ImageModel((360, 380)) as mosaic:
        mosaic.meta.wcs = gwcs_of(header)
        mosaic.save(str(tmp_path / "a_i2d.fits"))
    assert_truth(field, tmp_path / "a_i2d.fits", wrong=0.02)
    assert_truth(field, tmp_path / "a_segm.fits", wrong=0.02)


def test_a_map_beyond_the_exposure_masks_nothing(field, tmp_path):
    write_map(tmp_path / "my.fits", field)
    with fits.open(tmp_path / "my.fits", mode="update") as hdus:
        hdus["SCI"].header["CRVAL2"] += 1
    assert not masked(field.paths[0], tmp_path / "my.fits").any()


def test_a_folder_of_masks_by_name_and_place(field, tmp_path):
    folder, path = tmp_path / "masks", field.paths[0]
    folder.mkdir()
    truth = field.cores(0)
    fits.PrimaryHDU(truth * np.uint8(7)).writeto(folder / "e0_rate_mask.fits")
    np.testing.assert_array_equal(masked(path, folder), truth)
    (folder / "e0_rate_mask.fits").rename(folder / "e0_mask.fits")
    np.testing.assert_array_equal(masked(path, folder, MaskRule(grow=9)), truth)
    whole = np.zeros((1024, 1032), np.uint8)
    whole[: SHAPE[0], : SHAPE[1]] = truth
    fits.PrimaryHDU(whole).writeto(folder / "e0_mask.fits", overwrite=True)
    np.testing.assert_array_equal(masked(path, folder), truth)
    fits.PrimaryHDU(whole[:50]).writeto(folder / "e0_mask.fits", overwrite=True)
    with pytest.raises(ShapeError, match=r"e0_mask\.fits: A mask must have the shape"):
        masked(path, folder)


def test_an_exposure_without_its_mask_is_named(field, tmp_path):
    masking = find_masking(str(tmp_path))
    with pytest.raises(FileError, match=r"no e0_rate_mask\.fits and no e0_mask\.fits.*zeros"):
        check_maskable(masking, [inspect(field.paths[0])])


def test_who_knows_its_place_only_by_its_header_is_named(field, tmp_path):
    write_map(tmp_path / "my.fits", field)
    facts = [inspect(path) for path in field.paths]
    notes = check_maskable(find_masking(str(tmp_path / "my.fits")), facts)
    if on_sky(facts[0].source) == "WCS":
        assert notes == ()
    else:
        assert "e0_rate.fits, e1_rate.fits, e2_rate.fits by the WCS of the header" in notes[0]


def test_an_exposure_that_knows_no_place_is_refused_with_the_cure(tmp_path):
    field = write_field(tmp_path / "field", 1, wcs="none")
    write_map(tmp_path / "my.fits", field)
    masking, facts = find_masking(str(tmp_path / "my.fits")), inspect(field.paths[0])
    for attempt in (
        lambda: check_maskable(masking, [facts]),
        lambda: mask_of(Look.of(facts), masking, EXACT),
    ):
        with pytest.raises(MetadataError, match=r"e0_rate\.fits: .* must have a WCS .*assign_wcs"):
            attempt()


def test_a_model_lies_where_its_file_does(field, tmp_path):
    write_map(tmp_path / "my.fits", field)
    masking = find_masking(str(tmp_path / "my.fits"))
    with datamodels.open(str(field.paths[1])) as model:
        facts = model_facts(model, "a model")
        found = mask_of(Look.of(facts), masking, EXACT).over(facts.window)
    np.testing.assert_array_equal(found, masked(field.paths[1], tmp_path / "my.fits"))


def test_what_is_no_mask_is_refused(tmp_path):
    with pytest.raises(FileError, match=r"no such file.*segmentation image"):
        find_masking(str(tmp_path / "nothing.fits"))
    fits.PrimaryHDU(np.ones((4, 4))).writeto(tmp_path / "a_i2d.fits")
    with pytest.raises(FileError, match=r"a_i2d\.fits: A mosaic must have .*no a_segm\.fits"):
        find_masking(str(tmp_path / "a_i2d.fits"))
    fits.PrimaryHDU(np.ones((4, 4))).writeto(tmp_path / "map.fits")
    with pytest.raises(FileError, match=r"map\.fits: .* must say where it lies on the sky"):
        find_masking(str(tmp_path / "map.fits"))
    (tmp_path / "table.csv").write_text("name,flux\na,1\nb,2\n")
    with pytest.raises(FileError, match=r"table\.csv: .* must have their positions.*name, flux"):
        find_masking(str(tmp_path / "table.csv"))


def test_a_text_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "text.txt").write_text("hello\n")
    with pytest.raises(FileError, match=r"must have their positions.*found: hello") as caught:
        find_masking(str(tmp_path / "text.txt"))
    assert "FileError" not in str(caught.value)


def test_an_image_that_is_no_map_is_refused(field, tmp_path):
    header = fits.Header({key.upper(): value for key, value in header_of(1).items()})
    fits.PrimaryHDU(np.full(SHAPE, 1.5, np.float32), header).writeto(tmp_path / "a_rate.fits")
    with pytest.raises(FileError, match=r"whole numbers alone.*found: 1\.5"):
        masked(field.paths[1], tmp_path / "a_rate.fits")


def test_a_store_that_does_not_answer_is_named(monkeypatch):
    def away(_):
        raise TimeoutError("the store did not do it")

    monkeypatch.setattr(Location, "is_dir", away)
    with pytest.raises(FileError, match=r"map\.fits: .*the store did not do it"):
        find_masking("s3://bucket/map.fits")


@pytest.mark.slow
def test_maps_of_regions(tmp_path):
    values = np.zeros((1024, 1032), np.int16)
    values[:, 300:] = -3
    values[500:, 300:] = 7
    path = tmp_path / "regions.fits"
    fits.PrimaryHDU(values).writeto(path)
    write_field(tmp_path / "field", 1)
    window = inspect(tmp_path / "field" / "e0_rate.fits").window
    assert read_regions(path, window, "MIRI")[0] == (0,)
    whole = type(window)(0, 0, 1032, 1024)
    numbers, index = read_regions(path, whole, "MIRI")
    assert numbers == (-3, 0, 7)
    np.testing.assert_array_equal(np.array(numbers)[index], values)
    fits.PrimaryHDU(values + 0.5).writeto(path, overwrite=True)
    with pytest.raises(FileError, match="must hold whole numbers alone"):
        read_regions(path, whole, "MIRI")
    many = np.arange(values.size, dtype=np.int32).reshape(values.shape) % 300
    fits.PrimaryHDU(many).writeto(path, overwrite=True)
    with pytest.raises(FileError, match="no more than 256 regions"):
        read_regions(path, whole, "MIRI")


def test_the_header_of_the_helper_is_its_gwcs_without_distortion():
    """Else two ways would be held against each other that are both wrong."""
    from tests.helpers.crowded import to_pixel

    header = header_of(2)
    ra, dec = np.array([0.003, 359.999]), np.array([12.001, 11.998])
    plain = to_pixel(header, None, ra, dec)
    np.testing.assert_allclose(to_pixel(header, gwcs_of(header, bend=0), ra, dec), plain, atol=1e-6)
