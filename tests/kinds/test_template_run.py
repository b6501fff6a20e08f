"""Images with a template: from a simulated program to products, every way, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from stdatamodels.jwst import datamodels

import bkgflow
from bkgflow.api import subtract_to_file
from bkgflow.campaign.answers.found_products import products_of
from bkgflow.campaign.single import kinds_of
from bkgflow.errors import BackgroundError, FileError, MetadataError, WindowError
from bkgflow.io.storage.location import Location
from bkgflow.kinds.table import KINDS
from bkgflow.plot.products import panels_of
from bkgflow.record import Record, TemplateFound
from bkgflow.report.tables import as_text
from bkgflow.report.unit_tables import plan_table, remarks
from bkgflow.settings import StepSettings
from bkgflow.simulate import simulate_imaging, simulate_template
from tests.helpers.exposures import write_association

LEVEL = 0.6
"""Of the simulated sky, DN/s: what the constant should be."""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return simulate_template(tmp_path_factory.mktemp("images") / "p", size=160, seed=3)


@pytest.fixture(scope="module")
def cubes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cubes") / "p"
    return simulate_template(folder, exposures=1, integrations=3, size=96, seed=4)


@pytest.fixture(scope="module")
def done(program, tmp_path_factory):
    plan = planned(program, tmp_path_factory.mktemp("out"))
    return plan, bkgflow.run(plan, "threads")


def planned(program, out, **arguments):
    arguments = {"override_bkg": str(program.references[0])} | arguments
    return bkgflow.plan(program.folder, out, **arguments)


def record_of(path):
    with datamodels.open(path) as product:
        return product.meta.bkgflow.instance


def template_of(program):
    with fits.open(program.references[0]) as hdus:
        return hdus["SCI"].data.copy(), hdus[0].header.copy()


def written(path, images, header=(), **cards):
    """Write images (name: array) behind a primary with some cards."""
    primary = fits.PrimaryHDU(header=fits.Header(header) if header else None)
    primary.header.update(cards)
    units = [fits.ImageHDU(np.asarray(each), name=name) for name, each in images.items()]
    fits.HDUList([primary, *units]).writeto(path)
    return str(path)


@pytest.mark.slow
def test_the_stray_light_and_the_level_are_found(program, done):
    plan, result = done
    assert [unit.kind for unit in plan.units] == ["template", "template"]
    assert "scale and subtract jw99010_nis_light_saber.fits and a constant" in as_text(
        plan_table(plan)
    )
    assert kinds_of(plan) == ["slitless"]  # whose kernels it needs
    found, left_out = products_of(Location.of(plan.output))
    assert [each.kind for each in found] == ["template", "template"]
    assert not left_out
    assert result.counts == {"COMPLETE": 2}
    for exposure, path in zip(program.truth.exposures, result.products, strict=True):
        record = record_of(path)
        assert record["components"] == ["jw99010_nis_light_saber.fits", "constant"]
        for value, error, truth in zip(
            record["scaling_factors"],
            record["scaling_factor_errors"],
            (exposure.factor, LEVEL),
            strict=True,
        ):
            # Wings of stars that stay below the mask's threshold lift the level a little.
            assert abs(value - truth) < 4 * error + 0.004 * LEVEL
        assert record["mask"] == "residual"
        assert record["unsubtracted"] == 0
        assert np.shape(record["scaling_factor_covariance"]) == (2, 2)


def test_what_is_left_are_the_sources(program, done):
    for exposure, path in zip(program.truth.exposures, done[1].products, strict=True):
        assert "components: jw99010" in str(fits.getheader(path)["HISTORY"])
        with datamodels.open(path) as product:
            assert product.meta.cal_step.bkg_subtract == "COMPLETE"
            assert product.meta.ref_file.bkg.name.endswith("light_saber.fits")
            factor = product.meta.background.scaling_factor
            assert factor == product.meta.bkgflow.instance["scaling_factors"][0]
            left = product.data - program.truth.sources(exposure.name)
            sky = (product.mask == 1) & (product.dq & 1 == 0)
            # Along the band the sky is as flat as elsewhere.
            band = program.truth.stray.image(exposure.window) > 0.5
            noise = np.median(product.err[sky])
            for part in (sky & band, sky & ~band):
                assert abs(left[part].mean()) < 0.1 * noise
                assert left[part].std() < 1.2 * noise


def test_the_picture_shows_mask_and_model(program, done):
    plan, result = done
    panels, _ = panels_of(plan.units[0].target, Location.of(result.products[0]))
    assert [panel.image.shape for panel in panels] == [(160, 160)] * 4
    assert panels[1].title.startswith("mask")


@pytest.mark.slow
def test_every_way_gives_the_same_bits(program, done, tmp_path):
    path = program.exposures[0]
    arguments = {"override_bkg": str(program.references[0])}
    with (
        datamodels.open(done[1].products[0]) as run,
        bkgflow.subtract(path, **arguments) as from_path,
        datamodels.open(path) as model,
        bkgflow.subtract(model, **arguments) as from_model,
    ):
        for other in (from_path, from_model):
            for name in ("data", "err", "dq", "mask"):
                np.testing.assert_array_equal(getattr(run, name), getattr(other, name))
        np.testing.assert_array_equal(run.err, model.err)
        assert not np.array_equal(run.data, model.data)
    store = tmp_path / "zarr"
    result = bkgflow.run(planned(program, store, format="zarr"), "threads")
    opened = bkgflow.open_exposure(result.products[0])
    with datamodels.open(done[1].products[0]) as run:
        np.testing.assert_array_equal(opened["sci"].values, run.data)


@pytest.mark.slow
def test_without_a_template_nothing_is_other(program, tmp_path):
    for override in (None, "N/A", " n/a"):
        with bkgflow.subtract(program.exposures[0], override_bkg=override) as result:
            assert result.meta.cal_step.bkg_subtract == "SKIPPED"
    settings = StepSettings.of()
    assert {KINDS.of("NIS_IMAGE", each).name for each in (None, "N/A")} == {"image"}
    assert KINDS.of("NRS_FIXEDSLIT", "a.fits").name == "image"
    assert KINDS.of("NIS_WFSS", "a.fits").name == "slitless"
    assert KINDS.of("NIS_IMAGE", "a.fits").name == "template"
    assert "template_maxiter" not in settings.only(KINDS.of("NIS_IMAGE").arguments)


@pytest.mark.slow
def test_backgrounds_that_are_given_too_are_left_and_named(tmp_path):
    made = simulate_imaging(tmp_path / "p", targets=1, backgrounds=1, size=64)
    rng = np.random.default_rng(0)
    template = written(tmp_path / "t.fits", {"SCI": rng.normal(5, 1, (64, 64)).astype("f4")},
                       SUBSTRT1=made.truth.exposures[0].window.x0 + 1,
                       SUBSTRT2=made.truth.exposures[0].window.y0 + 1,
                       SUBSIZE1=64, SUBSIZE2=64)  # fmt: skip
    [unit] = bkgflow.plan(made.folder, tmp_path / "out", override_bkg=template).units
    assert unit.kind == "template"
    assert any("background exposures are not used" in note for note in unit.notes)


@pytest.mark.slow
def test_one_fit_for_a_cube(cubes, tmp_path):
    [unit] = planned(cubes, tmp_path / "out").units
    path = subtract_to_file(unit.target, output_dir=tmp_path, override_bkg=str(cubes.references[0]))
    [exposure] = cubes.truth.exposures
    with datamodels.open(str(unit.target)) as target, datamodels.open(path) as product:
        record = product.meta.bkgflow.instance
        assert product.meta.cal_step.bkg_subtract == "COMPLETE"
        sky = target.data - product.data
        np.testing.assert_allclose(sky[1:], sky[:-1], atol=1e-5)
        np.testing.assert_array_equal(target.err, product.err)
    errors = record["scaling_factor_errors"]
    assert abs(record["scaling_factors"][0] - exposure.factor) < 4 * errors[0] + 0.002
    assert abs(record["scaling_factors"][1] - LEVEL) < 4 * errors[1] + 0.004
    # Three integrations of one noise: the mean of them is fitted, whatever their scatter.
    with fits.open(str(unit.target)) as hdus:
        mean = hdus["SCI"].data.mean(axis=0)
        mean[(hdus["DQ"].data & 1).any(axis=0)] = np.nan
    truth = exposure.factor * cubes.truth.stray.image(exposure.window) + LEVEL
    left = mean - truth - cubes.truth.sources(exposure.name)[0]
    assert abs(np.nanmedian(left)) < 0.01


@pytest.mark.slow
def test_pixels_without_a_template_are_left_and_counted(program, tmp_path):
    image, header = template_of(program)
    image[40:50, 40:60] = np.nan
    template = written(tmp_path / "t.fits", {"SCI": image}, header)
    path = program.exposures[0]
    with (
        datamodels.open(path) as target,
        bkgflow.subtract(path, override_bkg=template) as product,
    ):
        same = product.data == target.data
        hole = np.zeros(same.shape, bool)
        window = program.truth.exposures[0].window
        y, x = 40 + int(header["SUBSTRT2"]) - 1 - window.y0, 40 + int(header["SUBSTRT1"]) - 1
        x -= window.x0
        hole[y : y + 10, x : x + 20] = True
        valid = np.isfinite(target.data)
        assert same[hole & valid].all()
        assert not same[~hole & valid].all()
        record = product.meta.bkgflow.instance
        assert record["unsubtracted"] == 200
        assert not product.mask[hole].any()
        found = TemplateFound(components=("t", "constant"), unsubtracted=200)
        tree = Record(version="1", found=found).to_tree()
        assert Record.from_tree(tree).found == found


@pytest.mark.slow
def test_flags_of_templates_are_joined(program, tmp_path):
    image, header = template_of(program)
    flags = np.zeros(image.shape, np.uint32)
    flags[30:40] = 4
    flags[60:64] = 1
    template = written(tmp_path / "t.fits", {"SCI": image, "DQ": flags}, header)
    window = program.truth.exposures[0].window
    row = int(header["SUBSTRT2"]) - 1 - window.y0
    with bkgflow.subtract(program.exposures[0], override_bkg=template) as product:
        assert (product.dq[30 + row : 40 + row] & 4).all()
        assert (product.dq[60 + row : 64 + row] & 1).all()
        assert not product.mask[60 + row : 64 + row].any()


@pytest.mark.slow
def test_several_templates_are_fitted_together(program, tmp_path):
    image, header = template_of(program)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    glow = np.exp(-((x - 30) ** 2 + (y - 50) ** 2) / 900).astype(np.float32)
    cards = {key: header[key] for key in ("SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2")}
    second = written(tmp_path / "glow.fits", {"": glow}, **cards)  # a plain image, of no camera
    path = program.exposures[0]
    names = f"{program.references[0]},{second}"
    with bkgflow.subtract(path, override_bkg=names) as product:
        record = product.meta.bkgflow.instance
    assert record["components"] == ["jw99010_nis_light_saber.fits", "glow.fits", "constant"]
    factors, errors = record["scaling_factors"], record["scaling_factor_errors"]
    assert abs(factors[0] - program.truth.exposures[0].factor) < 4 * errors[0] + 0.002
    assert abs(factors[1]) < 5 * errors[1] + 0.002  # there is no glow
    assert any("glow.fits is uncertain" in each for each in record["fit_warnings"])


def test_a_users_mask(program, tmp_path):
    window = program.truth.exposures[0].window
    mask = np.zeros(window.shape, np.uint32)
    mask[::2] = 1
    path = written(tmp_path / "mask.fits", {"MASK": mask})
    with bkgflow.subtract(
        program.exposures[0],
        override_bkg=str(program.references[0]),
        template_mask=path,
        template_maxiter=7,
    ) as product:
        record = product.meta.bkgflow.instance
        np.testing.assert_array_equal(product.mask, mask)
    assert record["mask"] == "user"
    assert record["fit_iterations"] == 7


@pytest.mark.slow
def test_a_plain_fit_is_weighted_least_squares(program, tmp_path):
    window = program.truth.exposures[0].window
    mask = np.zeros(window.shape, np.uint32)
    mask[:, 20:70] = 1
    path = written(tmp_path / "mask.fits", {"MASK": mask})
    with bkgflow.subtract(
        program.exposures[0],
        override_bkg=str(program.references[0]),
        template_mask=path,
        template_maxiter=0,
    ) as product:
        factors = product.meta.bkgflow.instance["scaling_factors"]
    template = program.truth.stray.image(window)
    with datamodels.open(program.exposures[0]) as target:
        good = (mask == 1) & (target.dq & 1 == 0) & np.isfinite(target.data)
        weight = 1 / target.err[good].astype(float)
        design = np.column_stack([template[good], np.ones(good.sum())]) * weight[:, None]
        truth, *_ = np.linalg.lstsq(design, target.data[good] * weight, rcond=None)
    np.testing.assert_allclose(factors, truth, rtol=1e-5)


@pytest.mark.slow
def test_a_limit_on_the_error_ends_failed_and_leaves_the_data(program):
    with (
        datamodels.open(program.exposures[0]) as target,
        bkgflow.subtract(
            target, override_bkg=str(program.references[0]), template_max_error=1e-6
        ) as product,
    ):
        assert product.meta.cal_step.bkg_subtract == "FAILED"
        np.testing.assert_array_equal(product.data, target.data)


CASES = {
    "nothing": (lambda image: np.full_like(image, np.nan), BackgroundError, "0 or not finite"),
    "constant": (lambda image: np.full_like(image, 3), BackgroundError, "structure of its own"),
    "small": (lambda image: image[:50, :50], WindowError, "must cover"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_templates_are_refused(program, tmp_path, case):
    make, error, words = CASES[case]
    image, header = template_of(program)
    image = make(image)
    cards = {"SUBSIZE1": image.shape[1], "SUBSIZE2": image.shape[0]}
    template = written(tmp_path / "t.fits", {"SCI": image}, header, **cards)
    with pytest.raises(error, match=words) as told:
        bkgflow.subtract(program.exposures[0], override_bkg=template)
    assert told.value.file == template
    assert told.value.cure


def test_a_template_given_twice_is_refused(program, tmp_path):
    image, header = template_of(program)
    other = written(tmp_path / "t.fits", {"SCI": 2 * image + 1}, header)
    with pytest.raises(BackgroundError, match="combination of the constant and") as told:
        bkgflow.subtract(program.exposures[0], override_bkg=[program.references[0], other])
    assert told.value.file == other


@pytest.mark.parametrize(
    ("keyword", "value"), [("DETECTOR", "NRCA1"), ("PUPIL", "F115W"), ("INSTRUME", "MIRI")]
)
def test_a_template_of_other_exposures_is_refused(program, tmp_path, keyword, value):
    image, header = template_of(program)
    template = written(tmp_path / "t.fits", {"SCI": image}, header, **{keyword: value})
    with pytest.raises(MetadataError, match=f"agree with its exposure in {keyword}"):
        bkgflow.subtract(program.exposures[0], override_bkg=template)
    if keyword == "PUPIL":
        with bkgflow.subtract(
            program.exposures[0], override_bkg=template, allow_mismatch="pupil"
        ) as product:
            [said] = product.meta.bkgflow.instance["mismatches"]
            assert said == "t.fits has PUPIL F115W, not F200W"


@pytest.mark.slow
def test_a_reference_for_slitless_exposures_leaves_images_alone(program, tmp_path):
    image, header = template_of(program)
    other = {"EXP_TYPE": "NIS_WFSS", "FILTER": "GR150R", "PUPIL": "F115W"}
    template = written(tmp_path / "t.fits", {"SCI": image}, header, **other)
    path = program.exposures[0]
    with bkgflow.subtract(path, override_bkg=template) as product:
        assert product.meta.cal_step.bkg_subtract == "SKIPPED"
    with pytest.raises(MetadataError, match="EXP_TYPE"):
        bkgflow.subtract(path, program.exposures[1], override_bkg=template)
    several = written(tmp_path / "s.fits", {"SCI": image}, header, P_EXP_TY="NIS_WFSS|NIS_IMAGE|")
    with bkgflow.subtract(path, override_bkg=several) as product:
        assert product.meta.cal_step.bkg_subtract == "COMPLETE"


@pytest.mark.slow
def test_of_several_templates_those_are_used_that_agree(program, tmp_path):
    """One list for all filters of a program."""
    image, header = template_of(program)
    other = written(tmp_path / "t.fits", {"SCI": image**2}, header, PUPIL="F115W")
    both = [other, str(program.references[0])]
    [unit, _] = planned(program, tmp_path / "out", override_bkg=both).units
    assert [each.name for each in unit.references.background] == ["jw99010_nis_light_saber.fits"]
    assert "t.fits has PUPIL F115W, not F200W: it is not used" in unit.notes
    with bkgflow.subtract(program.exposures[0], override_bkg=both) as product:
        assert len(product.meta.bkgflow.instance["scaling_factors"]) == 2
    again = planned(program, tmp_path / "out", override_bkg=both, allow_mismatch="pupil").units[0]
    assert len(again.references.background) == 2
    assert again.mismatches == ("t.fits has PUPIL F115W, not F200W",)


def test_a_template_that_is_no_image_is_known_while_planning(program, tmp_path):
    bad = tmp_path / "t.fits"
    bad.write_bytes(b"SIMPLE  =                    T" + b" " * 100)
    plan = planned(program, tmp_path / "out", override_bkg=str(bad))
    assert {str(unit.verdict.state) for unit in plan.units} == {"QUARANTINED"}
    with pytest.raises(FileError):
        bkgflow.subtract(program.exposures[0], override_bkg=str(bad))


@pytest.mark.slow
def test_a_negative_factor_is_doubted(program, tmp_path):
    image, header = template_of(program)
    template = written(tmp_path / "t.fits", {"SCI": -image}, header)
    with bkgflow.subtract(program.exposures[0], override_bkg=template) as product:
        [said] = product.meta.bkgflow.instance["fit_warnings"]
    assert said.startswith("the factor of t.fits is negative")


def test_the_key_says_what_changed(program, tmp_path):
    [first, _] = planned(program, tmp_path).units
    [other, _] = planned(program, tmp_path, template_maxiter=3).units
    assert other.key.differs(first.key) == ["template_maxiter 5 → 3"]


def test_remarks_count_what_is_left():
    from bkgflow.verdict import State, Verdict

    found = TemplateFound(components=("t", "constant"), unsubtracted=1)
    verdict = Verdict(State.COMPLETE, record=Record(version="1", found=found))
    assert remarks(verdict) == ["1 pixel is as it was: a template has no value there"]


@pytest.mark.slow
def test_an_association_with_a_template(program, tmp_path):
    science = program.exposures[0]
    asn = write_association(tmp_path / "a_asn.json", [("p", str(science), [])])
    plan = bkgflow.plan(asn, tmp_path / "out", override_bkg=str(program.references[0]))
    assert bkgflow.run(plan, "threads").counts == {"COMPLETE": 1}
