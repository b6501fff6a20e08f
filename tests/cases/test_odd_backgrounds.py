"""Backgrounds that are constant or far from all others, and pixels that are left."""

import json
import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stdatamodels.jwst import datamodels

import bkgflow
from bkgflow.detector import Window
from bkgflow.io.exposures.from_model import model_facts
from bkgflow.kinds.bands import combine_band
from bkgflow.methods.levels import constant, far, joined
from bkgflow.rules import StackRule
from tests.helpers.exposures import write_association
from tests.helpers.pace import examples
from tests.helpers.taken import sky, take, taken


def found(backgrounds, **arguments):
    """What the product of a target with these backgrounds says."""
    models = [taken(each, number=2 + i) for i, each in enumerate(backgrounds)]
    for i, model in enumerate(models):
        model.meta.filename = f"b{i}_rate.fits"
    shape = np.shape(backgrounds[0])[-2:]
    result = bkgflow.subtract(taken(sky(0, 15, shape)), models, **arguments)
    record = result.meta.bkgflow.instance
    return record.get("warnings", []), record


@pytest.mark.parametrize("value", [0.0, -3.5, 1e-20, 7e8])
def test_a_constant_background_is_said(value):
    said, record = found([np.full((16, 16), value)])
    assert said == [
        f"background 1 (b0_rate.fits) is {np.float32(value):g} DN/s in every pixel: "
        "it holds no picture of the sky"
    ]
    assert record["constant_backgrounds"] == ["background 1 (b0_rate.fits)"]


@pytest.mark.slow
def test_one_other_pixel_is_no_constant():
    for row in (0, 7, 15):
        image = np.zeros((16, 16))
        image[row, 11] = 1
        assert found([image])[0] == []


def test_a_constant_cube_and_one_with_bad_pixels_are_said():
    cube = np.full((3, 16, 16), 0.1, np.float32)
    cube[0, 3, :] = np.nan
    assert len(found([cube])[1]["constant_backgrounds"]) == 1


@pytest.mark.slow
def test_a_background_far_from_all_others_is_named():
    said, record = found([sky(1), sky(2), sky(3, 0), sky(4)])
    assert record["outlying_backgrounds"] == ["background 3 (b2_rate.fits)"]
    [sentence] = said
    assert sentence.startswith(
        "background 3 (b2_rate.fits) is far from all other backgrounds: its median is "
    )
    assert "theirs are 9.9" in sentence or "theirs are 10" in sentence
    assert found([sky(1), sky(2), sky(3, 0)], bkg_outlier=0)[0] == []


def test_of_two_both_are_named():
    said, record = found([sky(1, 10), sky(2, 0)])
    assert len(record["outlying_backgrounds"]) == 2
    assert said[0].startswith("the two backgrounds are far from each other: background 1")


@pytest.mark.parametrize(
    "levels",
    [
        [10, 10.3, 9.8, 10.1],  # as skies differ
        [10, 11, 12, 13, 14, 15],  # a drift
        [0.0, 0.05, -0.1, 0.02],  # nearly nothing
        [10, 10, 0, 0],  # two and two: no one stands alone
        [10],
    ],
)
def test_skies_as_they_are_need_no_warning(levels):
    assert found([sky(i, level) for i, level in enumerate(levels)])[0] == []


@pytest.mark.slow
def test_the_warnings_are_in_log_result_and_product(tmp_path, caplog):
    take(tmp_path / "t_rate.fits", sky(0, 15), number=1)
    for i, level in enumerate((10, 10, 0)):
        take(tmp_path / f"b{i}_rate.fits", sky(1 + i, level), number=2 + i)
    names = [f"b{i}_rate.fits" for i in range(3)]
    write_association(tmp_path / "x_asn.json", [("p", "t_rate.fits", names)])
    with caplog.at_level(logging.WARNING):
        bkgflow.run(bkgflow.plan(tmp_path, tmp_path / "out"), cluster="threads")
    assert "b2_rate.fits is far from all other backgrounds" in caplog.text
    [unit] = json.loads((tmp_path / "out" / "bkgflow-run.json").read_text())["units"]
    assert unit["found"]["outlying_backgrounds"] == ["b2_rate.fits"]
    with datamodels.open(tmp_path / "out" / "t_bsub.fits") as model:
        assert model.meta.bkgflow.warnings.instance == unit["found"]["warnings"]


@pytest.mark.slow
@settings(max_examples=examples(60), deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 70), st.integers(1, 90), st.integers(1, 9),
       st.integers(1, 1 << 16))  # fmt: skip
def test_levels_do_not_depend_on_strips(seed, ny, nx, rows, budget):
    rng = np.random.default_rng(seed)
    images = [rng.normal(5 * i, 1, (ny, nx)).astype(np.float32) for i in range(3)]
    images[1][rng.random((ny, nx)) < 0.3] = np.nan
    images[2][...] = 4 if seed % 2 else np.nan
    sources = [model_facts(taken(image), str(i)).source for i, image in enumerate(images)]
    window = Window(0, 0, nx, ny)

    def levels(budget):
        bands = [
            combine_band(sources, [(0, 1, 2)], band, rule=StackRule(), budget=budget)[0].levels
            for band in window.bands(rows)
        ]
        return bands, joined(bands)

    strips, whole = levels(budget), levels(1 << 26)
    for one, other in zip(strips[0], whole[0], strict=True):
        np.testing.assert_array_equal(one.median, other.median)
        np.testing.assert_array_equal(one.scatter, other.scatter)
    assert list(constant(strips[1])) == list(constant(whole[1]))
    assert list(far(strips[1], 0.25)) == list(far(whole[1], 0.25))
    assert np.isnan(whole[1].low[2]) == (seed % 2 == 0)
    if ny * nx > 1:
        assert (2 in constant(whole[1])) == (seed % 2 == 1)


def test_only_pixels_that_are_valid_in_the_target_are_counted(caplog):
    background = sky(1)
    background[3, :8] = np.nan
    target, dq = sky(2, 15), np.zeros((16, 16), np.uint32)
    target[3, 0] = np.nan
    target[3, 1] = np.inf
    dq[3, 2:4] = 1  # DO_NOT_USE
    dq[3, 4] = 4  # a jump that was mended
    target[9, 9] = np.nan  # has a background
    with caplog.at_level(logging.WARNING):
        result = bkgflow.subtract(taken(target, dq=dq), [taken(background, number=2)])
    assert result.meta.bkgflow.unsubtracted_pixels == 4
    assert "4 pixels have no valid background and are valid in the target" in caplog.text
    np.testing.assert_array_equal(result.data[3, 2:8], target[3, 2:8])


@pytest.mark.slow
def test_of_a_cube_a_pixel_counts_that_is_valid_in_any_integration(tmp_path):
    background = sky(1)
    background[3:6] = np.nan
    target = sky(2, 15, (3, 16, 16))
    target[:, 3, 0] = np.nan
    target[:2, 4, 1] = np.nan
    target[1:, 5, 2] = np.nan
    paths = [
        take(tmp_path / "t_rateints.fits", target, number=1),
        take(tmp_path / "b_rate.fits", background, number=2),
    ]
    result = bkgflow.subtract(*paths)
    assert result.meta.bkgflow.unsubtracted_pixels == 3 * 16 - 1
    model = taken(target, number=1)
    assert bkgflow.subtract(model, [paths[1]]).meta.bkgflow.unsubtracted_pixels == 3 * 16 - 1


def test_pixels_beyond_a_small_background_count(tmp_path):
    target = take(tmp_path / "t_rate.fits", sky(1, 15), number=1)
    small = take(tmp_path / "b_rate.fits", sky(2, shape=(10, 16)), number=2)
    assert bkgflow.subtract(target, [small]).meta.bkgflow.unsubtracted_pixels == 6 * 16


@pytest.mark.slow
def test_nothing_is_counted_where_all_is_bad_in_both(tmp_path):
    bad = sky(2, 15)
    bad[5] = np.nan
    background = sky(1)
    background[5] = np.nan
    target = take(tmp_path / "t_rate.fits", bad, number=1)
    result = bkgflow.subtract(target, [take(tmp_path / "b_rate.fits", background, number=2)])
    assert result.meta.bkgflow.unsubtracted_pixels == 0
