"""A background belongs to its target, or it is refused with both values."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from stdatamodels.jwst import datamodels

import bkgflow
from bkgflow.errors import BackgroundError, SettingsError
from bkgflow.verdict import State
from tests.helpers.exposures import write_association, write_fits
from tests.helpers.taken import sky, take, taken

OTHERS = [
    ("MIRI", "instrument__detector", "MIRIFULONG", "DETECTOR"),
    ("MIRI", "instrument__channel", "34", "CHANNEL"),
    ("MIRI", "instrument__band", "MEDIUM", "BAND"),
    ("MIRI", "exposure__type", "MIR_DARKMRS", "EXP_TYPE"),
    ("MIRI", "instrument__ccc_state", "CLOSED", "CCCSTATE"),
    ("MIRI", "exposure__readpatt", "SLOWR1", "READPATT"),
    ("MIRI", "bunit_data", "MJy/sr", "BUNIT"),
    ("NIRCAM", "instrument__filter", "F356W", "FILTER"),
    ("NIRCAM", "instrument__pupil", "F405N", "PUPIL"),
    ("NIRCAM", "instrument__module", "B", "MODULE"),
    ("NIRCAM", "instrument__coronagraph", "MASK210R", "CORONMSK"),
    ("NIRCAM", "exposure__type", "NRC_CORON", "EXP_TYPE"),
    ("NIRISS", "instrument__pupil", "F200W", "PUPIL"),
    ("NIRSPEC", "instrument__grating", "G140M", "GRATING"),
    ("NIRSPEC", "instrument__filter", "F070LP", "FILTER"),
    ("NIRSPEC", "instrument__fixed_slit", "S1600A1", "FXD_SLIT"),
    ("NIRSPEC", "exposure__readpatt", "NRSRAPID", "READPATT"),
    ("NIRSPEC", "exposure__gain_factor", 2.0, "GAINFACT"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("instrument", "key", "value", "keyword"), OTHERS)
def test_what_does_not_belong_is_refused_with_both_values(
    tmp_path, instrument, key, value, keyword
):
    base = {"exposure__gain_factor": 1.0}
    target = take(tmp_path / "t_rate.fits", sky(1, 15), instrument, 1, **base)
    other = take(tmp_path / "b_rate.fits", sky(2), instrument, 2, **base | {key: value})
    good = take(tmp_path / "g_rate.fits", sky(3), instrument, 3, **base)
    with pytest.raises(BackgroundError) as caught:
        bkgflow.subtract(target, [good, other])
    assert caught.value.file == other
    assert keyword in caught.value.rule
    said = f"{value:g}" if isinstance(value, float) else value
    assert f"{keyword} {said}, target " in caught.value.value
    assert f"allow_mismatch={keyword.lower()}" in caught.value.cure
    assert bkgflow.subtract(target, [good]).meta.cal_step.bkg_subtract == "COMPLETE"


def test_another_instrument_is_refused(tmp_path):
    target = take(tmp_path / "t_rate.fits", sky(1), "NIRCAM", 1)
    other = take(tmp_path / "b_rate.fits", sky(2), "NIRISS", 2)
    with pytest.raises(BackgroundError, match="INSTRUME NIRISS, target NIRCAM"):
        bkgflow.subtract(target, [other])


@pytest.mark.slow
def test_a_run_quarantines_the_unit_and_goes_on(tmp_path):
    take(tmp_path / "t1_rate.fits", sky(1, 15), "NIRCAM", 1)
    take(tmp_path / "t2_rate.fits", sky(2, 15), "NIRCAM", 2)
    take(tmp_path / "b1_rate.fits", sky(3), "NIRCAM", 3)
    take(tmp_path / "b2_rate.fits", sky(4), "NIRCAM", 4, instrument__filter="F356W")
    write_association(
        tmp_path / "x_asn.json",
        [("p1", "t1_rate.fits", ["b1_rate.fits"]), ("p2", "t2_rate.fits", ["b2_rate.fits"])],
    )
    plan = bkgflow.plan(tmp_path, tmp_path / "out")
    assert plan.counts() == {"PLANNED": 1, "QUARANTINED": 1}
    result = bkgflow.run(plan, cluster="threads")
    assert result.counts == {"COMPLETE": 1, "QUARANTINED": 1}
    refused = next(v for v in result.verdicts if v.state == State.QUARANTINED)
    assert "FILTER F356W, target F444W (t2_rate.fits)" in refused.reason
    assert refused.error.file == str(tmp_path / "b2_rate.fits")


HARMLESS = {
    "exposure__ngroups": 3,
    "exposure__nframes": 8,
    "exposure__nints": 4,
    "exposure__readpatt": "FASTGRPAVG",
    "observation__observation_number": "077",
    "observation__visit_number": "002",
    "observation__date": "2024-05-05",
    "observation__time": "01:02:03",
    "observation__program_number": "09999",
    "target__catalog_name": "ELSEWHERE",
    "observation__bkgdtarg": True,
    "dither__position_number": 2,
    "subarray__name": "BRIGHTSKY",
    "calibration_software_version": "1.0.0",
}


@pytest.mark.slow
@pytest.mark.parametrize("key", HARMLESS)
def test_what_may_differ_does_not_matter(tmp_path, key):
    target = take(tmp_path / "t_rate.fits", sky(1, 15), "MIRI", 1)
    other = take(tmp_path / "b_rate.fits", sky(2), "MIRI", 2, **{key: HARMLESS[key]})
    result = bkgflow.subtract(target, [other])
    np.testing.assert_allclose(result.data, sky(1, 15) - sky(2), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize(
    ("keyword", "one", "other"),
    [
        ("FILTER", "f770w", "F770W "),
        ("FILTER", None, "F770W"),
        ("FILTER", "N/A", "F770W"),
        ("FILTER", "", "F770W"),
        ("PUPIL", "CLEAR", None),
        ("EXP_TYPE", "mir_image", "MIR_IMAGE"),
        ("CHANNEL", "ANY", "12"),
        ("GAINFACT", 1, "1.0"),
        ("MODULE", "A", "B"),  # no keyword of MIRI's
        ("S_FLAT", "SKIPPED", None),
        ("MSTR_RD1", 0, None),
    ],
)
def test_what_says_nothing_or_the_same_is_no_difference(tmp_path, keyword, one, other):
    target = write_fits(tmp_path / "t.fits", sky(1), **{keyword: one})
    background = write_fits(tmp_path / "b.fits", sky(2), **{keyword: other})
    assert bkgflow.subtract(target, [background]).meta.cal_step.bkg_subtract == "COMPLETE"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("DN/s", "dn / s", True),
        ("DN/s", "DN s-1", True),
        ("DN/s", " DN/S", True),
        ("DN/s", "", True),
        ("DN/s", "ct/s", False),
        ("DN/s", "electron/s", False),
        ("MJy/sr", "mJy/sr", False),
        ("MJy/sr", "MJy / sr", True),
        ("counts", "COUNTS", True),
        ("DN/s", "DN", False),
    ],
)
def test_units_are_compared_by_what_they_mean(tmp_path, one, other, same):
    paths = []
    for name, unit in (("t", one), ("b", other)):
        paths.append(write_fits(tmp_path / f"{name}.fits", sky(len(paths))))
        with fits.open(paths[-1], mode="update") as units:
            units["SCI"].header["BUNIT"] = unit
    if same:
        bkgflow.subtract(*paths)
    else:
        with pytest.raises(BackgroundError, match="BUNIT"):
            bkgflow.subtract(*paths)


@pytest.mark.slow
def test_a_factor_counts_while_it_is_in_the_pixels(tmp_path):
    factor = {"exposure__gain_factor": 2.0}
    plain = take(tmp_path / "t_rate.fits", sky(1), "NIRSPEC", 1, exposure__gain_factor=1.0)
    undone = take(
        tmp_path / "u_rate.fits", sky(2), "NIRSPEC", 2, **factor, cal_step__gain_scale="COMPLETE"
    )
    bkgflow.subtract(plain, [undone])
    left = take(
        tmp_path / "l_rate.fits", sky(2), "NIRSPEC", 3, **factor, cal_step__gain_scale="SKIPPED"
    )
    with pytest.raises(BackgroundError, match="GAINFACT 2, target 1"):
        bkgflow.subtract(plain, [left])
    averaged = {"exposure__nframes": 5, "exposure__frame_divisor": 4}
    four = take(tmp_path / "4.fits", sky(4), "NIRSPEC", 4, exposure__nframes=4,
                exposure__frame_divisor=4)  # fmt: skip
    five = take(tmp_path / "5.fits", sky(5), "NIRSPEC", 5, **averaged)
    with pytest.raises(BackgroundError, match=r"FRMDIVSR 0\.8, target 1"):
        bkgflow.subtract(four, [five])
    done = take(
        tmp_path / "6.fits", sky(5), "NIRSPEC", 6, **averaged, cal_step__group_scale="COMPLETE"
    )
    bkgflow.subtract(four, [done])


def test_a_flat_fielded_background_is_no_rate(tmp_path):
    target = take(tmp_path / "t_rate.fits", sky(1), "NIRCAM", 1)
    other = take(tmp_path / "b_cal.fits", sky(2), "NIRCAM", 2, cal_step__flat_field="COMPLETE")
    with pytest.raises(BackgroundError, match="S_FLAT COMPLETE, target not COMPLETE"):
        bkgflow.subtract(target, [other])


@pytest.mark.slow
def test_shutters_count_for_the_microshutters_alone(tmp_path):
    for exp_type, refused in (("NRS_MSASPEC", True), ("NRS_FIXEDSLIT", False)):
        one, other = (
            take(tmp_path / f"{n}_{exp_type}.fits", sky(n), "NIRSPEC", n, exposure__type=exp_type,
                 instrument__msa_metadata_file=f"jw0123400100{n}_01_msa.fits")
            for n in (1, 2)
        )  # fmt: skip
        if refused:
            with pytest.raises(BackgroundError, match="MSAMETFL"):
                bkgflow.subtract(one, [other])
        else:
            bkgflow.subtract(one, [other])


def test_models_are_held_to_the_same_rules():
    target, other = taken(sky(1), "NIRCAM", 1), taken(sky(2), "NIRCAM", 2)
    assert bkgflow.subtract(target, [other]).meta.cal_step.bkg_subtract == "COMPLETE"
    other.meta.instrument.filter = "F356W"
    with pytest.raises(BackgroundError, match="FILTER F356W, target F444W"):
        bkgflow.subtract(target, [other])


@pytest.mark.slow
@pytest.mark.parametrize("given", ["filter,bunit", ["FILTER", " BUNIT "], ("filter,bunit",)])
def test_what_is_allowed_to_differ_is_subtracted_and_said(tmp_path, given):
    target = take(tmp_path / "t_rate.fits", sky(1, 15), "NIRCAM", 1)
    other = take(
        tmp_path / "b_rate.fits", sky(2), "NIRCAM", 2, instrument__filter="F356W",
        bunit_data="MJy/sr",
    )  # fmt: skip
    with pytest.raises(BackgroundError, match="allow_mismatch=bunit"):
        bkgflow.subtract(target, [other], allow_mismatch="filter")
    path = bkgflow.api.subtract_to_file(target, [other], tmp_path, allow_mismatch=given)
    with datamodels.open(path) as model:
        record = model.meta.bkgflow.instance
        np.testing.assert_allclose(model.data, sky(1, 15) - sky(2), rtol=1e-6, atol=1e-5)
    said = (
        "b_rate.fits differs from its target: BUNIT MJy/sr, target DN/s; FILTER F356W, target F444W"
    )
    assert record["mismatches"] == [said]
    assert record["settings"]["allow_mismatch"] == ["bunit", "filter"]
    history = " ".join(fits.getheader(path)["HISTORY"])
    assert "FILTER F356W" in history and "F444W" in history


def test_only_what_is_compared_can_be_allowed(tmp_path):
    for wrong in ("colour", "filter,colour", ["visit"]):
        with pytest.raises(SettingsError, match="allow_mismatch must name"):
            bkgflow.subtract("t.fits", ["b.fits"], allow_mismatch=wrong)
    with pytest.raises(SettingsError):
        bkgflow.subtract("t.fits", ["b.fits"], allow_mismatch=3)


STRIPES = {
    "subarray__name": "SUB164STRIPE4_DHS",
    "subarray__multistripe_reads1": 1,
    "subarray__multistripe_skips1": 100,
    "subarray__multistripe_reads2": 4,
    "subarray__multistripe_skips2": 60,
    "subarray__repeat_stripe": 1,
    "subarray__interleave_reads1": 1,
}


@pytest.mark.slow
def test_stripes_need_stripes_of_the_same_layout(tmp_path):
    target = take(tmp_path / "t_rate.fits", sky(1, 15), "NIRCAM", 1, **STRIPES)
    alike = take(tmp_path / "a_rate.fits", sky(2), "NIRCAM", 2, **STRIPES)
    frame = take(tmp_path / "f_rate.fits", sky(3, shape=(40, 40)), "NIRCAM", 3)
    shifted = take(
        tmp_path / "s_rate.fits", sky(4), "NIRCAM", 4,
        **STRIPES | {"subarray__multistripe_skips1": 90},
    )  # fmt: skip
    result = bkgflow.subtract(target, [alike])
    np.testing.assert_allclose(result.data, sky(1, 15) - sky(2), rtol=1e-6, atol=1e-5)
    for other in (frame, shifted):
        with pytest.raises(BackgroundError, match="stripes of the detector"):
            bkgflow.subtract(target, [other])
    with pytest.raises(BackgroundError, match="stripes of the detector"):
        bkgflow.subtract(frame, [alike])


@pytest.mark.slow
def test_stripes_are_known_by_the_name_of_their_subarray_too(tmp_path):
    name = {"subarray__name": "SUB41STRIPE1_DHS"}
    target = take(tmp_path / "t_rate.fits", sky(1), "NIRCAM", 1, **name)
    alike = take(tmp_path / "a_rate.fits", sky(2), "NIRCAM", 2, **name)
    frame = take(tmp_path / "f_rate.fits", sky(3, shape=(40, 40)), "NIRCAM", 3)
    bkgflow.subtract(target, [alike])
    with pytest.raises(BackgroundError, match="MSTR_RD1"):
        bkgflow.subtract(target, [frame])


def test_stripes_that_move_are_refused(tmp_path):
    moving = STRIPES | {"subarray__superstripe_step": 2, "subarray__num_superstripe": 10}
    one, other = (take(tmp_path / f"{n}_rate.fits", sky(n), "NIRCAM", n, **moving) for n in (1, 2))
    with pytest.raises(BackgroundError, match="in all integrations"):
        bkgflow.subtract(one, [other])


@pytest.mark.slow
def test_open_stack_holds_its_members_against_each_other_and_the_target(tmp_path):
    target = take(tmp_path / "t_rate.fits", sky(1, 15), "NIRCAM", 1)
    paths = [take(tmp_path / f"{n}_rate.fits", sky(n), "NIRCAM", n) for n in (2, 3)]
    other = take(tmp_path / "o_rate.fits", sky(4), "NIRCAM", 4, instrument__filter="F356W")
    with pytest.raises(BackgroundError, match="FILTER F356W, first of the stack F444W"):
        bkgflow.open_stack([*paths, other])
    with pytest.raises(BackgroundError, match="FILTER F356W, target F444W"):
        bkgflow.open_stack([other], target=target)
    with pytest.raises(BackgroundError, match="its own background"):
        bkgflow.open_stack([*paths, target], target=target)
    copy = shutil.copy(paths[0], tmp_path / "copy.fits")
    with pytest.raises(BackgroundError, match="under two names"):
        bkgflow.open_stack([*paths, copy])
    small = take(tmp_path / "s_rate.fits", sky(5, shape=(4, 5)), "NIRCAM", 5)
    stack = bkgflow.open_stack(paths, target=small)
    assert stack.sci.shape == (2, 4, 5)
    assert len(bkgflow.open_stack([*paths, other], allow_mismatch=["filter"]).exposure) == 3
    assert Path(stack.attrs["paths"].splitlines()[0]).name == "2_rate.fits"
