"""Simulated slitless programs: they open, their coordinates and boxes hold, the truth is true."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS
from jwst.assign_wcs.util import create_grism_bbox
from jwst.background.background_sub_wfss import _mask_from_source_cat, subtract_wfss_bkg
from jwst.lib.reffile_utils import get_subarray_model
from stdatamodels.jwst import datamodels

from bkgflow.detector import DO_NOT_USE
from bkgflow.errors import FileError, SettingsError, ShapeError
from bkgflow.io.exposures.from_fits import inspect
from bkgflow.io.references.find import find_reference
from bkgflow.io.references.folder import ReferenceFolder
from bkgflow.simulate import SlitlessTruth, Truth, simulate_wfss
from bkgflow.simulate.exposures import projection
from bkgflow.simulate.grism import read_specwcs, sky_to_pixel
from bkgflow.simulate.instruments import slitless_instrument
from bkgflow.simulate.slitless import built_in_template
from bkgflow.simulate.spectra import box_of, spectra_image

GRISMS: dict[str, dict[str, Any]] = {
    "niriss_c": {"instrument": "NIRISS", "grism": "GR150C"},
    "niriss_r": {"instrument": "NIRISS", "grism": "GR150R", "band": "F200W"},
    "nircam_a_r": {"instrument": "NIRCAM", "grism": "GRISMR", "module": "A"},
    "nircam_a_c": {"instrument": "NIRCAM", "grism": "GRISMC", "module": "A"},
    "nircam_b_r": {"instrument": "NIRCAM", "grism": "GRISMR", "module": "B", "band": "F444W"},
    "nircam_b_c": {"instrument": "NIRCAM", "grism": "GRISMC", "module": "B"},
    "miri": {"instrument": "MIRI"},
}

SIZE = 192


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One small program of every grism."""
    return {
        name: simulate_wfss(tmp_path_factory.mktemp(name), size=SIZE, crowding=0.2, **grism)
        for name, grism in GRISMS.items()
    }


@pytest.fixture(params=list(GRISMS))
def program(request: pytest.FixtureRequest, programs: dict[str, Any]) -> Any:
    return programs[request.param]


def opened(path: Path) -> Any:
    return datamodels.open(str(path))


def references_of(program: Any) -> dict[str, str]:
    keywords = dict(inspect(program.exposures[0]).keywords)
    folder = ReferenceFolder(program.references[0].parent)
    return {
        kind: str(find_reference(kind, keywords, folder=folder).locations[0])
        for kind in ("bkg", "wavelengthrange")
    }


def components_of(program: Any) -> list[Path]:
    return [program.folder / name for name in program.truth.components]


def with_catalog(program: Any, path: Path) -> Any:
    model = opened(path)
    model.meta.source_catalog = str(program.extras["sourcecat"])
    return model


def masked_by_truth(program: Any, exposure: Any) -> Any:
    """Where no spectrum of any order can be, by the program's own boxes."""
    mask = np.ones(exposure.window.shape, bool)
    for source in exposure.sources:
        for beam in program.truth.beams:
            mask[box_of(source, beam, exposure.window)] = False
    return mask


# Files


@pytest.mark.slow
def test_every_file_opens_as_what_it_claims_to_be(program: Any) -> None:
    for path, exposure in zip(program.exposures, program.truth.exposures, strict=True):
        with opened(path) as model:
            assert isinstance(model, datamodels.ImageModel)
            model.validate()
            assert model.meta.exposure.type.endswith("_WFSS")
            assert model.data.shape == (SIZE, SIZE) == exposure.window.shape
            assert model.meta.subarray.xstart == exposure.window.x0 + 1
            assert model.meta.subarray.xsize == SIZE
            assert model.meta.wcsinfo.dispersion_direction == {"x": 1, "y": 2}[program.truth.axis]
            good = (model.dq & DO_NOT_USE) == 0
            assert good.mean() > 0.9
            assert np.isfinite(model.data[good]).all()
    with opened(program.extras["direct_image"]) as model:
        assert isinstance(model, datamodels.ImageModel)
        assert model.meta.filename == program.extras["direct_image"].name
    found = references_of(program)
    with datamodels.WfssBkgModel(found["bkg"], strict_validation=True) as model:
        assert model.data.shape == ((1024, 1032) if "miri" in found["bkg"] else (2048, 2048))
    with datamodels.WavelengthrangeModel(found["wavelengthrange"], strict_validation=True):
        pass


def test_the_references_are_found_by_their_keywords(program: Any) -> None:
    found = references_of(program)
    assert found["bkg"] == str(components_of(program)[0])
    assert Path(found["wavelengthrange"]).suffix == ".asdf"


def test_associations_name_files_that_are_there(program: Any) -> None:
    rule = {"NIRISS": "NIS", "NIRCAM": "NRC", "MIRI": "MIR"}[program.truth.instrument]
    for path, exposure in zip(program.associations, program.exposures, strict=True):
        content = json.loads(path.read_text())
        assert content["asn_rule"] == f"Asn_Lv2WFSS{rule}"
        members = content["products"][0]["members"]
        assert [member["exptype"] for member in members] == [
            "science",
            "direct_image",
            "sourcecat",
            "segmap",
        ]
        assert members[0]["expname"] == exposure.name
        assert all((program.folder / member["expname"]).is_file() for member in members)


def test_names_follow_the_association_rules(programs: dict[str, Any]) -> None:
    assert (
        programs["niriss_c"].extras["sourcecat"].name
        == "jw99010-o001_t001_niriss_clear-f115w_cat.ecsv"
    )
    assert programs["miri"].extras["direct_image"].name == "jw99012-o001_t001_miri_f560w_i2d.fits"


def test_the_catalog_has_the_columns_of_the_pipeline(program: Any, request: Any) -> None:
    table = QTable.read(program.extras["sourcecat"], format="ascii.ecsv")
    wanted = """label xcentroid ycentroid sky_centroid area source_sum source_sum_err
        semimajor_axis_sigma semiminor_axis_sigma orientation sky_bbox_ll sky_bbox_ul sky_bbox_lr
        sky_bbox_ur orientation_sky isophotal_abmag isophotal_abmag_err is_extended"""
    assert table.colnames == wanted.split()
    sources = program.truth.exposures[0].sources
    assert table["label"].tolist() == [source.label for source in sources]
    np.testing.assert_allclose(table["isophotal_abmag"], [source.abmag for source in sources])


def test_the_catalog_looks_like_a_real_one(programs: dict[str, Any], real_data: Path) -> None:
    real = QTable.read(real_data / "references" / "test_cat.ecsv", format="ascii.ecsv")
    ours = QTable.read(programs["miri"].extras["sourcecat"], format="ascii.ecsv")
    assert ours.colnames == real.colnames
    for name in real.colnames:
        assert type(ours[name]) is type(real[name]), name
        assert getattr(ours[name], "dtype", None) == getattr(real[name], "dtype", None), name


def test_niriss_lists_order_0_but_does_not_extract_it(programs: dict[str, Any]) -> None:
    path = references_of(programs["niriss_c"])["wavelengthrange"]
    with datamodels.WavelengthrangeModel(path) as model:
        assert model.order == [0, 1, 2]
        assert ["F115W", [1, 2]] in [list(each) for each in model.extract_orders]
        assert model.get_wfss_wavelength_range("F115W", [0]) == {0: (1.013, 1.283)}


# Coordinates


@pytest.mark.slow
def test_coordinates_go_there_and_back(program: Any) -> None:
    window = program.truth.exposures[0].window
    with opened(program.exposures[0]) as model:
        wcs = model.meta.wcs
        assert wcs.available_frames == ["grism_detector", "detector", "world"]
        to_sky = wcs.get_transform("detector", "world")
        for beam in program.truth.beams:
            for wave in np.linspace(beam.first, beam.last, 4):
                ra, dec, _, _ = to_sky(40.0, 70.0, wave, beam.order)
                x, y, x0, y0, order = wcs.backward_transform(ra, dec, wave, beam.order)
                np.testing.assert_allclose([x0, y0], [40.0, 70.0], atol=1e-6)
                place = beam.pixels(40.0, 70.0, beam.t(wave))
                np.testing.assert_allclose([x, y], place, atol=1e-6)
                there = wcs(*map(np.atleast_1d, (x, y, x0, y0, order)))
                np.testing.assert_allclose(np.ravel(there[:2]), [ra, dec], atol=1e-10)
                # The forward transforms look wavelengths up in a table of a few steps.
                np.testing.assert_allclose(there[2], wave, rtol=5e-3)
    assert window.nx == SIZE


def test_the_header_says_the_same_of_the_sky(program: Any) -> None:
    with opened(program.exposures[1]) as model:
        header = WCS(fits.getheader(program.exposures[1], "SCI"), fix=False)
        to_sky = model.meta.wcs.get_transform("detector", "world")
        for x, y in ((0.0, 0.0), (100.0, 17.0)):
            ra, dec, _, _ = to_sky(x, y, 1.0, 1)
            sky = header.pixel_to_world(x, y)
            np.testing.assert_allclose([sky.ra.deg, sky.dec.deg], [ra, dec], atol=1e-9)


@pytest.mark.slow
def test_sources_keep_their_place_on_the_sky(program: Any) -> None:
    table = QTable.read(program.extras["sourcecat"], format="ascii.ecsv")
    sky = table["sky_centroid"].ra.deg, table["sky_centroid"].dec.deg
    dispersed = slitless_instrument(*_grism_of(program)).dispersed
    for exposure in program.truth.exposures:
        x, y = sky_to_pixel(projection(dispersed, exposure), *sky)
        np.testing.assert_allclose(
            x + exposure.window.x0, [each.x for each in exposure.sources], atol=1e-5
        )
        np.testing.assert_allclose(
            y + exposure.window.y0, [each.y for each in exposure.sources], atol=1e-5
        )
    first, second = (
        np.array([each[1:3] for each in exposure.sources]) for exposure in program.truth.exposures
    )
    np.testing.assert_allclose(second - first, np.tile([3.0, -2.0], (len(first), 1)), atol=0.01)


def _grism_of(program: Any) -> tuple[Any, ...]:
    with opened(program.exposures[0]) as model:
        instrument = model.meta.instrument
        grism = {"NIRISS": instrument.filter, "NIRCAM": instrument.pupil}.get(instrument.name)
        return instrument.name, grism, instrument.module, program.truth.band


# Boxes


@pytest.mark.slow
def test_the_peers_boxes_cover_the_extracted_orders(program: Any) -> None:
    found = references_of(program)
    extracted = tuple(beam for beam in program.truth.beams if beam.order in ({1, 2}))
    for path, exposure in zip(program.exposures, program.truth.exposures, strict=True):
        with with_catalog(program, path) as model:
            mask = _mask_from_source_cat(model, found["wavelengthrange"])
        light = spectra_image(exposure.sources, extracted, exposure.window)
        assert light[~mask].max() > 0
        assert light[mask].max() == 0


@pytest.mark.slow
def test_the_peers_boxes_are_those_of_the_catalog(program: Any) -> None:
    found = references_of(program)
    exposure = program.truth.exposures[0]
    with with_catalog(program, program.exposures[0]) as model:
        boxes = create_grism_bbox(model, {"wavelengthrange": found["wavelengthrange"]})
    assert boxes
    beams = {beam.order: beam for beam in program.truth.beams}
    sources = {source.label: source for source in exposure.sources}
    for box in boxes:
        for order, ((_, top), (_, right)) in box.order_bounding.items():
            rows, columns = box_of(sources[box.sid], beams[order], exposure.window)
            assert abs(min(top, SIZE - 1) + 1 - rows.stop) <= 1
            assert abs(min(right, SIZE - 1) + 1 - columns.stop) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["niriss_c", "niriss_r"])
def test_order_0_shines_outside_of_the_peers_boxes(programs: dict[str, Any], name: str) -> None:
    program = programs[name]
    found = references_of(program)
    exposure = program.truth.exposures[0]
    with with_catalog(program, program.exposures[0]) as model:
        mask = _mask_from_source_cat(model, found["wavelengthrange"])
    order_0 = tuple(beam for beam in program.truth.beams if beam.order == 0)
    light = spectra_image(exposure.sources, order_0, exposure.window)
    assert light[mask].max() > 0
    with opened(program.exposures[0]) as model:
        assert model.data[mask & (light > 0.5 * light[mask].max())].min() > 0.2 * light[mask].max()


# Truth


@pytest.mark.slow
def test_the_scale_comes_back_from_the_pixels_without_spectra(program: Any) -> None:
    with datamodels.WfssBkgModel(str(components_of(program)[0])) as template:
        for path, exposure in zip(program.exposures, program.truth.exposures, strict=True):
            with opened(path) as model:
                part = get_subarray_model(model, template).data.astype(float)
                use = masked_by_truth(program, exposure) & ((model.dq & DO_NOT_USE) == 0)
                use &= part != 0
                data, bkg, var = (
                    np.asarray(each, float)[use] for each in (model.data, part, model.err**2)
                )
            weight = float(np.sum(bkg**2 / var))
            scale = float(np.sum(data * bkg / var)) / weight
            assert abs(scale - exposure.scales[0]) < 5 / np.sqrt(weight)
            residual = (data - scale * bkg) / np.sqrt(var)
            assert residual.std() == pytest.approx(1.0, abs=0.02)


@pytest.mark.slow
def test_the_peer_finds_the_scale(program: Any) -> None:
    found = references_of(program)
    exposure = program.truth.exposures[0]
    with with_catalog(program, program.exposures[0]) as model:
        subtract_wfss_bkg(model, found["bkg"], found["wavelengthrange"])
        assert model.meta.background.scaling_factor == pytest.approx(exposure.scales[0], rel=0.02)


@pytest.mark.slow
def test_two_components_come_back_together(tmp_path: Path) -> None:
    program = simulate_wfss(tmp_path / "two", components=2, size=512, crowding=0.05, exposures=3)
    templates = [datamodels.WfssBkgModel(str(path)) for path in components_of(program)]
    scales = np.array([exposure.scales for exposure in program.truth.exposures])
    assert scales.shape == (3, 2)
    assert np.ptp(scales[:, 0] / scales[:, 1]) > 0.05
    for path, exposure in zip(program.exposures, program.truth.exposures, strict=True):
        with opened(path) as model:
            use = masked_by_truth(program, exposure) & ((model.dq & DO_NOT_USE) == 0)
            parts = np.array([get_subarray_model(model, each).data[use] for each in templates])
            weights = 1.0 / np.asarray(model.err, float)[use]
            data = np.asarray(model.data, float)[use]
        matrix = (parts * weights).T
        found, *_ = np.linalg.lstsq(matrix, data * weights, rcond=None)
        sigma = np.sqrt(np.diag(np.linalg.inv(matrix.T @ matrix)))
        assert (np.abs(found - exposure.scales) < 5 * sigma).all()
    # A folder lookup gives the mean mixture, for the components cannot be told apart.
    mixture = datamodels.WfssBkgModel(references_of(program)["bkg"]).data
    expected = sum(scale * each.data for scale, each in zip(scales.mean(0), templates, strict=True))
    np.testing.assert_allclose(mixture, expected, rtol=1e-5)


def test_the_truth_draws_the_spectra_again(programs: dict[str, Any]) -> None:
    program = programs["niriss_r"]
    loaded = SlitlessTruth.load(program.folder)
    assert loaded == program.truth
    exposure = loaded.exposures[0]
    image = loaded.sources(exposure.name)
    brightest = np.unravel_index(np.argmax(image), image.shape)
    with opened(program.exposures[0]) as model:
        assert model.data[brightest] > 0.5 * image[brightest]
    with pytest.raises(SettingsError, match="by name"):
        loaded.sources("other_rate.fits")
    with pytest.raises(FileError):
        Truth.load(program.folder)


@pytest.mark.slow
def test_an_exposure_does_not_depend_on_those_after_it(tmp_path: Path) -> None:
    short, long = (
        simulate_wfss(tmp_path / str(n), size=64, exposures=n, instrument="MIRI") for n in (1, 3)
    )
    assert short.truth.exposures[0].scales == long.truth.exposures[0].scales
    with opened(short.exposures[0]) as one, opened(long.exposures[0]) as other:
        np.testing.assert_array_equal(one.data, other.data)


@pytest.mark.slow
@pytest.mark.parametrize("crowding", [0.0, 0.3, 0.8])
def test_crowding_is_the_share_that_spectra_cover(tmp_path: Path, crowding: float) -> None:
    program = simulate_wfss(tmp_path / "p", size=128, exposures=1, crowding=crowding)
    with with_catalog(program, program.exposures[0]) as model:
        mask = _mask_from_source_cat(model, references_of(program)["wavelengthrange"])
    assert crowding - 0.02 < (~mask).mean() < crowding + 0.2
    if crowding == 0.0:
        assert (~mask).any()


# Real templates and dispersions


def write_template(path: Path, shape: tuple[int, int] = (2048, 2048)) -> Path:
    image = np.full(shape, 3.0)
    image[:, shape[1] // 2 :] = 4.0
    image[-100:-90] = np.nan
    fits.PrimaryHDU(image).writeto(path)
    return path


@pytest.mark.slow
def test_a_real_template_becomes_the_sky(tmp_path: Path) -> None:
    path = write_template(tmp_path / "sky.fits")
    program = simulate_wfss(tmp_path / "p", size=64, exposures=1, templates=path, crowding=0)
    with datamodels.WfssBkgModel(str(components_of(program)[0])) as model:
        assert model.data[0, 0] == 3.0
        assert model.data[-95, 5] == 0.0
        assert model.dq[-95, 5] == DO_NOT_USE
    exposure = program.truth.exposures[0]
    with opened(program.exposures[0]) as model:
        use = masked_by_truth(program, exposure) & ((model.dq & DO_NOT_USE) == 0)
        assert np.median(model.data[use]) == pytest.approx(4.0 * exposure.scales[0], rel=0.05)


@pytest.mark.slow
def test_one_template_for_each_component(tmp_path: Path) -> None:
    paths = [write_template(tmp_path / f"{i}.fits") for i in range(2)]
    program = simulate_wfss(
        tmp_path / "p", size=32, exposures=1, templates=f"{paths[0]},{paths[1]}"
    )
    assert len(program.truth.exposures[0].scales) == len(program.truth.components) == 2
    with pytest.raises(SettingsError, match="2 templates"):
        simulate_wfss(tmp_path / "q", components=3, templates=paths)


@pytest.mark.slow
def test_a_template_covers_the_detector(tmp_path: Path) -> None:
    path = write_template(tmp_path / "small.fits", (1024, 1032))
    with pytest.raises(ShapeError, match="2048×2048"):
        simulate_wfss(tmp_path / "p", size=32, templates=path)
    program = simulate_wfss(tmp_path / "m", instrument="MIRI", size=32, templates=path)
    assert components_of(program)[0].is_file()


@pytest.mark.real
@pytest.mark.parametrize(("number", "grism"), [(10, "GRISMR"), (11, "GRISMC")])
def test_a_real_dispersion_is_used(
    tmp_path: Path, real_data: Path, number: int, grism: str
) -> None:
    path = real_data / "references" / f"jwst_nircam_specwcs_00{number}.asdf"
    program = simulate_wfss(
        tmp_path / "p", instrument="NIRCAM", grism=grism, specwcs=path, size=64, exposures=1
    )
    real = {beam.order: beam for beam in read_specwcs(path)}
    with opened(program.exposures[0]) as model:
        wcs = model.meta.wcs
        ra, dec, _, _ = wcs.get_transform("detector", "world")(10.0, 20.0, 3.5, 1)
        for order, beam in real.items():
            x, y, *_ = wcs.backward_transform(ra, dec, 3.5, order)
            place = beam.pixels(10.0, 20.0, beam.t(3.5))
            np.testing.assert_allclose([x, y], place, atol=1e-5)


def test_a_part_of_a_trace_is_the_same_trace() -> None:
    beam = slitless_instrument("MIRI").beams[0]
    part = beam.within(6.0, 9.0)
    for wave in (6.0, 7.3, 9.0):
        np.testing.assert_allclose(
            part.pixels(300.0, 500.0, part.t(wave)), beam.pixels(300.0, 500.0, beam.t(wave))
        )
    assert part.t(9.0) == 1.0


@pytest.mark.slow
def test_specwcs_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="NIRCam"):
        simulate_wfss(tmp_path / "p", specwcs="a.asdf")
    with pytest.raises(FileError, match=r"nowhere\.asdf"):
        simulate_wfss(tmp_path / "p", instrument="NIRCAM", specwcs=tmp_path / "nowhere.asdf")
    assert not (tmp_path / "p").exists()


# Arguments


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"instrument": "NIRSPEC"}, "NIRISS or NIRCAM or MIRI"),
        ({"grism": "GRISMR"}, "GR150C or GR150R"),
        ({"instrument": "NIRCAM", "grism": "GR150C"}, "GRISMR or GRISMC"),
        ({"module": "A"}, "left out"),
        ({"instrument": "NIRCAM", "module": "C"}, "A or B"),
        ({"band": "F356W"}, "F115W"),
        ({"exposures": 0}, "exposures"),
        ({"components": 4}, "components"),
        ({"crowding": 0.95}, "crowding"),
        ({"crowding": -0.1}, "crowding"),
        ({"crowding": float("nan")}, "crowding"),
        ({"size": 8}, "size"),
        ({"size": 4096}, "size"),
        ({"seed": -1}, "seed"),
    ],
)
def test_arguments_out_of_bounds(tmp_path: Path, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        simulate_wfss(tmp_path / "p", **arguments)
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("axis", ["x", "y"])
@pytest.mark.parametrize("component", [0, 1, 2])
def test_built_in_templates_are_scaled_and_vary(component: int, axis: Any) -> None:
    frame = slitless_instrument("MIRI").dispersed.frame
    image = built_in_template(component, axis, frame, "MIRI")
    assert image.dtype == np.float32
    assert (image[:, :4] == 0).all()
    light = image[:, 4:-4]
    assert light.min() > 0
    assert np.median(light) == pytest.approx(1.0, abs=1e-5)
    assert light.std() > 0.05
