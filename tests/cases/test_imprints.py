"""Imprints of NIRSpec's IFU and MSA: 3.5 was left where 5 is right.

A scene in these tests has three parts: what shines (5), the sky (3), and what the closed shutters
let through (2 for the target, other numbers for its backgrounds).
"""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from stdatamodels.jwst import datamodels

import bkgflow
from bkgflow.errors import BackgroundError, FileError, ShapeError, WindowError
from tests.helpers.exposures import make_model, write_association
from tests.helpers.imprints import nirspec, save_as
from tests.helpers.pace import few_fast
from tests.helpers.program_folders import command as call

SOURCE, SKY, LEAKAGE, MORE = 5.0, 3.0, 2.0, 3.5


def full(value, *shape):
    return np.full(shape or (8, 6), value, np.float32)


@pytest.fixture
def folder(tmp_path):
    """A target and a background with imprints of their own, as the observatory takes them."""
    folder = tmp_path / "program"
    folder.mkdir()
    sky = {"bkgdtarg": True, "observation": "002"}
    save_as(folder / "s_rate.fits", nirspec(full(SOURCE + SKY + LEAKAGE), dq=1))
    save_as(folder / "b_rate.fits", nirspec(full(SKY + MORE), dq=2, **sky))
    save_as(folder / "si_rate.fits", nirspec(full(LEAKAGE), dq=4))
    save_as(folder / "bi_rate.fits", nirspec(full(MORE), dq=8, **sky))
    return folder


BOTH = [("si_rate.fits", "imprint"), ("bi_rate.fits", "imprint")]


def associate(folder, extra=BOTH, backgrounds=("b_rate.fits",), science="s_rate.fits", name="a"):
    products = [(f"product {name}", science, backgrounds)]
    return write_association(folder / f"{name}_asn.json", products, extra)


def product_of(path):
    with fits.open(path) as units:
        return {
            "sci": units["SCI"].data.copy(),
            "err": units["ERR"].data.copy(),
            "dq": units["DQ"].data.copy(),
            "background": units[0].header.get("S_BKDSUB"),
            "imprint": units[0].header.get("S_IMPRNT"),
            "history": "".join(units[0].header.get("HISTORY", [])),  # as it was cut
        }


def run(folder, out, cluster="threads", **arguments):
    plan = bkgflow.plan(folder, out, **arguments)
    return bkgflow.run(plan, cluster)


@pytest.mark.slow
@pytest.mark.parametrize("where", few_fast(["threads", "cluster"], 1))
def test_with_imprints_five_is_left_where_five_is_right(folder, where, request, tmp_path):
    address = request.getfixturevalue("cluster") if where == "cluster" else where
    associate(folder)
    result = run(folder, tmp_path / "out", address)
    assert result.ok
    product = product_of(tmp_path / "out" / "s_bsub.fits")
    np.testing.assert_array_equal(product["sci"], SOURCE)
    np.testing.assert_array_equal(product["err"], 0.5)
    np.testing.assert_array_equal(product["dq"], 1 | 2 | 4 | 8)
    assert (product["background"], product["imprint"]) == ("COMPLETE", "COMPLETE")
    assert "imprint: si_rate.fits" in product["history"]
    assert "background_imprints: bi_rate.fits" in product["history"]
    with datamodels.open(tmp_path / "out" / "s_bsub.fits") as model:
        assert model.meta.cal_step.imprint == "COMPLETE"
        assert model.meta.bkgflow.imprint == "si_rate.fits"
    [verdict] = result.verdicts
    assert verdict.record.background_imprints == ("bi_rate.fits",)
    [kept] = json.loads((tmp_path / "out" / "bkgflow-run.json").read_text())["units"]
    assert "bi_rate.fits" in json.dumps(kept)


@pytest.mark.parametrize("exp_type", ["NRS_IFU", "NRS_MSASPEC"])
def test_a_single_imprint_is_for_all_exposures_whatever_it_says(exp_type):
    """It is not checked for its observation or dither position, as in the reference step."""
    target = nirspec(full(10), exp_type=exp_type)
    background = nirspec(full(5), exp_type=exp_type, bkgdtarg=True, position=3)
    imprint = nirspec(full(2), exp_type=exp_type, observation="009", position=7, bkgdtarg=None)
    result = bkgflow.subtract(target, [background], imprints=[imprint])
    np.testing.assert_array_equal(result.data, 8 - 3)


@pytest.mark.slow
def test_an_exposure_without_an_imprint_of_its_own_is_named(folder, tmp_path):
    """Of several imprints none fits the background: the target's is subtracted all the same."""
    save_as(folder / "si2_rate.fits", nirspec(full(90), position=2))
    associate(folder, [("si_rate.fits", "imprint"), ("si2_rate.fits", "imprint")])
    result = run(folder, tmp_path / "out")
    product = product_of(tmp_path / "out" / "s_bsub.fits")
    np.testing.assert_array_equal(product["sci"], SOURCE + SKY - (SKY + MORE))
    assert product["imprint"] == "COMPLETE"
    [verdict] = result.verdicts
    assert verdict.record.background_imprints is None
    [note] = verdict.record.notes
    assert "b_rate.fits" in note and "si2_rate.fits" in note and "no imprint" in note
    assert note in (tmp_path / "out" / "bkgflow.log").read_text()


@pytest.mark.slow
def test_a_target_without_an_imprint_of_its_own_says_skipped(folder, tmp_path):
    bad = [nirspec(full(90), observation="007", position=p) for p in (1, 2)]
    result = bkgflow.subtract(folder / "s_rate.fits", [folder / "b_rate.fits"], imprints=bad)
    assert result.meta.cal_step.imprint == "SKIPPED"
    assert result.meta.cal_step.bkg_subtract == "COMPLETE"


@pytest.mark.slow
def test_an_imprint_is_subtracted_where_the_background_is_skipped(folder, tmp_path):
    """As in the pipeline: grating wheels that differ concern the background alone."""
    sky = {"bkgdtarg": True, "observation": "002"}
    save_as(folder / "b_rate.fits", nirspec(full(SKY + MORE), tilt=0.2, **sky))
    associate(folder)
    associate(folder, BOTH[:1], (), "b_rate.fits", "alone")
    result = run(folder, tmp_path / "out")
    assert result.ok
    product = product_of(tmp_path / "out" / "s_bsub.fits")
    np.testing.assert_array_equal(product["sci"], SOURCE + SKY)
    np.testing.assert_array_equal(product["dq"], 1 | 4)
    assert (product["background"], product["imprint"]) == ("SKIPPED", "COMPLETE")
    assert "grating wheel" in product["history"]
    without = product_of(tmp_path / "out" / "b_bsub.fits")
    np.testing.assert_array_equal(without["sci"], SKY + MORE - LEAKAGE)
    assert (without["background"], without["imprint"]) == ("SKIPPED", "COMPLETE")


@pytest.mark.slow
def test_an_exposure_that_had_its_imprint_subtracted_is_not_touched_again(folder, tmp_path):
    """Target and background each for themselves, as their headers say."""
    for name, level in (("s", SOURCE + SKY), ("b", SKY)):
        with datamodels.open(folder / f"{name}_rate.fits") as model:
            model.data = full(level)
            model.meta.cal_step.imprint = "COMPLETE"
            save_as(folder / f"{name}done_rate.fits", model)
    for science in ("s", "sdone"):
        for background in ("b", "bdone"):
            out = tmp_path / f"{science}-{background}"
            associate(folder, BOTH, (f"{background}_rate.fits",), f"{science}_rate.fits")
            result = run(folder / "a_asn.json", out)
            product = product_of(out / f"{science}_bsub.fits")
            np.testing.assert_array_equal(product["sci"], SOURCE)
            assert product["imprint"] == "COMPLETE"
            notes = " ".join(result.verdicts[0].record.notes)
            for each in (science, background):
                assert (f"{each}_rate.fits" in notes) == each.endswith("done")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["missing", "cut"])
def test_a_bad_imprint_stops_the_units_that_need_it_and_no_others(kind, folder, tmp_path):
    bad = folder / "bad_rate.fits"
    if kind == "cut":
        bad.write_bytes((folder / "si_rate.fits").read_bytes()[:6000])
    save_as(folder / "other_rate.fits", nirspec(full(20), position=5))
    more = [*BOTH, ("bad_rate.fits", "imprint")]
    associate(folder, more)  # both have an imprint of their own: nobody asks for the bad one
    associate(folder, more, (), "other_rate.fits", "needs")
    associate(folder, more[2:], (), "b_rate.fits", "single")
    result = run(folder, tmp_path / "out")
    ends = {unit.name: verdict for unit, verdict in result.pairs()}
    assert {name: verdict.state.value for name, verdict in ends.items()} == {
        "s_rate.fits": "COMPLETE",
        "other_rate.fits": "QUARANTINED",
        "b_rate.fits": "QUARANTINED",
    }
    for name in ("other_rate.fits", "b_rate.fits"):
        error = ends[name].error
        assert Path(error.file).name == "bad_rate.fits"
        assert isinstance(error, FileError) and error.rule and error.value and error.cure
    np.testing.assert_array_equal(product_of(tmp_path / "out" / "s_bsub.fits")["sci"], SOURCE)


@pytest.mark.slow
def test_an_imprint_that_goes_bad_after_planning(folder, tmp_path):
    """What it is needed for ends with its error, the rest goes on, nothing half-done is left."""
    associate(folder)
    associate(folder, [("si_rate.fits", "imprint")], (), "b_rate.fits", "alone")
    plan = bkgflow.plan(folder, tmp_path / "out")
    for name in ("bi", "si"):
        path = folder / f"{name}_rate.fits"
        content = path.read_bytes()
        path.write_bytes(content[:9000])
        result = bkgflow.run(plan, "threads", fresh=True)
        path.write_bytes(content)
        errors = {unit.name: verdict.error for unit, verdict in result.pairs()}
        assert Path(errors["s_rate.fits"].file).name == f"{name}_rate.fits"
        assert (errors["b_rate.fits"] is None) == (name == "bi")
    assert sorted(p.name for p in (tmp_path / "out").glob(".*")) == []


@pytest.mark.slow
@pytest.mark.parametrize("value", [False, "off", "no", "false"])
def test_imprints_are_left_alone_on_request_and_the_product_says_so(value, folder, tmp_path):
    associate(folder)
    run(folder, tmp_path / "out", imprint_subtract=value)
    product = product_of(tmp_path / "out" / "s_bsub.fits")
    np.testing.assert_array_equal(product["sci"], SOURCE + LEAKAGE - MORE)
    assert (product["background"], product["imprint"]) == ("COMPLETE", None)
    for name in ("si_rate.fits", "bi_rate.fits"):
        assert f"imprint member {name} is left alone" in product["history"]


@pytest.mark.parametrize("exp_type", ["NRS_FIXEDSLIT", "NRS_BRIGHTOBJ", "MIR_IMAGE", "NRC_WFSS"])
def test_other_exposures_have_no_imprints(exp_type, tmp_path):
    target = nirspec(full(10), exp_type=exp_type)
    if exp_type == "NRC_WFSS":
        arguments = {"override_bkg": "N/A"}
    else:
        arguments = {"bkg_list": [nirspec(full(4), exp_type=exp_type)]}
    result = bkgflow.subtract(target, imprints=[nirspec(full(2))], **arguments)
    np.testing.assert_array_equal(result.data, 10 if exp_type == "NRC_WFSS" else 6)
    assert result.meta.cal_step.imprint is None
    assert "is left alone" in " ".join(result.meta.bkgflow.notes)


def test_an_imprint_must_cover_its_exposure_and_fit_its_integrations():
    target, background = nirspec(full(10)), nirspec(full(4))

    def subtract(imprint, target=target):
        return bkgflow.subtract(target, [background], imprints=[imprint])

    with pytest.raises(WindowError, match="must cover") as error:
        subtract(nirspec(full(2, 4, 6)))
    assert "imprint 1" in error.value.file
    with pytest.raises(ShapeError, match="3 integrations"):
        subtract(nirspec(full(2, 3, 8, 6)))
    with pytest.raises(ShapeError, match="3 integrations"):
        subtract(nirspec(full(2, 3, 8, 6)), nirspec(full(10, 4, 8, 6)))
    np.testing.assert_array_equal(subtract(nirspec(full(2, 1, 8, 6))).data, 6)


@pytest.mark.slow
def test_an_imprint_must_not_be_what_it_is_subtracted_from(folder):
    with pytest.raises(BackgroundError, match="another exposure"):
        bkgflow.subtract(folder / "s_rate.fits", imprints=[folder / "s_rate.fits"])


def test_a_subarray_takes_its_part_of_a_larger_imprint():
    ramp = np.arange(20 * 30, dtype=np.float32).reshape(20, 30)
    target = nirspec(100 + ramp[4:12, 7:13], corner=(8, 5))
    background = nirspec(40 + 0.5 * ramp[2:19, 1:29], corner=(2, 3))
    result = bkgflow.subtract(target, [background], imprints=[nirspec(ramp)])
    np.testing.assert_array_equal(result.data, 100 - (40 - 0.5 * ramp[4:12, 7:13]))


@pytest.mark.slow
def test_integrations_lose_their_own_imprint_or_one_for_all():
    steps = np.arange(3, dtype=np.float32)[:, None, None] * np.ones((8, 6), np.float32)
    target = nirspec(10 + steps)
    each = bkgflow.subtract(target, [nirspec(full(4))], imprints=[nirspec(full(2))])
    np.testing.assert_array_equal(each.data, 10 + steps - 2 - (4 - 2))
    own = bkgflow.subtract(
        target, [nirspec(4 + steps)], imprints=[nirspec(steps, dq=steps.astype(np.uint32))]
    )
    np.testing.assert_array_equal(own.data, 10 - 4)
    np.testing.assert_array_equal(own.dq[:, 0, 0], [3, 3, 3])


def test_what_an_imprint_lacks_is_lacking_and_flags_are_joined():
    sci, dq = full(2), np.zeros((8, 6), np.uint32)
    sci[3, 4], dq[3, 4] = np.nan, 1
    result = bkgflow.subtract(
        nirspec(full(10), dq=8), [nirspec(full(4))], imprints=[nirspec(sci, dq=dq)]
    )
    assert np.isnan(result.data[3, 4]) and result.dq[3, 4] == 9
    assert (np.delete(result.data.ravel(), 22) == 6).all()
    np.testing.assert_array_equal(result.err, 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["gz", "links", "repeats", "model", "text"])
def test_imprints_in_whatever_form_they_are_given(form, folder):
    imprints = [folder / "si_rate.fits", folder / "bi_rate.fits"]
    if form == "gz":
        packed = [path.with_suffix(".fits.gz") for path in imprints]
        for path, to in zip(imprints, packed, strict=True):
            to.write_bytes(gzip.compress(path.read_bytes()))
        imprints = packed
    elif form == "links":
        (folder / "again.fits").symlink_to(imprints[0])
        imprints = [*imprints, folder / "again.fits"]
    elif form == "repeats":
        imprints = [imprints[1], *imprints, imprints[0]]
    elif form == "model":
        imprints = [datamodels.open(imprints[0]), imprints[1]]
    elif form == "text":
        imprints = ",".join(map(str, imprints))
    result = bkgflow.subtract(folder / "s_rate.fits", [folder / "b_rate.fits"], imprints=imprints)
    np.testing.assert_array_equal(result.data, SOURCE)
    assert ("count once" in " ".join(result.meta.bkgflow.notes)) == (form in ("links", "repeats"))


@pytest.mark.slow
def test_the_imprints_of_an_association_go_first(folder):
    associate(folder)
    other = nirspec(full(100))
    result = bkgflow.subtract(folder / "a_asn.json", imprints=[other])
    np.testing.assert_array_equal(result.data, SOURCE)
    assert "its own imprint members are used" in " ".join(result.meta.bkgflow.notes)
    associate(folder, [])
    result = bkgflow.subtract(folder / "a_asn.json", imprints=[nirspec(full(LEAKAGE))])
    np.testing.assert_array_equal(result.data, SOURCE + LEAKAGE - MORE)


@pytest.mark.slow
def test_a_stack_without_imprints_is_what_a_run_combines(folder, tmp_path):
    associate(folder)
    run(folder, tmp_path / "out", save_combined_background=True)
    paths = [folder / "b_rate.fits", folder / "s_rate.fits"]
    imprints = [folder / "si_rate.fits", folder / "bi_rate.fits"]
    stack = bkgflow.open_stack(paths, imprints=imprints)
    np.testing.assert_array_equal(stack["sci"][0], SKY)
    np.testing.assert_array_equal(stack["sci"][1], SOURCE + SKY)
    np.testing.assert_array_equal(stack["dq"][0], 2 | 8)
    assert list(stack["imprint"].values) == ["bi_rate.fits", "si_rate.fits"]
    np.testing.assert_array_equal(bkgflow.open_stack(paths)["sci"][0], SKY + MORE)
    combined = bkgflow.combine(stack.isel(exposure=[0]))
    saved = product_of(tmp_path / "out" / "s_combinedbackground.fits")
    np.testing.assert_array_equal(combined["sci"], saved["sci"])
    np.testing.assert_array_equal(combined["dq"], saved["dq"])


@pytest.mark.slow
def test_a_saved_plan_has_its_imprints(folder, tmp_path):
    associate(folder)
    bkgflow.plan(folder, tmp_path / "out").save(tmp_path / "plan.json")
    plan = bkgflow.Plan.load(tmp_path / "plan.json")
    assert bkgflow.run(plan, "threads").ok
    np.testing.assert_array_equal(product_of(tmp_path / "out" / "s_bsub.fits")["sci"], SOURCE)
    assert "imprint" in json.dumps(json.loads((tmp_path / "plan.json").read_text())["units"])


@pytest.fixture
def command():
    """Call the command as a shell does: exit code and standard output."""
    return lambda *arguments: call(*arguments)[:2]


@pytest.mark.slow
def test_imprints_on_the_command_line(folder, tmp_path, command):
    """`--imprints` of one target; `--imprint-subtract=off` of a program."""
    imprints = f"{folder / 'si_rate.fits'},{folder / 'bi_rate.fits'}"
    background = str(folder / "b_rate.fits")
    code, out = command(
        "subtract", str(folder / "s_rate.fits"), "--bkg-list", background,
        "--imprints", imprints, "--output-dir", str(tmp_path / "one"),
    )  # fmt: skip
    assert code == 0
    np.testing.assert_array_equal(product_of(out.strip())["sci"], SOURCE)
    associate(folder)
    for flag, left in (("", SOURCE), ("--imprint-subtract=on", SOURCE),
                       ("--imprint-subtract=off", SOURCE + LEAKAGE - MORE)):  # fmt: skip
        to = tmp_path / f"run{flag}"
        code, _ = command("run", str(folder), "--output", str(to), "--cluster", "threads",
                            *([flag] if flag else []))  # fmt: skip
        assert code == 0
        np.testing.assert_array_equal(product_of(to / "s_bsub.fits")["sci"], left)


def test_mixed_units_of_other_instruments_stay_as_they_were(tmp_path):
    target, background = make_model(full(10)), make_model(full(4))
    result = bkgflow.subtract(target, [background])
    assert result.meta.cal_step.imprint is None
    record = result.meta.bkgflow.instance
    assert "imprint" not in record and "background_imprints" not in record


@pytest.mark.slow
def test_an_imprint_is_known_by_its_numbers_and_not_by_its_path(folder):
    """A copy of the target as its imprint would leave nothing but noise."""
    for name, number in (("s", "00001"), ("b", "00002"), ("si", "00003"), ("bi", "00004")):
        with fits.open(folder / f"{name}_rate.fits", mode="update") as hdus:
            hdus[0].header.update({"PROGRAM": "01234", "VISIT": "001", "EXPOSURE": number})
    target, background = folder / "s_rate.fits", folder / "b_rate.fits"
    (folder / "copy").mkdir()
    copies = {}
    for name in ("s", "si"):
        copies[name] = folder / "copy" / f"{name}_rate.fits"
        copies[name].write_bytes((folder / f"{name}_rate.fits").read_bytes())
    with pytest.raises(BackgroundError, match="must be another exposure"):
        bkgflow.subtract(target, [background], imprints=[copies["s"]])
    both = [folder / "si_rate.fits", folder / "bi_rate.fits"]
    once = bkgflow.subtract(target, [background], imprints=both)
    twice = bkgflow.subtract(target, [background], imprints=[both[0], copies["si"], both[1]])
    assert once.meta.cal_step.imprint == twice.meta.cal_step.imprint == "COMPLETE"
    np.testing.assert_array_equal(once.data, SOURCE)
    np.testing.assert_array_equal(twice.data, once.data)
    assert "1 repeated imprint left out" in str(twice.meta.bkgflow.instance["notes"])


@pytest.mark.slow
def test_a_dither_position_is_a_number_however_it_is_written(folder):
    save_as(folder / "other_rate.fits", nirspec(full(9.0), position=2))
    with fits.open(folder / "s_rate.fits", mode="update") as hdus:
        hdus[0].header["PATT_NUM"] = 1.0
    imprints = [folder / f"{name}_rate.fits" for name in ("other", "si", "bi")]
    model = bkgflow.subtract(folder / "s_rate.fits", [folder / "b_rate.fits"], imprints=imprints)
    assert model.meta.cal_step.imprint == "COMPLETE"
    np.testing.assert_array_equal(model.data, SOURCE)
