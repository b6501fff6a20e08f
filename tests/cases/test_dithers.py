"""Programs whose exposures are each other's background: planned, run, written as associations."""

from __future__ import annotations

import json
import shutil
import warnings

import numpy as np
import pytest
from astropy.io import fits

import bkgflow
from bkgflow.errors import OutputError, PlanError, SettingsError, UsageError
from bkgflow.io.exposures.from_fits import inspect
from bkgflow.io.exposures.from_model import model_facts
from bkgflow.io.models import open_model
from bkgflow.planning.dither_types import DITHERED
from bkgflow.simulate import simulate_dithers, simulate_nods
from tests.helpers.imprints import nirspec, save_as
from tests.helpers.program_folders import (
    associate,
    command,
    expose,
    expose_many,
    products,
    result,
    run,
)

NAMES = ("a", "b", "c", "d")


def dither(folder, name, value, number, *, dec=0.0, **keywords):
    """Write an exposure of one value, with its numbers and its pointing."""
    numbers = {"PROGRAM": "01345", "OBSERVTN": "001", "VISIT": "001", "EXPOSURE": f"{number:05d}"}
    numbers |= {"EXPMID": 60000 + number / 24, "SUBARRAY": "FULL", "FILTER": "F770W"}
    path = expose(folder / f"{name}_rate.fits", value, **numbers | keywords)
    fits.setval(path, "RA_REF", value=10.0, ext=1)
    fits.setval(path, "DEC_REF", value=dec / 3600, ext=1)
    return path


@pytest.fixture
def four(here):
    """Four dithers of 1, 2, 4 and 8, an arcsec from each other."""
    for i, name in enumerate(NAMES):
        dither(here / "program", name, 2**i, i + 1, dec=i)
    return here


def expected(values):
    """Each less the mean of all others."""
    others = {name: [v for n, v in values.items() if n != name] for name in values}
    return {f"{name}_bsub.fits": values[name] - np.mean(others[name]) for name in values}


def notes(unit):
    return " | ".join(unit.notes)


@pytest.mark.slow
def test_a_folder_of_exposures_is_its_own_background(four):
    ended = run("program", "out", "--backgrounds=dithers")
    assert (ended.code, ended.err.count("Traceback")) == (0, 0)
    assert products("out") == pytest.approx(expected(dict(zip(NAMES, (1, 2, 4, 8), strict=True))))
    [first, *_] = result("out")["units"]
    assert first["notes"] == [
        "backgrounds from dithers: 3 other exposures of its group "
        "(program 1345 MIRIMAGE F770W FULL)"
    ]


@pytest.mark.slow
def test_the_plan_says_in_a_line_what_the_groups_are(four):
    plan = bkgflow.plan("program", "out", backgrounds="dithers", min_offset=1.5)
    line = (
        "backgrounds from dithers (min_offset 1.5 arcsec): 1 group of 4 exposures; "
        "6 are left out for being too near, over all targets"
    )
    assert line in str(plan).splitlines()
    shown = command("plan", "program", "--backgrounds=dithers", "--min-offset=1.5").out
    assert line in shown.splitlines()
    assert plan.counts() == {"SKIPPED": 2, "PLANNED": 2}  # b and c have one left
    assert str(bkgflow.Plan.load(saved(plan))) == str(plan)


def saved(plan):
    plan.save("plan.json")
    return "plan.json"


@pytest.mark.slow
def test_too_few_are_skipped_with_the_reason(four):
    ended = run("program", "out", "--backgrounds=dithers", "--min-offset=1.5")
    assert ended.code == 0
    assert products("out") == pytest.approx(
        {"a_bsub.fits": 1 - 6, "b_bsub.fits": 2, "c_bsub.fits": 4, "d_bsub.fits": 8 - 1.5}
    )
    b = next(unit for unit in result("out")["units"] if unit["target"].endswith("b_rate.fits"))
    assert b["state"] == "SKIPPED"
    assert "1 other exposure of its group" in b["reason"]
    assert "2 nearer than 1.5 arcsec (a_rate.fits, c_rate.fits)" in b["reason"]
    assert fits.getval("out/b_bsub.fits", "S_BKDSUB") == "SKIPPED"
    again = bkgflow.plan("program", "one", backgrounds="dithers", min_offset=1.5, at_least=1)
    assert again.counts() == {"PLANNED": 4}


@pytest.mark.slow
def test_what_a_folder_holds_beside_dithers(four):
    program = four / "program"
    shutil.copy(program / "a_rate.fits", program / "a_rateints.fits")
    shutil.copy(program / "a_rate.fits", program / "a_cal.fits")
    shutil.copy(program / "a_rate.fits", program / "a_uncal.fits")
    dither(program / "below", "w", 5, 9, EXP_TYPE="NRC_WFSS", INSTRUME="NIRCAM")
    dither(program / "below", "t", 5, 9, EXP_TYPE="MIR_TACQ")
    dither(program / "below", "i", 5, 9, EXP_TYPE="NRS_IFU", INSTRUME="NIRSPEC", IS_IMPRT=True)
    (program / "bad_rate.fits").write_bytes(b"SIMPLE  =")
    plan = bkgflow.plan("program", "out", backgrounds="dithers")
    names = {unit.name: unit.verdict.state.value for unit in plan.units}
    assert names == {f"{n}_rate.fits": "PLANNED" for n in NAMES} | {"bad_rate.fits": "QUARANTINED"}
    reasons = {each.location.name: each.reason for each in plan.passed_over}
    assert "a scaled reference is their background" in reasons["w_rate.fits"]
    assert "MIR_TACQ" in reasons["t_rate.fits"]
    assert "imprint" in reasons["i_rate.fits"]


def test_a_bad_neighbour_costs_its_own_unit_alone(four):
    dither(four / "program", "s", 100, 9, S_BKDSUB="COMPLETE")
    plan = bkgflow.plan("program", "out", backgrounds="dithers")
    assert plan.counts() == {"PLANNED": 4, "QUARANTINED": 1}
    assert "1 subtracted before (s_rate.fits)" in notes(plan.units[0])


@pytest.mark.slow
def test_associations_say_what_is_science_and_their_backgrounds_are_not_used(four):
    program = four / "program"
    dither(program, "sky", 100, 8)
    for name in NAMES[:3]:
        associate(program / f"{name}_asn.json", f"{name}_rate.fits", ["sky_rate.fits"])
    wide = dither(program, "w", 5, 9, EXP_TYPE="NRC_WFSS", INSTRUME="NIRCAM")
    associate(program / "w_asn.json", wide.name)
    without = bkgflow.plan("program", "without")
    plan = bkgflow.plan("program", "out", backgrounds="dithers")
    units = {unit.name: unit for unit in plan.units}
    assert set(units) == {*(f"{name}_rate.fits" for name in NAMES[:3]), "w_rate.fits"}
    assert "its own 1 background member is not used" in notes(units["a_rate.fits"])
    [kept] = [unit for unit in without.units if unit.name == "w_rate.fits"]
    assert units["w_rate.fits"].verdict == kept.verdict
    assert "1 product of other exposures as without dithers" in str(plan)
    assert bkgflow.run(plan, "threads", only=["[abc]_*"]).failed == []
    assert products("out") == pytest.approx(expected({"a": 1, "b": 2, "c": 4}))
    assert fits.getval("out/a_bsub.fits", "ASNTABLE") == "a_asn.json"


def test_exposures_and_lists_may_be_given(four):
    plan = bkgflow.plan(["program/[abc]_rate.fits"], "out", backgrounds="dithers")
    assert len(plan.units) == 3
    with pytest.raises(UsageError, match="bkg_list"):
        bkgflow.plan("program", "out", backgrounds="dithers", bkg_list=["program/a_rate.fits"])
    with pytest.raises(UsageError, match="min_offset must come with"):
        bkgflow.plan("program", "out", min_offset=1)
    with pytest.raises(SettingsError):
        bkgflow.plan("program", "out", backgrounds="dithers", within="soon")
    assert command("plan", "program", "--within=6h").code == 2
    with pytest.raises(PlanError, match="association"):
        bkgflow.plan("program", "out")  # a folder without associations is none, as before


def test_an_image_that_is_to_have_a_template_has_it(four):
    template = expose(four / "template.fits", 1)
    plan = bkgflow.plan(
        "program", "out", backgrounds="dithers", override_bkg=template, allow_mismatch="filter"
    )
    assert {unit.kind for unit in plan.units} <= {"template", ""}
    assert "4 products of other exposures as without dithers" in str(plan)
    assert not any("dithers" in notes(unit) for unit in plan.units)


@pytest.mark.slow
def test_nods_are_the_backgrounds_that_their_associations_name(here):
    """Of NIRSpec's nods: the same units by the same keys."""
    made = simulate_nods(here / "nods", points=4, size=32)
    named = bkgflow.plan(made.folder, "out")
    chosen = bkgflow.plan(list(map(str, made.exposures)), "out", backgrounds="dithers")
    assert {unit.shared for unit in named.units} == {unit.shared for unit in chosen.units}
    assert [unit.key for unit in named.units] == [unit.key for unit in chosen.units]


@pytest.mark.slow
def test_cubes_are_each_others_background(here):
    for i in range(3):
        path = here / "program" / f"{i}_rateints.fits"
        numbers = {"PROGRAM": "01345", "OBSERVTN": "001", "VISIT": "001", "EXPOSURE": f"{i}"}
        expose_many(path, np.full((2, 6, 6), 10.0**i, np.float32), **numbers)
    plan = bkgflow.plan("program", "out", backgrounds="dithers")
    assert bkgflow.run(plan, "threads").ok
    assert fits.getdata("out/2_bsubints.fits").shape == (2, 6, 6)
    assert products("out")["2_bsubints.fits"] == pytest.approx(100 - 5.5)


@pytest.mark.slow
def test_imprints_of_the_others_are_subtracted_from_them(here):
    program = here / "program"
    program.mkdir()
    for i in range(1, 4):
        for name, value in (("t", 10.0 * i), ("leak", float(i))):
            model = nirspec(np.full((4, 4), value), observation="001", position=i)
            model.meta.observation.program_number = "01345"
            model.meta.observation.visit_number = "001"
            model.meta.observation.exposure_number = f"{i + (4 if name == 'leak' else 0)}"
            model.meta.dither.position_number = i
            save_as(program / f"{name}{i}_rate.fits", model)
        associate(
            program / f"{i}_asn.json", f"t{i}_rate.fits",
            others=[(f"leak{i}_rate.fits", "imprint")], asn_type="spec2",
        )  # fmt: skip
    plan = bkgflow.plan("program", "out", backgrounds="dithers")
    assert bkgflow.run(plan, "threads").ok
    assert products("out")["t3_bsub.fits"] == pytest.approx(27 - (9 + 18) / 2)


@pytest.mark.slow
def test_a_second_plan_takes_pointings_and_times_from_the_facts_that_are_kept(four):
    arguments = {"backgrounds": "dithers", "min_offset": 1.5, "within": "3h", "at_least": 1}
    first = bkgflow.plan("program", "out", **arguments)
    assert bkgflow.run(first, "threads").ok
    assert (four / "out" / "bkgflow-facts.jsonl").exists()
    second = bkgflow.plan("program", "out", **arguments)
    assert [unit.key for unit in second.units] == [unit.key for unit in first.units]
    assert bkgflow.choices(second).summary().startswith("0 ") or not any(
        each.do for each in bkgflow.choices(second).units
    )


@pytest.mark.slow
def test_a_model_says_of_itself_what_its_file_says(four):
    path = four / "program" / "c_rate.fits"
    with open_model(path) as model:
        assert model_facts(model, "model").taken == inspect(path).taken
    assert inspect(path).taken.pointings[0] == ("RA_REF", 10.0, pytest.approx(2 / 3600))


# Associations.


def keys(plan):
    """What the units of a plan are made of, but for words about those that are skipped."""
    return {
        unit.name: unit.key.without("skipped because") if unit.verdict.to_do else unit.verdict.state
        for unit in plan.units
    }


@pytest.mark.slow
@pytest.mark.parametrize("beside", [True, False], ids=["beside", "elsewhere"])
@pytest.mark.parametrize("options", [{}, {"min_offset": 1.5}])
def test_associations_have_the_backgrounds_that_a_plan_from_dithers_has(four, beside, options):
    dither(four / "program", "e", 16, 5, FILTER="F1500W")
    dither(four / "program", "f", 32, 6, FILTER="F1500W")
    dither(four / "program", "g", 64, 7, dec=9, FILTER="F1500W")
    folder = "program" if beside else "asn"
    made = bkgflow.associate("program", folder, **options)
    assert len(made.files) == 2
    chosen = bkgflow.plan("program", "a", backgrounds="dithers", **options)
    named = bkgflow.plan(folder, "b")
    assert keys(named) == keys(chosen)
    assert {each.digest for each in named.shared} == {each.digest for each in chosen.shared}
    assert bkgflow.run(chosen, "threads").ok and bkgflow.run(named, "threads").ok
    assert products("a") == products("b")
    # They are a program like any other, and made again from it as they were.
    again = bkgflow.associate(folder, folder, **options)
    assert str(again).count("(unchanged)") == 2


@pytest.mark.slow
def test_the_pipeline_reads_the_associations(four):
    from jwst.associations import load_asn
    from jwst.associations.lib.rules_level2_base import DMSLevel2bBase
    from jwst.associations.load_as_asn import LoadAsLevel2Asn
    from jwst.associations.registry import AssociationRegistry

    ended = command("associate", "program", "--from-dithers", "--output=program", "--min-offset=.5")
    assert ended.code == 0
    [path] = (four / "program").glob("*_asn.json")
    assert path.name == "jw01345-a3001_mirimage_f770w_full_image2_asn.json"
    assert f"{path} (written): 4 products" in ended.out
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with path.open() as stream:
            loaded = load_asn(stream)
    assert loaded["asn_type"] == "image2"
    with path.open() as stream:
        assert AssociationRegistry(include_default=True).validate(json.load(stream))
    level2 = LoadAsLevel2Asn.load(str(path))
    assert isinstance(level2, DMSLevel2bBase)
    for product in level2["products"]:
        kinds = [member["exptype"] for member in product["members"]]
        assert kinds == ["science", *["background"] * 3]
        assert all((path.parent / member["expname"]).is_file() for member in product["members"])


def test_the_rules_of_associations_are_the_pipelines(here):
    from jwst.associations.registry import AssociationRegistry

    known = AssociationRegistry(include_default=True)
    assert {rule for _, rule in DITHERED.values()} <= set(known)


@pytest.mark.slow
def test_the_pipelines_step_gives_the_same_with_the_associations(here):
    from jwst.associations import load_asn
    from jwst.background.background_step import BackgroundStep

    made = simulate_dithers(here / "program", points=4, size=24, seed=3)
    [path] = bkgflow.associate(made.folder, made.folder).files
    plan = bkgflow.plan(made.folder, "out", backgrounds="dithers")
    assert bkgflow.run(plan, "threads").ok
    with path.open() as stream:
        product = load_asn(stream)["products"][1]
    members = [str(made.folder / member["expname"]) for member in product["members"]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = BackgroundStep.call(members[0], members[1:])
    ours = fits.open(f"out/{product['name']}_bsub.fits")
    np.testing.assert_allclose(ours["SCI"].data, theirs.data, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(ours["DQ"].data, theirs.dq)


def test_nothing_is_written_over_unasked(four):
    bkgflow.associate("program", "asn")
    [path] = (four / "asn").iterdir()
    before = path.read_text()
    with pytest.raises(OutputError, match="overwrite"):
        bkgflow.associate("program", "asn", min_offset=1.5)
    assert path.read_text() == before
    ended = command(
        "associate", "program", "--from-dithers", "--output=asn", "--min-offset=1.5", "--overwrite"
    )
    assert ended.code == 0
    assert "(written over): 4 products, 2 of them without backgrounds" in ended.out
    assert path.read_text() != before


def test_a_program_without_dithers_cannot_be_associated(here):
    dither(here / "program", "a", 1, 1)
    dither(here / "program", "b", 1, 2, FILTER="F1500W")
    with pytest.raises(PlanError) as caught:
        bkgflow.associate("program", "asn")
    assert "at_least" in caught.value.cure
    assert "0 other exposures of its group" in caught.value.value
    assert not (here / "asn").exists()
    (here / "empty").mkdir()
    assert command("associate", "empty", "--from-dithers", "--output=asn").code == 2
    ended = command("associate", "program", "--output=asn")
    assert ended.code == 2
    assert "--from-dithers" in ended.err


@pytest.mark.slow
def test_what_is_in_no_association_is_said(four):
    (four / "program" / "bad_rate.fits").write_bytes(b"SIMPLE  =")
    dither(four / "program", "w", 5, 9, EXP_TYPE="NRC_WFSS", INSTRUME="NIRCAM")
    fits.delval(dither(four / "program", "x", 5, 10), "RA_REF", ext=1)
    said = str(bkgflow.associate("program", "asn", min_offset=0.5))
    assert "4 products" in said
    assert "bad_rate.fits" in said
    assert "w_rate.fits" in said
    assert "x_rate.fits" in said


@pytest.mark.parametrize("program", ["/../../../own", "../../up", "a b*c", "1" * 300])
def test_an_association_is_written_into_its_folder_whatever_headers_say(here, program):
    for number in (1, 2, 3):
        dither(here / "program", f"d{number}", number, number, PROGRAM=program)
    (here / "below" / "asn").mkdir(parents=True)
    [path] = bkgflow.associate("program", "below/asn").files
    assert [*(here / "below" / "asn").iterdir()] == [path.path]
    assert not {*"/ *."} & {*path.name.removesuffix("_asn.json")} and len(path.name) < 230
    assert bkgflow.plan("below/asn", "out").counts() == {"PLANNED": 3}


@pytest.mark.slow
def test_an_exposure_that_comes_later_is_grouped_or_named(four):
    """Also where the associations lie beside the exposures."""
    bkgflow.associate("program", "program")
    dither(four / "program", "later", 16, 5)
    plan = bkgflow.plan("program", "out")
    assert len(plan.units) == 4
    [passed] = [each for each in plan.passed_over if each.location.name == "later_rate.fits"]
    assert "bkgflow associate" in passed.reason and "--overwrite" in passed.reason
    assert "later_rate.fits" in str(plan)
    grouped = bkgflow.plan("program", "out", backgrounds="dithers")
    assert grouped.counts() == {"PLANNED": 5}
    with pytest.raises(OutputError, match="overwrite"):
        bkgflow.associate("program", "program")
    made = bkgflow.associate("program", "program", overwrite=True)
    assert "(written over): 5 products" in str(made)
    assert keys(bkgflow.plan("program", "out")) == keys(grouped)


def test_associations_of_another_choice_are_named(four):
    [old] = bkgflow.associate("program", "program").files
    choice = {"narrower": "visit", "min_offset": 1.5}
    [new] = bkgflow.associate("program", "program", **choice).files
    assert old != new
    said = str(bkgflow.associate("program", "program", **choice))
    assert f"{old}, of an earlier bkgflow associate, is still there" in said
    assert "(unchanged)" in said and str(new) in said
    units = bkgflow.plan("program", "out").units
    [cure] = {unit.verdict.error.cure for unit in units if unit.verdict.error is not None}
    assert "remove what is out of date" in cure


def test_exposures_by_other_names_are_asked_for(four):
    for path in (four / "program").iterdir():
        path.rename(path.with_name(path.name.replace("_rate", "")))
    for made in (bkgflow.associate, bkgflow.plan):
        given = {"backgrounds": "dithers"} if made is bkgflow.plan else {}
        with pytest.raises(
            PlanError, match=r"called so \(_rate\.fits, _rateints\.fits\)"
        ) as caught:
            made("program", "asn", **given)
        assert "FOLDER/*.fits" in caught.value.cure
    assert len(bkgflow.plan(["program/*.fits"], "out", backgrounds="dithers").units) == 4


def test_exposures_of_one_name_are_told_by_their_folders(four):
    (four / "program" / "below").mkdir()
    dither(four / "program" / "below", "a", 16, 5)
    plan = bkgflow.plan("program", "out", backgrounds="dithers")
    wrong = [unit.verdict.error for unit in plan.units if unit.verdict.error is not None]
    assert len(wrong) == 2
    for error in wrong:
        assert "program/a_rate.fits" in error.value and "program/below/a_rate.fits" in error.value
        assert "another name" in error.cure


def test_what_is_there_and_no_text_is_refused_or_written_over(four):
    [path] = bkgflow.associate("program", "asn").files
    path.path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OutputError, match="written over unasked"):
        bkgflow.associate("program", "asn")
    assert "(written over)" in str(bkgflow.associate("program", "asn", overwrite=True))
