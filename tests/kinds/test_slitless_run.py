"""Slitless exposures from program to products, through plan, run and the one-exposure call."""

from __future__ import annotations

import json

import numpy as np
import pytest
from jwst.background.background_sub_wfss import subtract_wfss_bkg
from stdatamodels.jwst import datamodels

import bkgflow
from bkgflow.api import subtract_to_file
from bkgflow.errors import MetadataError, SettingsError
from bkgflow.report.tables import as_text
from bkgflow.report.unit_tables import plan_table
from bkgflow.settings import StepSettings
from tests.helpers import crds_cache
from tests.helpers.pace import few_fast
from tests.helpers.slitless import CORNER, MODES, SCALE, SHAPE, make_scene, write_reference

pytestmark = pytest.mark.slow


@pytest.fixture(params=few_fast(["A-R", "B-C", "NIS-R", "MIRI"], 1))
def scene(request, tmp_path):
    """A program of one exposure, its catalog, and references in a folder."""
    return make_scene(tmp_path, MODES[request.param])


def test_a_run_gives_what_the_peer_gives(scene, tmp_path):
    program, references = scene
    plan = bkgflow.plan(program, tmp_path / "out", references=references)
    assert [unit.kind for unit in plan.units] == ["slitless"]
    assert "scale and subtract sky.fits" in as_text(plan_table(plan))
    result = bkgflow.run(plan, "threads")
    assert result.counts == {"COMPLETE": 1}
    with (
        datamodels.open(program / "e1_rate.fits") as target,
        datamodels.open(result.products[0]) as product,
    ):
        target.meta.source_catalog = str(program / "e1_cat.ecsv")
        theirs = subtract_wfss_bkg(
            target, str(references / "sky.fits"), str(references / "ranges.asdf"), None
        )
        assert product.meta.cal_step.bkg_subtract == "COMPLETE"
        np.testing.assert_array_equal(product.mask, theirs.mask)
        np.testing.assert_array_equal(product.dq, theirs.dq)
        np.testing.assert_allclose(product.data, theirs.data, atol=3e-6)
        factor = product.meta.background.scaling_factor
        assert factor == pytest.approx(theirs.meta.background.scaling_factor, rel=1e-6)
        record = product.meta.bkgflow.instance
    assert abs(factor - SCALE) < 3 * record["scaling_factor_errors"][0] + 1e-3
    assert record["mask"] == "boxes"
    assert 0 < record["fit_fraction"] < 1
    assert record["references"] == ["sky.fits", "ranges.asdf", "e1_cat.ecsv"]
    assert result.verdicts[0].record.found.scaling_factors == (factor,)


@pytest.fixture
def niriss(tmp_path):
    return make_scene(tmp_path, MODES["NIS-R"])


def overrides(references):
    return {
        "override_bkg": str(references / "sky.fits"),
        "override_wavelengthrange": str(references / "ranges.asdf"),
    }


def test_an_association_here_and_now(niriss):
    program, references = niriss
    with bkgflow.subtract(program / "e1_asn.json", **overrides(references)) as result:
        assert result.meta.cal_step.bkg_subtract == "COMPLETE"
        assert result.mask.dtype == np.uint32
        assert result.meta.background.scaling_factor == pytest.approx(SCALE, rel=0.01)


def test_the_catalog_named_in_the_exposure(niriss, tmp_path):
    program, references = niriss
    with datamodels.open(program / "e1_rate.fits") as model:
        model.meta.source_catalog = "e1_cat.ecsv"
        model.save(str(program / "e2_rate.fits"))
    path = subtract_to_file(program / "e2_rate.fits", output_dir=tmp_path, references=references)
    with datamodels.open(path) as product:
        assert product.meta.cal_step.bkg_subtract == "COMPLETE"


def test_no_catalog_and_no_mask(niriss):
    program, references = niriss
    with pytest.raises(MetadataError, match=r"catalog or a mask.*wfss_mask"):
        bkgflow.subtract(program / "e1_rate.fits", references=references)


def test_crds_is_asked_while_planning_alone(niriss, tmp_path, monkeypatch):
    program, references = niriss
    row = ("NIS_WFSS", "NIS", "GR150R", "F115W")
    environment = crds_cache.write_cache(
        tmp_path / "crds",
        {"niriss": [(row, {"2020-01-01 00:00:00": references / "sky.fits"})]},
        {"niriss": [(("NIS_WFSS",), {"2020-01-01 00:00:00": references / "ranges.asdf"})]},
    )
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    crds_cache.forget()
    plan = bkgflow.plan(program, tmp_path / "out")
    for name in environment:  # what a worker would need to ask again
        monkeypatch.delenv(name)
    crds_cache.forget()
    (unit,) = plan.units
    assert dict(unit.references.origins) == {
        "bkg": f"crds {crds_cache.CONTEXT}",
        "wavelengthrange": f"crds {crds_cache.CONTEXT}",
    }
    assert bkgflow.run(plan, "threads").counts == {"COMPLETE": 1}


def test_a_users_mask_needs_no_catalog(niriss, tmp_path):
    program, references = niriss
    with datamodels.open(program / "e1_rate.fits") as model:
        mask = np.zeros(SHAPE, np.uint32)
        mask[20:60] = 1
        model.mask = mask
        model.save(str(tmp_path / "mask.fits"))
    with bkgflow.subtract(
        program / "e1_rate.fits",
        references=references,
        wfss_mask=str(tmp_path / "mask.fits"),
        wfss_maxiter=0,
    ) as result:
        np.testing.assert_array_equal(result.mask, mask)
        assert result.meta.bkgflow.instance["fit_pixels"] == mask.sum()
        assert result.meta.background.scaling_factor == pytest.approx(SCALE, rel=0.01)


def test_two_components_are_fitted_together(niriss, tmp_path):
    program, references = niriss
    _, x = np.mgrid[:400, :500]
    second = np.exp(-(((x - 150) / 60) ** 2)).astype(np.float32)
    write_reference(tmp_path / "second.fits", second, instrument="NIRISS")
    with datamodels.open(program / "e1_rate.fits") as model:
        part = second[CORNER[1] : CORNER[1] + SHAPE[0], CORNER[0] : CORNER[0] + SHAPE[1]]
        model.data = model.data + 0.3 * part
        model.meta.source_catalog = str(program / "e1_cat.ecsv")
        both = f"{references / 'sky.fits'},{tmp_path / 'second.fits'}"
        with bkgflow.subtract(
            model,
            override_bkg=both,
            override_wavelengthrange=str(references / "ranges.asdf"),
        ) as result:
            record = result.meta.bkgflow.instance
    found, errors = record["scaling_factors"], record["scaling_factor_errors"]
    assert abs(found[0] - SCALE) < 3 * errors[0]
    assert abs(found[1] - 0.3) < 3 * errors[1]
    assert len(record["scaling_factor_covariance"]) == 2


def test_a_crowded_field_fails_by_boxes_and_not_by_residuals(tmp_path):
    program, references = make_scene(tmp_path, MODES["NIS-R"], sources=4000)
    plans = {
        mode: bkgflow.plan(program, tmp_path / mode, references=references, wfss_mask_mode=mode)
        for mode in ("boxes", "residual", "auto")
    }
    results = {mode: bkgflow.run(plan, "threads") for mode, plan in plans.items()}
    assert results["boxes"].counts == {"FAILED": 1}
    assert not results["boxes"].ok
    results["boxes"].save(tmp_path / "result.json")
    kept = json.loads((tmp_path / "result.json").read_text(), parse_constant=pytest.fail)
    assert kept["units"][0]["found"]["scaling_factor_errors"] == [None]
    with datamodels.open(results["boxes"].products[0]) as product:
        assert product.meta.cal_step.bkg_subtract == "FAILED"
        assert product.meta.background.scaling_factor == 0
        with datamodels.open(program / "e1_rate.fits") as target:
            np.testing.assert_array_equal(product.data, target.data)
    for mode in ("residual", "auto"):
        assert results[mode].counts == {"COMPLETE": 1}
        assert results[mode].verdicts[0].record.found.mask == "residual"
        (factor,) = results[mode].verdicts[0].record.found.scaling_factors
        assert factor == pytest.approx(SCALE, rel=0.01)


def test_bad_inputs_name_their_file(niriss, tmp_path):
    program, references = niriss
    (program / "e1_cat.ecsv").unlink()
    (unit,) = bkgflow.plan(program, tmp_path / "out", references=references).units
    assert unit.verdict.state == "QUARANTINED"
    assert unit.verdict.error.file.endswith("e1_cat.ecsv")
    (unit,) = bkgflow.plan(program, tmp_path / "out", override_bkg="nowhere.fits").units
    assert unit.verdict.error.file.endswith("nowhere.fits")


def test_a_stop_by_rms_without_a_dispersion_axis_names_the_exposure(niriss, tmp_path):
    program, references = niriss
    with datamodels.open(program / "e1_rate.fits") as model:
        changed = model.copy()
    changed.meta.wcsinfo.dispersion_direction = None
    changed.save(str(program / "e1_rate.fits"))
    plan = bkgflow.plan(program, tmp_path / "out", references=references, wfss_rms_stop=1)
    (verdict,) = bkgflow.run(plan, "threads").verdicts
    assert verdict.state == "QUARANTINED"
    assert verdict.error.file.endswith("e1_rate.fits")
    assert verdict.error.value == "DISPAXIS None"
    assert "wfss_rms_stop" in verdict.error.rule


@pytest.mark.parametrize(
    ("what", "value", "outcome", "word"),
    [
        ("err", 0.0, "FAILED", "ERR is 0 or not finite"),
        ("err", np.nan, "FAILED", "ERR is 0 or not finite"),
        ("data", np.nan, "FAILED", "SCI is not finite"),
        ("wcs", None, "QUARANTINED", "must have a WCS"),
    ],
)
def test_bad_exposures_end_with_a_reason(niriss, tmp_path, what, value, outcome, word):
    program, references = niriss
    with datamodels.open(program / "e1_rate.fits") as model:
        changed = model.copy()
    if what == "wcs":
        changed.meta.wcs = None
    else:
        changed[what] = np.full(SHAPE, value, np.float32)
    changed.save(str(program / "e1_rate.fits"))
    result = bkgflow.run(bkgflow.plan(program, tmp_path / "out", references=references), "threads")
    (verdict,) = result.verdicts
    assert verdict.state == outcome
    assert word in (verdict.error.rule if verdict.error else verdict.reason)
    assert bool(verdict.products) == (outcome == "FAILED")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"wfss_maxiter": -1}, "greater than or equal to 0"),
        ({"wfss_rms_stop": -0.1}, "greater than or equal to 0"),
        ({"wfss_outlier_percent": 50}, "less than 50"),
        ({"wfss_mask_mode": "all"}, "'boxes'"),
        ({"wfss_orders": "some"}, "'extract'"),
    ],
)
def test_settings_out_of_bounds(arguments, word):
    with pytest.raises(SettingsError, match=word):
        StepSettings.of(**arguments)
