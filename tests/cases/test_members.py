"""Where the members of associations are looked for, and where they are not."""

import os
import shutil
import time
from pathlib import Path

import pytest

import bkgflow
from bkgflow.errors import FileError
from bkgflow.programs.program import load_program
from tests.helpers.program_folders import (
    associate,
    command,
    expose,
    pair,
    products,
    result,
    run,
)
from tests.helpers.slitless import MODES, exposure


def expose_slitless(path, catalog=None):
    """Write a slitless exposure with a WCS, which it must have to use a catalog."""
    path.parent.mkdir(exist_ok=True)
    with exposure(MODES["NIS-R"], (6, 6)) as model:
        model.meta.source_catalog = catalog
        model.save(str(path))


@pytest.mark.slow
def test_absolute_paths_are_read(here):
    target, background = pair(here / "elsewhere")
    associate(here / "program" / "x_asn.json", target, [background])
    assert run("program", "out").code == 0
    assert products("out") == {"t_bsub.fits": 90}
    with bkgflow.subtract("program/x_asn.json") as model:
        assert model.data[0, 0] == 90


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["/old/machine/t_rate.fits", r"C:\data\t_rate.fits", "old/t_rate.fits"]
)
def test_a_path_of_another_machine_leads_to_the_file_beside_the_association(here, name):
    pair(here / "program")
    associate(here / "program" / "x_asn.json", name, ["b_rate.fits"])
    assert run("program", "out").code == 0
    assert products("out") == {"t_bsub.fits": 90}
    [unit] = result("out")["units"]
    absolute = name[0] != "o"
    assert absolute == any("is not there" in note for note in unit["notes"])


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["../stage1/", "../program/../stage1/", "stage1/", "./stage1/"])
def test_paths_count_from_the_association_or_from_the_working_folder(here, prefix):
    pair(here / "stage1")
    associate(here / "program" / "x_asn.json", f"{prefix}t_rate.fits", [f"{prefix}b_rate.fits"])
    assert run("program/x_asn.json", "out").code == 0
    assert products("out") == {"t_bsub.fits": 90}
    [unit] = result("out")["units"]
    assert unit["target"] == str(here / "stage1" / "t_rate.fits")


@pytest.mark.slow
def test_an_association_in_the_folder_that_its_members_name(here):
    pair(here / "stage1")
    associate(here / "stage1" / "x_asn.json", "stage1/t_rate.fits", ["stage1/b_rate.fits"])
    for program in ("stage1", "stage1/x_asn.json"):
        assert run(program, "out").code == 0
        assert products("out") == {"t_bsub.fits": 90}


@pytest.mark.parametrize("below", ["", "deep/er"])
@pytest.mark.parametrize("call", ["plan", "run", "subtract"])
def test_data_folders_are_searched_by_name_and_below(here, below, call):
    pair(here / "data" / below)
    path = associate(here / "program" / "x_asn.json", "t_rate.fits", ["b_rate.fits"])
    (here / "empty").mkdir()
    options = ["--data", "empty", "--data=data"]
    if call == "plan":
        ended = command("plan", "program", *options)
        assert "1 to do" in ended.out
    elif call == "run":
        ended = run("program", "out", *options)
        assert products("out") == {"t_bsub.fits": 90}
    else:
        ended = command("subtract", path, *options)
        assert products(here) == {"t_bsub.fits": 90}
    assert ended.code == 0


@pytest.mark.slow
def test_the_places_come_in_order(here):
    """Beside, data in its order, the program's folders, the working folder."""
    expose(here / "background" / "b_rate.fits", 10)
    places = ["program/asn", "data1/x", "data2", "program/other", "."]
    for number, place in enumerate(places, start=2):
        expose(here / place / "t_rate.fits", 10 + number)
    associate(
        here / "program" / "asn" / "x_asn.json", "t_rate.fits", ["../../background/b_rate.fits"]
    )
    for number, place in enumerate(places, start=2):
        assert run("program", "out", "--data=data1", "--data=data2").code == 0
        assert products("out") == {"t_bsub.fits": number}
        (here / place / "t_rate.fits").unlink()
    ended = run("program", "out", "--data=data1", "--data=data2")
    assert ended.code == 1
    for place in ("program/asn", "data1 and below", "data2 and below", "program and below", ""):
        assert str(here / place) in ended.out


@pytest.mark.slow
def test_what_archives_download_is_found_in_its_sibling_folders(here):
    top = here / "mastDownload" / "JWST"
    for name, value in (("t", 100), ("b", 10), ("c", 20)):
        stem = f"jw01234001001_02101_0000{name}_nrca1"
        expose(top / stem / f"{stem}_rate.fits", value)
    names = [f"jw01234001001_02101_0000{each}_nrca1_rate.fits" for each in "tbc"]
    associate(top / "jw01234-o001" / "jw01234-o001_image2_00001_asn.json", names[0], names[1:])
    programs = (here, here / "mastDownload", top, "mastDownload/JWST", [*top.iterdir()])
    for program in programs:
        ended = run(program, here.parent / "out")
        assert ended.code == 0
        assert products(here.parent / "out") == {names[0].replace("_rate", "_bsub"): 85}
        shutil.rmtree(here.parent / "out")


@pytest.mark.slow
def test_a_missing_member_costs_its_unit_and_says_where_it_was_looked_for(here):
    pair(here / "program")
    associate(here / "program" / "1_asn.json", "t_rate.fits", ["gone_rate.fits"])
    associate(here / "program" / "2_asn.json", "b_rate.fits", ["t_rate.fits"])
    (here / "data").mkdir()
    ended = run("program", "out", "--data=data")
    assert ended.code == 1
    assert products("out") == {"b_bsub.fits": -90}
    [error] = [unit["error"] for unit in result("out")["units"] if unit["error"]]
    assert error["file"] == str(here / "program" / "gone_rate.fits")
    for place in ("program", "data and below", "program and below"):
        assert str(here / place) in error["value"]
    assert "--data" in error["cure"]


def test_a_missing_catalog_says_where_it_was_looked_for(here):
    expose_slitless(here / "program" / "t_rate.fits")
    associate(here / "program" / "x_asn.json", "t_rate.fits", (), [("x_cat.ecsv", "sourcecat")])
    for name in ("sky.fits", "ranges.asdf"):
        shutil.copy("program/t_rate.fits", name)
    overrides = {"override_bkg": "sky.fits", "override_wavelengthrange": "ranges.asdf"}
    [unit] = bkgflow.plan("program", "out", **overrides).units
    assert "x_cat.ecsv" in unit.verdict.error.file
    assert "looked for in" in unit.verdict.error.value


@pytest.mark.slow
def test_copies_in_two_places_are_one_and_noted(here):
    for place in ("one", "two"):
        pair(here / "program" / place)
    associate(here / "program" / "asn" / "x_asn.json", "t_rate.fits", ["b_rate.fits"])
    shutil.copyfile("program/one/t_rate.fits", "program/two/t_rate.fits")
    shutil.copyfile("program/one/b_rate.fits", "program/two/b_rate.fits")
    assert run("program", "out").code == 0
    assert products("out") == {"t_bsub.fits": 90}
    [unit] = result("out")["units"]
    assert sum("is there several times" in note for note in unit["notes"]) == 2


@pytest.mark.slow
def test_different_files_of_one_name_are_an_error_that_names_both(here):
    for place, value in (("one", 100), ("two", 50)):
        expose(here / "program" / place / "t_rate.fits", value)
    expose(here / "program" / "asn" / "b_rate.fits", 10)
    associate(here / "program" / "asn" / "x_asn.json", "t_rate.fits", ["b_rate.fits"])
    ended = run("program", "out")
    assert ended.code == 1
    for place in ("one", "two"):
        assert str(here / "program" / place / "t_rate.fits") in ended.out
    assert products("out") == {}
    assert run("program", "out", "--data=program/two").code == 0
    assert products("out") == {"t_bsub.fits": 40}


@pytest.mark.slow
def test_folders_like_the_ones_that_a_member_names_come_first(here):
    for place, value in (("a/stage1", 100), ("a/stage0", 50)):
        expose(here / "program" / place / "t_rate.fits", value)
    expose(here / "program" / "asn" / "b_rate.fits", 10)
    associate(here / "program" / "asn" / "x_asn.json", "/old/stage1/t_rate.fits", ["b_rate.fits"])
    assert run("program", "out").code == 0
    assert products("out") == {"t_bsub.fits": 90}


@pytest.mark.slow
def test_links_to_folders_are_followed_and_may_lead_in_a_circle(here):
    pair(here / "archive")
    associate(here / "program" / "asn" / "x_asn.json", "t_rate.fits", ["b_rate.fits"])
    (here / "program" / "data").symlink_to(here / "archive")
    (here / "archive" / "up").symlink_to(here)
    (here / "program" / "me").symlink_to(here / "program")
    assert run("program", here.parent / "outside").code == 0
    assert products(here.parent / "outside") == {"t_bsub.fits": 90}


@pytest.mark.parametrize("option", ["--data", "--confine"])
def test_folders_that_are_not_there_are_wrong_usage(here, option):
    pair(here / "program")
    associate(here / "program" / "x_asn.json", "t_rate.fits", ["b_rate.fits"])
    for value in ("nowhere", "program/t_rate.fits"):
        ended = run("program", "out", option, value)
        assert ended.code == 2
        assert f"{option[2:]} must be a folder" in ended.err


# What must not be left.


def outside(here, how):
    """Write a program that leaves its folder, in one way; return what it names."""
    target, background = pair(here / "secret")
    folder = here / "program"
    folder.mkdir()
    match how:
        case "absolute":
            return target, background
        case "parents":
            return "../secret/t_rate.fits", "../secret/b_rate.fits"
        case "link":
            (folder / "t_rate.fits").symlink_to(target)
            (folder / "b_rate.fits").symlink_to(background)
        case "linked folder":
            (folder / "below").symlink_to(here / "secret")
            return "below/t_rate.fits", "below/b_rate.fits"
        case "found below":
            (folder / "below").symlink_to(here / "secret")
    return "t_rate.fits", "b_rate.fits"


HOWS = ["absolute", "parents", "link", "linked folder", "found below"]


@pytest.mark.slow
@pytest.mark.parametrize("how", HOWS)
def test_confine_refuses_what_leaves_its_folder(here, how):
    target, background = outside(here, how)
    associate(here / "program" / "x_asn.json", target, [background])
    assert run("program", "free").code == 0
    assert products("free") == {"t_bsub.fits": 90}
    assert run("program", "wide", "--confine=.").code == 0
    for program, call in (("program", "run"), ("program/x_asn.json", "plan")):
        ended = command(call, program, "--output=out", "--confine=program")
        assert ended.code == 1
        assert "With confine" in ended.out or "looked for in" in ended.out
    assert products("out") == {}
    with pytest.raises(FileError, match=r"With confine|looked for"):
        bkgflow.subtract("program/x_asn.json", confine="program")


def test_confine_does_not_tell_whether_a_file_outside_is_there(here):
    pair(here / "program")
    said = []
    expose(here / "secret" / "x_rate.fits", 1)
    for name in ("x", "y"):
        associate(
            here / "program" / "x_asn.json", "t_rate.fits", [here / "secret" / f"{name}_rate.fits"]
        )
        [unit] = bkgflow.plan("program", "out", confine="program").units
        said.append(unit.verdict.reason.replace(f"{name}_rate", "?_rate"))
    assert said[0] == said[1]


@pytest.mark.slow
def test_confine_holds_for_associations_lists_and_catalogs(here):
    pair(here / "secret")
    pair(here / "program")
    associate(here / "secret" / "x_asn.json", "t_rate.fits", ["b_rate.fits"])
    (here / "program" / "x_asn.json").symlink_to(here / "secret" / "x_asn.json")
    (here / "secret" / "x_cat.ecsv").touch()
    assert command("plan", "program", "--confine=program").code == 1
    assert command("plan", "secret/x_asn.json", "--confine=program").code == 1
    plan = bkgflow.plan(
        "program/t_rate.fits", "out", bkg_list="secret/b_rate.fits", confine="program"
    )
    assert "With confine" in plan.units[0].verdict.reason
    expose_slitless(here / "program" / "w_rate.fits", catalog="../secret/x_cat.ecsv")
    (here / "sky.fits").write_bytes((here / "program" / "b_rate.fits").read_bytes())
    shutil.copy("sky.fits", "ranges.asdf")
    plan = bkgflow.plan("program/w_rate.fits", "out", override_bkg="sky.fits", confine="program",
                        override_wavelengthrange="ranges.asdf")  # fmt: skip
    assert "With confine" in plan.units[0].verdict.reason
    assert "x_cat.ecsv" in plan.units[0].verdict.error.file


@pytest.mark.slow
def test_a_large_program_is_read_in_seconds(here):
    """Without asking the storage for one file after the other."""
    top, count = here / "mastDownload" / "JWST", 10_000
    names = [f"jw01234001001_{number:05d}_nrca1" for number in range(count)]
    for number, name in enumerate(names):
        (top / name).mkdir(parents=True)
        (top / name / f"{name}_rate.fits").touch()
        members = [f"{each}_rate.fits" for each in names[number - 4 : number]]
        associate(top / f"jw01234-o001_{number:05d}" / f"{number:05d}_asn.json",
                  f"{name}_rate.fits", members)  # fmt: skip
    began = time.process_time()
    program = load_program(Path("mastDownload"))
    assert time.process_time() - began < 10
    assert len(program.associations) == count
    assert not program.missing
    science = program.associations[7].products[0].science
    assert os.fspath(science) == str(top / names[7] / f"{names[7]}_rate.fits")
