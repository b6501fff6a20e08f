"""An exposure is known by its numbers; none is subtracted from itself, or from twice."""

import shutil

import numpy as np
import pytest
from astropy.io import fits
from stdatamodels.jwst import datamodels

import bkgflow
from bkgflow.errors import BackgroundError
from tests.helpers.exposures import write_association, write_fits
from tests.helpers.taken import sky, take, taken


@pytest.mark.slow
def test_a_target_is_not_its_own_background_by_another_name(tmp_path):
    target = take(tmp_path / "t_rate.fits", sky(1), "NIRCAM", 1)
    good = take(tmp_path / "b_rate.fits", sky(2), "NIRCAM", 2)
    cube = take(tmp_path / "other" / "name.fits", sky(3, shape=(2, 16, 16)), "NIRCAM", 1)
    copy = shutil.copy(target, tmp_path / "copy.fits")
    for same in (target, cube, copy):
        with pytest.raises(BackgroundError, match="its own background"):
            bkgflow.subtract(target, [good, same])
    write_association(tmp_path / "x_asn.json", [("p", "t_rate.fits", ["copy.fits"])])
    plan = bkgflow.plan(tmp_path, tmp_path / "out")
    assert plan.counts() == {"QUARANTINED": 1}
    assert "holds the exposure of t_rate.fits" in plan.units[0].verdict.reason


def test_models_are_known_by_their_numbers_too():
    target, cube = taken(sky(1), "NIRCAM", 1), taken(sky(2, shape=(2, 16, 16)), "NIRCAM", 1)
    with pytest.raises(BackgroundError, match="its own background"):
        bkgflow.subtract(target, [cube])
    bkgflow.subtract(target, [taken(sky(2), "NIRCAM", 2)])


@pytest.mark.parametrize(
    "changes",
    [
        {"observation__observation_number": "006"},
        {"observation__visit_number": "002"},
        {"observation__visit_group": "03"},
        {"observation__sequence_id": "2"},
        {"observation__activity_id": "0A"},
        {"observation__program_number": "01235"},
        {"exposure__segment_number": 2},
        {"observation__time": "13:00:00"},
    ],
)
def test_one_other_number_is_another_exposure(tmp_path, changes):
    target = take(tmp_path / "t_rate.fits", sky(1), "NIRCAM", 1)
    other = take(tmp_path / "b_rate.fits", sky(2), "NIRCAM", 1, **changes)
    assert bkgflow.subtract(target, [other]).meta.cal_step.bkg_subtract == "COMPLETE"


def test_numbers_are_compared_as_numbers(tmp_path):
    target = take(tmp_path / "t_rate.fits", sky(1), "NIRCAM", 1, exposure__segment_number=1)
    other = take(
        tmp_path / "b_rate.fits", sky(2), "NIRCAM", 1, observation__program_number="1234",
        observation__exposure_number="1",
    )  # fmt: skip
    with pytest.raises(BackgroundError, match="its own background"):
        bkgflow.subtract(target, [other])


@pytest.mark.slow
def test_copies_among_the_backgrounds_count_once(tmp_path):
    target = take(tmp_path / "t_rate.fits", sky(1, 15), "NIRCAM", 1)
    one = take(tmp_path / "b_rate.fits", sky(2), "NIRCAM", 2)
    other = take(tmp_path / "c_rate.fits", sky(3), "NIRCAM", 3)
    copy = shutil.copy(one, tmp_path / "copy_rate.fits")
    result = bkgflow.subtract(target, [one, copy, other])
    mean = (sky(2).astype(float) + sky(3)) / 2
    np.testing.assert_allclose(result.data, sky(1, 15) - mean, rtol=1e-5, atol=1e-5)
    assert result.meta.bkgflow.notes.instance == [
        "1 repeated background left out: each exposure must count once"
    ]
    assert result.meta.bkgflow.backgrounds.instance == ["b_rate.fits", "c_rate.fits"]


def test_files_without_numbers_are_known_by_their_bytes(tmp_path):
    target = take(tmp_path / "t.fits", sky(1), "NIRCAM", None)
    copy = shutil.copy(target, tmp_path / "copy.fits")
    with pytest.raises(BackgroundError, match="its own background"):
        bkgflow.subtract(target, [copy])
    # The same keywords, DATE and FILENAME among them, and other pixels: another exposure.
    with fits.open(copy, mode="update") as units:
        units["SCI"].data[:] = sky(2)
    assert fits.getheader(copy)["DATE"] == fits.getheader(target)["DATE"]
    bkgflow.subtract(target, [copy])


@pytest.mark.slow
def test_files_without_numbers_are_never_refused_for_that(tmp_path):
    paths = [write_fits(tmp_path / f"{n}.fits", sky(n), EXPOSURE="00001") for n in range(3)]
    assert bkgflow.subtract(paths[0], paths[1:]).meta.cal_step.bkg_subtract == "COMPLETE"
    named = [take(tmp_path / f"{n}" / "x.fits", sky(n), "MIRI", None) for n in range(3)]
    assert bkgflow.subtract(named[0], named[1:]).meta.cal_step.bkg_subtract == "COMPLETE"


def test_a_few_numbers_are_enough(tmp_path):
    few = {"OBSERVTN": "002", "VISIT": "001", "EXPOSURE": "00003", "DETECTOR": "NRCA1"}
    target = write_fits(tmp_path / "t.fits", sky(1), **few)
    same = write_fits(tmp_path / "b.fits", sky(2, shape=(2, 16, 16)), **few)
    with pytest.raises(BackgroundError, match="its own background"):
        bkgflow.subtract(target, [same])
    segment = write_fits(tmp_path / "s.fits", sky(3), **few, EXSEGNUM=2)
    bkgflow.subtract(target, [segment])


@pytest.mark.slow
def test_a_combined_background_that_was_saved_is_no_exposure_of_its_target(tmp_path):
    target = take(tmp_path / "t_rate.fits", sky(1, 15), "NIRCAM", 1)
    background = take(tmp_path / "b_rate.fits", sky(2), "NIRCAM", 2)
    bkgflow.api.subtract_to_file(
        target, [background], tmp_path / "out", save_combined_background=True
    )
    saved = tmp_path / "out" / "t_combinedbackground.fits"
    result = bkgflow.subtract(target, [saved])
    np.testing.assert_allclose(result.data, sky(1, 15) - sky(2), rtol=1e-6, atol=1e-5)
    with datamodels.open(saved) as model:
        assert bkgflow.subtract(target, [model]).meta.cal_step.bkg_subtract == "COMPLETE"


@pytest.mark.slow
def test_the_pipelines_names_have_the_numbers(tmp_path):
    root = "jw01234005001_02101_00001_nrcalong"
    target = take(tmp_path / f"{root}_rate.fits", sky(1), "NIRCAM", None)
    cube = take(tmp_path / f"{root}_rateints.fits", sky(1, shape=(3, 16, 16)), "NIRCAM", None)
    moved = shutil.move(cube, tmp_path / "b.fits")
    with pytest.raises(BackgroundError, match="its own background"):
        bkgflow.subtract(target, [moved])
    beside = [
        take(tmp_path / f"x_{kind}.fits", sky(1), "NIRCAM", None) for kind in ("rate", "rateints")
    ]
    with pytest.raises(BackgroundError, match="its own background"):
        bkgflow.subtract(*beside)


@pytest.mark.slow
@pytest.mark.parametrize("step", ["bkg_subtract", "master_background"])
def test_what_was_subtracted_before_is_refused(tmp_path, step):
    done = {f"cal_step__{step}": "COMPLETE"}
    keyword = {"bkg_subtract": "S_BKDSUB", "master_background": "S_MSBSUB"}[step]
    target = take(tmp_path / "t_rate.fits", sky(1, 15), "NIRCAM", 1)
    background = take(tmp_path / "b_rate.fits", sky(2), "NIRCAM", 2)
    subtracted = take(tmp_path / "u_rate.fits", sky(1, 15), "NIRCAM", 1, **done)
    poor = take(tmp_path / "c_rate.fits", sky(3), "NIRCAM", 3, **done)
    for pair in ((subtracted, background), (target, poor)):
        with pytest.raises(BackgroundError, match=f"{keyword} COMPLETE"):
            bkgflow.subtract(*pair)
        product = bkgflow.api.subtract_to_file(
            *pair, output_dir=tmp_path / "out", allow_subtracted=True
        )
        with datamodels.open(product) as model:
            assert model.meta.bkgflow.settings.allow_subtracted is True
            assert "allow_subtracted=True" in " ".join(fits.getheader(product)["HISTORY"])
    with pytest.raises(BackgroundError, match=keyword):
        bkgflow.open_stack([background, poor])
    bkgflow.open_stack([background, poor], allow_subtracted=True)


@pytest.mark.parametrize("status", ["SKIPPED", "FAILED", None])
def test_what_was_not_subtracted_may_be(tmp_path, status):
    target = take(tmp_path / "t_rate.fits", sky(1), cal_step__bkg_subtract=status)
    background = take(tmp_path / "b_rate.fits", sky(2), number=2)
    bkgflow.subtract(target, [background])


@pytest.mark.slow
def test_a_product_of_ours_is_not_subtracted_again(tmp_path):
    target = take(tmp_path / "t_rate.fits", sky(1, 15), "NIRCAM", 1)
    background = take(tmp_path / "b_rate.fits", sky(2), "NIRCAM", 2)
    product = bkgflow.api.subtract_to_file(target, [background], tmp_path / "out")
    with pytest.raises(BackgroundError, match="before a background was subtracted"):
        bkgflow.subtract(product, [background])
    wfss = take(
        tmp_path / "w_rate.fits", sky(1), "NIRCAM", 5, exposure__type="NRC_WFSS",
        cal_step__bkg_subtract="COMPLETE",
    )  # fmt: skip
    with pytest.raises(BackgroundError, match="S_BKDSUB"):
        bkgflow.subtract(wfss)


@pytest.mark.slow
def test_one_background_with_another_tilt_can_be_left_out(tmp_path):
    target = take(tmp_path / "t_rate.fits", sky(1, 15), "NIRSPEC", 1)
    good = take(tmp_path / "b_rate.fits", sky(2), "NIRSPEC", 2)
    tilted = take(tmp_path / "c_rate.fits", sky(3), "NIRSPEC", 3, instrument__gwa_xtilt=0.3)
    assert bkgflow.subtract(target, [good, tilted]).meta.cal_step.bkg_subtract == "SKIPPED"
    result = bkgflow.subtract(target, [good, tilted], bkg_tilt="leave_out")
    assert result.meta.cal_step.bkg_subtract == "COMPLETE"
    np.testing.assert_allclose(result.data, sky(1, 15) - sky(2), rtol=1e-6, atol=1e-5)
    [note] = result.meta.bkgflow.notes.instance
    assert note.startswith("c_rate.fits is left out: the grating wheel stood differently")
    alone = bkgflow.subtract(target, [tilted], bkg_tilt="leave_out")
    assert alone.meta.cal_step.bkg_subtract == "SKIPPED"


@pytest.mark.parametrize("word", ["N/A", "UNKNOWN", ""])
def test_numbers_that_say_nothing_make_no_two_exposures_one(tmp_path, word):
    paths = [tmp_path / f"{i}_rate.fits" for i in range(1, 4)]
    for i, path in enumerate(paths, 1):
        take(path, sky(i), "NIRCAM", i)
    for path in paths:
        with fits.open(path, mode="update") as hdus:
            hdus[0].header.update(OBSERVTN=word, VISIT=word, EXPOSURE=word, FILENAME=path.name)
    assert bkgflow.open_stack(paths[1:]).sizes["exposure"] == 2
    model = bkgflow.subtract(paths[0], paths[1:])
    assert model.meta.bkgflow.instance["backgrounds"] == ["2_rate.fits", "3_rate.fits"]


@pytest.mark.slow
def test_a_copy_without_numbers_is_no_dither_of_its_own(tmp_path):
    """Neither is its original's background, nor is it counted beside it for others."""
    for n in range(3):
        path = tmp_path / "program" / f"d{n}_rate.fits"
        take(path, sky(n, 1 << n), "NIRCAM", None, filename=path.name)
    shutil.copy(path, path.with_name("copy_rate.fits"))
    plan = bkgflow.plan(tmp_path / "program", tmp_path / "out", backgrounds="dithers")
    assert plan.counts() == {"PLANNED": 4}
    bkgflow.run(plan, "threads")
    for name, others in {"copy": (0, 1), "d2": (0, 1), "d1": (0, 2), "d0": (1, 2)}.items():
        target = fits.getdata(tmp_path / "program" / f"{name}_rate.fits")
        mean = np.mean([sky(n, 1 << n) for n in others], axis=0)
        found = fits.getdata(tmp_path / "out" / f"{name}_bsub.fits")
        np.testing.assert_allclose(found, target - mean, rtol=1e-5, atol=1e-5)
