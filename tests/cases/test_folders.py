"""Program folders as the archive, the association generator and people leave them."""

import codecs
import errno
import json
import os
import shutil

import pytest
import yaml

import bkgflow
from tests.helpers.program_folders import (
    associate,
    association,
    command,
    expose,
    products,
    result,
    run,
)

pytestmark = pytest.mark.slow

LEVEL_3 = ("image3", "spec3", "tso3", "coron3", "ami3", "wfs-image3", "wfss-3", "IMAGE3")


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A folder with a target of 100 and a background of 10, and nothing that names them."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "program"
    expose(folder / "t_rate.fits", 100)
    expose(folder / "b_rate.fits", 10)
    return folder


def passed_over(output):
    return {each["file"].rpartition("/")[2]: each for each in result(output)["passed_over"]}


# What is an association.


@pytest.mark.parametrize("calibrated", [False, True])
def test_level_3_associations_are_set_aside_with_one_note(program, tmp_path, calibrated):
    associate(program / "jw01234-o001_image2_00001_asn.json", "t_rate.fits", ["b_rate.fits"])
    if calibrated:
        expose(program / "t_cal.fits", 7)
    for number, kind in enumerate(LEVEL_3):
        path = program / f"jw01234-o001_{kind}_{number:05d}_asn.json"
        associate(path, "t_cal.fits", asn_type=kind, asn_rule="Asn_Lv3Image")
    ended = run(program, tmp_path / "out")
    assert ended.code == 0
    assert products(tmp_path / "out") == {"t_bsub.fits": 90}
    notes = [line for line in ended.out.splitlines() if "passed over" in line]
    assert len(notes) == 1
    assert f"{len(LEVEL_3)} files" in notes[0] and "level 3" in notes[0]
    assert len(result(tmp_path / "out")["passed_over"]) == len(LEVEL_3)


@pytest.mark.parametrize("kind", ["user_built", "None", None])
def test_level_3_is_told_by_its_exposures_where_nothing_else_says_so(program, tmp_path, kind):
    associate(program / "t_asn.json", "t_rate.fits", ["b_rate.fits"], asn_type=kind)
    for rule in ("DMS_Level3_Base", "", "candidate_Asn_Lv3Image"):
        content = association("t_cal.fits", (), [("u_cal.fits", "science")])
        content |= {"asn_type": kind, "asn_rule": rule}
        (program / f"3{rule}_asn.json").write_text(json.dumps(content))
    assert run(program, tmp_path / "out").code == 0
    assert products(tmp_path / "out") == {"t_bsub.fits": 90}
    assert len(result(tmp_path / "out")["passed_over"]) == 3


def test_uncalibrated_exposures_under_a_level_3_rule_are_not_lost(program, tmp_path):
    """The generator's tool makes level-3 associations unless it is told otherwise."""
    associate(program / "t_asn.json", "t_rate.fits", ["b_rate.fits"], asn_rule="DMS_Level3_Base",
              asn_type="None")  # fmt: skip
    assert run(program, tmp_path / "out").code == 0
    assert products(tmp_path / "out") == {"t_bsub.fits": 90}


def test_a_program_of_level_3_alone_says_so(program, tmp_path):
    path = associate(program / "x_asn.json", "t_cal.fits", asn_type="image3")
    for given in (program, path):
        ended = run(given, tmp_path / "out")
        assert ended.code == 2
        assert "level 3" in ended.err and "level 2" in ended.err
    ended = command("subtract", path)
    assert ended.code == 1
    assert "level 3" in ended.err


@pytest.mark.parametrize("kind", ["image2", "spec2", "tso-image2", "tso-spec2", "wfs-image2",
                                  "nrslamp-spec2", "user_built", ""])  # fmt: skip
def test_every_association_of_level_2_is_handled(program, tmp_path, kind):
    associate(program / "x_asn.json", "t_rate.fits", asn_type=kind)
    ended = run(program, tmp_path / "out")
    assert ended.code == 0
    assert result(tmp_path / "out")["counts"] == {"SKIPPED": 1}
    assert products(tmp_path / "out") == {"t_bsub.fits": 100}


@pytest.mark.parametrize("name", ["l2asn.json", "n_l2asn.json", "nircam1_f444w.json", "X.JSON"])
def test_any_json_that_is_an_association_is_read(program, tmp_path, name):
    expose(program / "u_rate.fits", 50)
    associate(program / "t_asn.json", "t_rate.fits", ["b_rate.fits"])
    associate(program / name, "u_rate.fits", ["b_rate.fits"])
    assert run(program, tmp_path / "out").code == 0
    assert products(tmp_path / "out") == {"t_bsub.fits": 90, "u_bsub.fits": 40}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_a_byte_order_mark_is_read(program, tmp_path, encoding):
    text = json.dumps(association("t_rate.fits", ["b_rate.fits"]))
    path = program / "t_asn.json"
    path.write_text(text, encoding=encoding)
    assert encoding == "utf-16-le" or path.read_bytes()[:2] in (codecs.BOM_UTF16, b"\xef\xbb")
    assert run(program, tmp_path / "out").code == 0
    assert products(tmp_path / "out") == {"t_bsub.fits": 90}


@pytest.mark.parametrize("form", ["trailing comma", "x_asn.yaml", "some.yml"])
def test_what_the_reference_step_reads_as_yaml_is_read_with_a_note(program, tmp_path, form):
    content = association("t_rate.fits", ["b_rate.fits"])
    if form == "trailing comma":
        (program / "x.json").write_text(json.dumps(content).replace("}]", "},]"))
    else:
        (program / form).write_text(yaml.safe_dump(content))
    assert run(program, tmp_path / "out").code == 0
    assert products(tmp_path / "out") == {"t_bsub.fits": 90}
    [unit] = result(tmp_path / "out")["units"]
    assert any("YAML" in note for note in unit["notes"])


def test_hidden_files_are_ignored(program, tmp_path):
    associate(program / "t_asn.json", "t_rate.fits", ["b_rate.fits"])
    (program / "._t_asn.json").write_bytes(b"\0\5\26\7\0\2")
    (program / ".t_asn.json").write_text("nonsense")
    associate(program / ".ipynb_checkpoints" / "t_asn.json", "t_rate.fits", ["c_rate.fits"])
    associate(program / "__MACOSX" / "._u_asn.json", "t_rate.fits")
    ended = run(program, tmp_path / "out")
    assert ended.code == 0
    assert "passed over" not in ended.out
    assert products(tmp_path / "out") == {"t_bsub.fits": 90}


def test_other_files_are_passed_over_and_named_with_the_reason(program, tmp_path):
    associate(program / "t_asn.json", "t_rate.fits", ["b_rate.fits"])
    (program / "notes.json").write_text('{"author": "me"}')
    (program / "list.json").write_text("[1, 2]")
    (program / "half.json").write_text('{"products": ')
    (program / "products.json").write_text('{"products": ["a cup", "a plate"]}')
    (program / "setup.yml").write_text("a: 1\n")
    assert run(program, program / "first").code == 0
    bkgflow.plan(program, tmp_path / "out").save(program / "plan.json")
    ended = run(program, tmp_path / "out")
    assert ended.code == 0
    named = passed_over(tmp_path / "out")
    assert set(named) == {"notes.json", "list.json", "half.json", "products.json", "setup.yml",
                          "plan.json", "bkgflow-run.json", "bkgflow-campaign.json"}  # fmt: skip
    assert "no products" in named["notes.json"]["reason"]
    assert "cannot be read" in named["half.json"]["reason"]
    assert "a plan of bkgflow" in named["plan.json"]["reason"]
    assert "the result of a run" in named["bkgflow-run.json"]["reason"]
    assert "a campaign of bkgflow" in named["bkgflow-campaign.json"]["reason"]
    log = (tmp_path / "out" / "bkgflow.log").read_text()
    plan = bkgflow.plan(program, tmp_path / "out")
    table = command("plan", program).out
    for name, each in named.items():
        assert f"passed over {name}: {each['reason']}" in log
    assert "passed over half.json" in table and "passed over half.json" in str(plan)
    assert {each.location.name for each in plan.passed_over} == set(named)
    plan.save(tmp_path / "plan.json")
    assert bkgflow.Plan.load(tmp_path / "plan.json") == plan


@pytest.mark.parametrize("name", ["x_asn.json", "l2asn.json", "nircam.json"])
def test_an_association_that_cannot_be_read_is_an_error(program, tmp_path, name):
    """By its name, or by its words: it is not passed over."""
    associate(program / "t_asn.json", "t_rate.fits", ["b_rate.fits"])
    whole = json.dumps(association("b_rate.fits"))
    (program / name).write_text(whole[: len(whole) - 3])
    ended = run(program, tmp_path / "out")
    assert ended.code == 1
    assert name in ended.out and "must be JSON" in ended.out
    assert products(tmp_path / "out") == {"t_bsub.fits": 90}


def test_a_subfolder_that_may_not_be_read_is_noted(program, tmp_path, monkeypatch):
    associate(program / "t_asn.json", "t_rate.fits", ["b_rate.fits"])
    (program / "private").mkdir()
    scandir = os.scandir

    def guarded(path):
        if str(path).endswith("private"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    ended = run(program, tmp_path / "out")
    assert ended.code == 0
    assert "passed over private: it may not be read (Permission denied)" in ended.out
    assert products(tmp_path / "out") == {"t_bsub.fits": 90}


@pytest.mark.parametrize("where", ["out", "stage2/out", "."])
def test_products_and_results_inside_of_the_program_disturb_nothing(program, where):
    associate(program / "t_asn.json", "t_rate.fits", ["b_rate.fits"])
    for _ in range(3):
        assert run(program, program / where).code == 0
        assert products(program / where) == {"t_bsub.fits": 90}


def test_an_exposure_instead_of_an_association_has_a_clear_word(program):
    for call in ("plan", "run"):
        ended = command(call, program / "t_rate.fits", "--output=out")
        assert ended.code == 1
        assert "without its association must come with backgrounds" in ended.out
        assert "--bkg-list" in ended.out
    renamed = program / "t_asn.json"
    renamed.write_bytes((program / "t_rate.fits").read_bytes())
    ended = command("plan", renamed, "--output=out")
    assert ended.code == 1
    assert "an exposure (FITS)" in ended.out


# Which association an exposure belongs to.


@pytest.mark.parametrize("first", ["o001", "c1001"])
def test_the_candidate_with_the_background_wins_and_the_other_is_noted(program, tmp_path, first):
    """In whatever order the files lie."""
    names = {"o001": (), "c1001": ["b_rate.fits"]}
    for number, (candidate, backgrounds) in enumerate(names.items()):
        order = "a" if candidate == first else "b"
        associate(program / f"{order}{number}_{candidate}_asn.json", "t_rate.fits", backgrounds,
                  asn_id=candidate)  # fmt: skip
    ended = run(program, tmp_path / "out")
    assert ended.code == 0
    assert products(tmp_path / "out") == {"t_bsub.fits": 90}
    [(name, each)] = passed_over(tmp_path / "out").items()
    assert "o001" in name and "c1001" in each["instead"]
    assert each["reason"] == "it has no background"
    [unit] = result(tmp_path / "out")["units"]
    assert any(name in note for note in unit["notes"])
    assert f"passed over {name}" in ended.out


@pytest.mark.parametrize("again", [0, 1])
def test_of_two_dates_of_an_association_the_newest_wins_and_the_older_is_noted(
    program, tmp_path, again
):
    """Numbers within a candidate may change from one date to the next."""
    expose(program / "c_rate.fits", 30)
    old, new = (
        f"jw01234-o001_20240{month}01t000000_image2_0000{1 + again * (month == 6)}_asn.json"
        for month in (1, 6)
    )
    associate(program / old, "t_rate.fits", ["c_rate.fits"], asn_id="o001")
    associate(program / new, "t_rate.fits", ["b_rate.fits"], asn_id="o001")
    assert run(program, tmp_path / "out").code == 0
    assert products(tmp_path / "out") == {"t_bsub.fits": 90}
    [(name, each)] = passed_over(tmp_path / "out").items()
    assert (name, each["reason"], each["instead"]) == (old, "it is older", new)


def test_a_newer_date_does_not_win_over_the_background_of_another_candidate(program, tmp_path):
    associate(program / "jw01234-o001_20240601t000000_image2_00001_asn.json", "t_rate.fits")
    associate(program / "jw01234-c1001_20240101t000000_image2_00001_asn.json", "t_rate.fits",
              ["b_rate.fits"])  # fmt: skip
    assert run(program, tmp_path / "out").code == 0
    assert products(tmp_path / "out") == {"t_bsub.fits": 90}


def test_an_exposure_that_only_the_older_association_has_is_not_lost(program, tmp_path):
    old = association("t_rate.fits", ["b_rate.fits"])
    expose(program / "u_rate.fits", 50)
    old["products"] += association("u_rate.fits", ["b_rate.fits"])["products"]
    path = program / "jw01234-o001_20240101t000000_image2_00001_asn.json"
    path.write_text(json.dumps(old))
    associate(program / "jw01234-o001_20240601t000000_image2_00001_asn.json", "t_rate.fits",
              ["b_rate.fits"])  # fmt: skip
    assert run(program, tmp_path / "out").code == 0
    assert products(tmp_path / "out") == {"t_bsub.fits": 90, "u_bsub.fits": 40}
    [each] = passed_over(tmp_path / "out").values()
    assert each["exposures"] == ["t_rate.fits"]


def test_a_candidate_with_all_members_of_another_and_more_wins(program, tmp_path):
    expose(program / "c_rate.fits", 30)
    associate(program / "jw01234-c1002_image2_00001_asn.json", "t_rate.fits", ["b_rate.fits"])
    associate(program / "jw01234-c1001_image2_00001_asn.json", "t_rate.fits",
              ["b_rate.fits", "c_rate.fits"])  # fmt: skip
    assert run(program, tmp_path / "out").code == 0
    assert products(tmp_path / "out") == {"t_bsub.fits": 80}


def test_a_candidate_with_a_background_wins_over_the_nods_of_an_observation(program, tmp_path):
    expose(program / "nod_rate.fits", 30)
    for candidate, background in (("o001", "nod_rate.fits"), ("c1001", "b_rate.fits")):
        associate(program / f"jw01234-{candidate}_spec2_00001_asn.json", "t_rate.fits",
                  [background], asn_type="spec2", asn_id=candidate)  # fmt: skip
    assert run(program, tmp_path / "out").code == 0
    assert products(tmp_path / "out") == {"t_bsub.fits": 90}


@pytest.mark.parametrize("second", [["c_rate.fits"], ["b_rate.fits", "c_rate.fits"]])
def test_where_nothing_decides_both_are_named_and_none_is_done(program, tmp_path, second):
    """Of two that somebody made, not even more members say which one is meant."""
    expose(program / "c_rate.fits", 30)
    associate(program / "1_asn.json", "t_rate.fits", ["b_rate.fits"])
    associate(program / "2_asn.json", "t_rate.fits", second)
    ended = run(program, tmp_path / "out")
    assert ended.code == 1
    assert "1_asn.json, 2_asn.json" in ended.out
    assert products(tmp_path / "out") == {}


def test_a_missing_background_of_the_winner_is_said_and_nothing_goes_without(program, tmp_path):
    associate(program / "jw01234-o001_image2_00001_asn.json", "t_rate.fits")
    associate(program / "jw01234-c1001_image2_00001_asn.json", "t_rate.fits", ["gone_rate.fits"])
    ended = run(program, tmp_path / "out")
    assert ended.code == 1
    assert "gone_rate.fits" in ended.out
    assert products(tmp_path / "out") == {}


def test_a_program_that_was_fetched_twice_is_done_once(program, tmp_path):
    associate(program / "t_asn.json", "t_rate.fits", ["b_rate.fits"])
    shutil.copytree(program, tmp_path / "both" / "first")
    shutil.copytree(program, tmp_path / "both" / "again", copy_function=shutil.copyfile)
    assert run(tmp_path / "both", tmp_path / "out").code == 0
    assert products(tmp_path / "out") == {"t_bsub.fits": 90}
    [each] = result(tmp_path / "out")["passed_over"]
    assert each["reason"] == "it asks for the same once more"


def test_other_exposures_of_the_same_name_are_not_mixed_up(program, tmp_path):
    associate(program / "t_asn.json", "t_rate.fits", ["b_rate.fits"])
    shutil.copytree(program, tmp_path / "both" / "first")
    shutil.copytree(program, tmp_path / "both" / "again")
    expose(tmp_path / "both" / "again" / "t_rate.fits", 55)
    ended = run(tmp_path / "both", tmp_path / "out")
    assert ended.code == 1
    assert "Every unit" in ended.out
    assert products(tmp_path / "out") == {}
