"""SOSS exposures from program to products: one fit for all segments, on threads and workers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from jwst.background.background_sub_soss import subtract_soss_bkg as peer_subtract
from stdatamodels.jwst import datamodels

import bkgflow
from bkgflow.api import subtract_to_file
from bkgflow.errors import SettingsError
from bkgflow.io.storage.location import Location
from bkgflow.plot.products import panels_of
from bkgflow.report.tables import as_text
from bkgflow.report.unit_tables import plan_table
from bkgflow.settings import StepSettings
from bkgflow.simulate import simulate_soss


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    folder = tmp_path_factory.mktemp("soss") / "program"
    return simulate_soss(
        folder, integrations=6, segments=3, subarray="SUBSTRIP96", templates=3, seed=3
    )


def planned(series, out, **arguments):
    return bkgflow.plan(series.folder, out, override_bkg=str(series.references[0]), **arguments)


def records(result):
    found = []
    for path in result.products:
        with datamodels.open(path) as product:
            assert product.meta.cal_step.bkg_subtract == "COMPLETE"
            found.append(product.meta.bkgflow.instance)
    return found


@pytest.mark.slow
def test_segments_share_one_fit(series, tmp_path):
    plan = planned(series, tmp_path / "out")
    assert len(plan.units) == 3
    assert len(plan.shared) == 1
    assert len(plan.shared[0].members) == 3
    assert {unit.shared for unit in plan.units} == {plan.shared[0].digest}
    assert "fit 1" in as_text(plan_table(plan))
    result = bkgflow.run(plan, "threads")
    assert result.counts == {"COMPLETE": 3}
    first, *others = records(result)
    assert first["fit_segments"] == 3
    for other in others:  # no step at the edges of the segments
        assert other["left_scale"] == first["left_scale"]
        assert other["right_scale"] == first["right_scale"]
        assert other["template"] == first["template"]
    assert list(result.verdicts[0].record.found.left_scale) == first["left_scale"]
    result.save(tmp_path / "result.json")
    assert "left_scale" in (tmp_path / "result.json").read_text()


@pytest.mark.slow
def test_each_file_for_itself_is_the_peers_way(series, tmp_path):
    plan = planned(series, tmp_path / "out", soss_fit="file")
    assert len(plan.shared) == 3
    result = bkgflow.run(plan, "threads")
    with datamodels.SossBkgModel(str(series.references[0])) as library:
        for unit, ended in result.pairs():
            product = ended.products[0]
            with datamodels.open(str(unit.target)) as target, datamodels.open(product) as own:
                theirs = peer_subtract(target, str(series.references[0]), 35.0, [25.0, 50.0])
                np.testing.assert_allclose(own.data, theirs.data, rtol=1e-6, atol=1e-6)
                np.testing.assert_array_equal(own.dq, target.dq)
                assert library.data.shape[0] == len(own.meta.bkgflow.instance["template_rms"])


@pytest.mark.slow
def test_each_integration_has_its_scales(series, tmp_path):
    result = bkgflow.run(planned(series, tmp_path / "out", soss_fit="integration"), "threads")
    for record in records(result):
        assert len(record["left_scale"]) == 2
        assert len(record["right_scale_error"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["exposure", "integration"])
def test_the_picture_has_the_scales_of_all_segments(series, tmp_path, mode):
    result = bkgflow.run(planned(series, tmp_path / "out", soss_fit=mode), "threads")
    product = Location.of(result.products[1])
    unit, _ = result.pairs()[1]
    panels, segments = panels_of(unit.target, product)
    assert [panel.image.shape for panel in panels] == [(96, 2048)] * 4
    regions = panels[1].image
    assert (regions[:, :685] < 0).any()
    assert regions.min() >= -1 and regions.max() <= 1
    assert [segment.first for segment in segments] == [1, 3, 5]
    for segment, record in zip(segments, records(result), strict=True):
        for side, name in enumerate(("left", "right")):
            np.testing.assert_array_equal(
                segment.scales[side],
                record[f"{name}_scale"] * 2 if mode == "exposure" else record[f"{name}_scale"],
            )
        assert segment.scales.shape == segment.errors.shape == (2, 2)
        assert (segment.errors > 0).all()


@pytest.mark.slow
def test_a_picture_of_a_segment_is_written(series, tmp_path):
    result = bkgflow.run(planned(series, tmp_path / "out"), "threads")
    unit, ended = result.pairs()[0]
    picture = bkgflow.draw(unit.target, ended.products[0], tmp_path / "pictures" / "one.png")
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_one_exposure_here_and_now(series, tmp_path):
    path = series.folder / series.truth.exposures[0].name
    with (
        bkgflow.subtract(path, override_bkg=str(series.references[0])) as from_path,
        datamodels.open(path) as model,
        bkgflow.subtract(model, override_bkg=str(series.references[0])) as from_model,
    ):
        assert from_path.meta.cal_step.bkg_subtract == "COMPLETE"
        np.testing.assert_array_equal(from_path.data, from_model.data)
        assert not np.array_equal(from_path.data, model.data)


@pytest.mark.slow
def test_a_segment_gone_bad_does_not_lose_its_neighbours_fit(series, tmp_path):
    program = tmp_path / "program"
    program.mkdir()
    for path in series.folder.glob("*.*"):
        (program / path.name).write_bytes(path.read_bytes())
    plan = bkgflow.plan(program, tmp_path / "out", override_bkg=str(series.references[0]))
    bad = plan.units[1].target
    with open(bad, "r+b") as stream:  # noqa: PTH123
        stream.truncate(20_000)
    result = bkgflow.run(plan, "threads")
    assert result.counts == {"COMPLETE": 2, "QUARANTINED": 1}
    assert result.verdicts[1].error.file == str(bad)
    for verdict in (result.verdicts[0], result.verdicts[2]):
        assert verdict.record.found.fit_segments == 2
        assert verdict.record.found.segments_left_out == (Path(bad).name,)


def test_a_segment_missing_from_the_middle_is_said(series, tmp_path):
    associations = [path for i, path in enumerate(series.associations) if i != 1]
    plan = bkgflow.plan(associations, tmp_path / "out", override_bkg=str(series.references[0]))
    assert any("segment 002" in note for unit in plan.units for note in unit.notes)


def test_a_reference_of_a_wrong_shape_is_refused(series, tmp_path):
    with datamodels.SossBkgModel((2, 64, 64)) as model:
        model.save(str(tmp_path / "wrong.fits"))
    plan = bkgflow.plan(series.folder, tmp_path / "out", override_bkg=str(tmp_path / "wrong.fits"))
    result = bkgflow.run(plan, "threads")
    assert result.counts == {"QUARANTINED": 3}
    assert {verdict.error.file for verdict in result.verdicts} == {str(tmp_path / "wrong.fits")}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["exposure", "integration"])
def test_a_segment_of_nan_among_good_ones(series, tmp_path, mode):
    program = tmp_path / "program"
    program.mkdir()
    for path in series.folder.glob("*.*"):
        (program / path.name).write_bytes(path.read_bytes())
    bad = program / series.truth.exposures[1].name
    with datamodels.open(bad) as model:
        changed = model.copy()
    changed.data = np.full(changed.data.shape, np.nan, np.float32)
    changed.save(str(bad))
    plan = bkgflow.plan(
        program, tmp_path / "out", override_bkg=str(series.references[0]), soss_fit=mode
    )
    result = bkgflow.run(plan, "threads")
    assert result.counts == {"COMPLETE": 3}
    found = records(result)
    assert {record["template"] for record in found} == {series.truth.library_sky.true}
    if mode == "integration":
        assert found[1]["left_scale"][0] == found[1]["left_scale"][1]
        assert any("nothing to fit" in note for note in found[1]["fit_notes"])
    else:
        assert found[1]["left_scale"] == found[0]["left_scale"]


@pytest.mark.slow
def test_an_image_is_fitted_as_the_peer_fits_it(series, tmp_path):
    with datamodels.open(series.folder / series.truth.exposures[0].name) as model:
        image = datamodels.ImageModel(np.array(model.data[0]))
        image.update(model)
        image.dq, image.err = np.array(model.dq[0]), np.array(model.err[0])
    image.save(str(tmp_path / "e1_rate.fits"))
    theirs = peer_subtract(image.copy(), str(series.references[0]), 35.0, [25.0, 50.0])
    path = subtract_to_file(
        tmp_path / "e1_rate.fits", output_dir=tmp_path, override_bkg=str(series.references[0])
    )
    assert path.name == "e1_bsub.fits"
    with datamodels.open(path) as own:
        np.testing.assert_allclose(own.data, theirs.data, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_a_full_frame_is_skipped(series, tmp_path):
    full = datamodels.ImageModel((2048, 2048))
    with datamodels.open(series.folder / series.truth.exposures[0].name) as model:
        full.update(model)
    full.meta.subarray.instance.update(xstart=1, ystart=1, xsize=2048, ysize=2048)
    full.err = np.ones((2048, 2048), np.float32)
    full.dq = np.zeros((2048, 2048), np.uint32)
    full.save(str(tmp_path / "full_rate.fits"))
    with bkgflow.subtract(
        tmp_path / "full_rate.fits", override_bkg=str(series.references[0])
    ) as result:
        assert result.meta.cal_step.bkg_subtract == "SKIPPED"
        assert "2048 rows" in result.meta.bkgflow.instance["reason"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["F277W", "f277w"])
def test_a_filter_without_a_reference_is_skipped(series, tmp_path, name):
    path = tmp_path / "f277w_rateints.fits"
    with datamodels.open(series.folder / series.truth.exposures[0].name) as model:
        model.save(str(path))
    fits.setval(path, "FILTER", value=name)
    with bkgflow.subtract(path) as result:
        assert result.meta.cal_step.bkg_subtract == "SKIPPED"
        assert "F277W" in result.meta.bkgflow.instance["reason"]


def test_the_folder_of_references_is_enough(series, tmp_path):
    plan = bkgflow.plan(series.folder, tmp_path / "out", references=series.references[0].parent)
    assert [fit.references for fit in plan.shared] == [(Location.of(series.references[0]),)]
    assert json.loads(plan.to_json())["shared"][0]["members"]


def test_a_plan_with_fits_survives_its_file(series, tmp_path):
    plan = planned(series, tmp_path / "out")
    plan.save(tmp_path / "plan.json")
    assert bkgflow.planning.plan.Plan.load(tmp_path / "plan.json") == plan


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"soss_source_percentile": 101}, "less than or equal to 100"),
        ({"soss_source_percentile": -1}, "greater than or equal to 0"),
        ({"soss_bkg_percentile": (50, 25)}, "below the second"),
        ({"soss_bkg_percentile": "25"}, "a pair of numbers"),
        ({"soss_bkg_percentile": (0, 120)}, "less than or equal to 100"),
        ({"soss_fit": "together"}, "'exposure'"),
    ],
)
def test_settings_out_of_bounds(arguments, word):
    with pytest.raises(SettingsError, match=word):
        StepSettings.of(**arguments)
