"""Programs and background lists that are given otherwise than as folders."""

import json
import shutil

import numpy as np
import pytest

import bkgflow
from bkgflow.errors import PlanError, UsageError
from tests.helpers.program_folders import (
    associate,
    association,
    command,
    expose,
    pair,
    products,
    result,
    run,
)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["comma", "pattern", "home", "list", "again", "sequence", "array"])
@pytest.mark.parametrize("call", ["subtract", "run"])
def test_a_background_list_may_be_given_in_many_ways(here, monkeypatch, form, call):
    expose(here / "t_rate.fits", 100)
    for name, value in (("b1", 10), ("b2", 30)):
        expose(here / "bkg" / f"{name}_rate.fits", value)
    monkeypatch.setenv("HOME", str(here))
    (here / "lists").mkdir()
    (here / "lists" / "b.txt").write_text("# two\n\n ~/bkg/b1_rate.fits \n../bkg/b2*.fits\n")
    names = ["bkg/b1_rate.fits", "bkg/b2_rate.fits"]
    given = {
        "comma": [", ".join(names) + ","],
        "pattern": ["bkg/b?_rate.fits"],
        "home": ["~/bkg/*_rate.fits"],
        "list": ["@lists/b.txt"],
        "again": names,
        "sequence": names,
        "array": names,
    }[form]
    if form in ("sequence", "array"):
        value = tuple(given) if form == "sequence" else np.array(given)
        if call == "subtract":
            with bkgflow.subtract("t_rate.fits", value) as model:
                assert model.data[0, 0] == 80
            return
        plan = bkgflow.plan(["t_rate.fits"], "out", bkg_list=value)
        assert bkgflow.run(plan, "threads").ok
    else:
        options = [part for each in given for part in ("--bkg-list", each)]
        if call == "subtract":
            ended = command("subtract", "t_rate.fits", *options, "--output-dir=out")
        else:
            ended = run("t_rate.fits", "out", *options)
        assert ended.code == 0
    assert products("out") == {"t_bsub.fits": 80}


@pytest.mark.parametrize("name", ["none*_rate.fits", "@none.txt", "@binary.txt", "@self.txt"])
def test_patterns_and_lists_that_lead_nowhere_are_said(here, name):
    pair(here)
    (here / "binary.txt").write_bytes(b"\xff\xfe\x00")
    (here / "self.txt").write_text("@self.txt\n")
    ended = command("subtract", "t_rate.fits", f"--bkg-list={name}")
    assert ended.code == 1
    assert str(here / name.lstrip("@")) in ended.err
    assert command("plan", name).code == 2


@pytest.mark.slow
def test_programs_are_given_as_patterns_lists_and_in_the_home_folder(here, monkeypatch):
    monkeypatch.setenv("HOME", str(here))
    for number in (1, 2):
        pair(here / f"program{number}")
        (here / f"program{number}" / "t_rate.fits").rename(
            here / f"program{number}" / f"t{number}_rate.fits"
        )
        associate(here / f"program{number}" / "x_asn.json", f"t{number}_rate.fits", ["b_rate.fits"])
    (here / "all.txt").write_text("program1\nprogram2/x_asn.json\n")
    for program in ("program?", "~/program*", "@all.txt", ["program1", "~/program2"],
                    "program*/*_asn.json", "**/x_asn.json"):  # fmt: skip
        assert run(program, "~/out").code == 0
        assert products(here / "out") == {"t1_bsub.fits": 90, "t2_bsub.fits": 90}
        shutil.rmtree(here / "out")
    assert not (here / "~").exists()


def test_a_name_that_is_there_is_meant_itself(here):
    expose(here / "t[1]_rate.fits", 100)
    expose(here / "@b_rate.fits", 10)
    assert command("subtract", "t[1]_rate.fits", "--bkg-list=@b_rate.fits").code == 0
    assert products(here) == {"t[1]_bsub.fits": 90}


@pytest.mark.slow
def test_exposures_with_a_list_of_backgrounds_are_a_program(here):
    for name, value in (("t1", 100), ("t2", 50), ("b1", 10), ("b2", 30)):
        expose(here / f"{name}_rate.fits", value)
    assert run("t?_rate.fits", "out", "--bkg-list=b?_rate.fits").code == 0
    assert products("out") == {"t1_bsub.fits": 80, "t2_bsub.fits": 30}
    plan = bkgflow.plan(["t1_rate.fits", "t2_rate.fits"], "again", bkg_list=["b1_rate.fits"])
    assert len(plan.shared) == 1
    assert bkgflow.run(plan, "threads").ok
    assert products("again") == {"t1_bsub.fits": 90, "t2_bsub.fits": 40}


@pytest.mark.slow
def test_each_of_several_targets_has_the_others_of_a_list_that_holds_it(here):
    for number in (1, 2, 3):
        expose(here / f"t{number}_rate.fits", 10 * number)
    assert run("t?_rate.fits", "out", "--bkg-list=t?_rate.fits").code == 0
    assert products("out") == {"t1_bsub.fits": -15, "t2_bsub.fits": 0, "t3_bsub.fits": 15}
    assert all("in bkg_list itself" in unit["notes"][0] for unit in result("out")["units"])
    ended = run("t1_rate.fits", "alone", "--bkg-list=t?_rate.fits")
    assert ended.code == 1
    assert "own background" in ended.out


@pytest.mark.slow
def test_a_list_serves_products_without_backgrounds_of_their_own(here):
    pair(here)
    expose(here / "u_rate.fits", 50)
    expose(here / "c_rate.fits", 20)
    associate(here / "1_asn.json", "t_rate.fits", ["b_rate.fits"])
    associate(here / "2_asn.json", "u_rate.fits")
    assert run(["1_asn.json", "2_asn.json"], "out", "--bkg-list=c_rate.fits").code == 0
    assert products("out") == {"t_bsub.fits": 90, "u_bsub.fits": 30}
    assert any("not bkg_list" in note for unit in result("out")["units"] for note in unit["notes"])


@pytest.mark.slow
def test_associations_are_given_as_mappings(here):
    from jwst.associations.asn_from_list import asn_from_list
    from jwst.associations.lib.rules_level2_base import DMSLevel2bBase
    from jwst.associations.load_as_asn import LoadAsLevel2Asn

    pair(here)
    plain = association("t_rate.fits", ["b_rate.fits"])
    made = asn_from_list(["t_rate.fits"], rule=DMSLevel2bBase, product_name="t")
    made["products"][0]["members"].append({"expname": "b_rate.fits", "exptype": "background"})
    path = associate(here / "x_asn.json", "t_rate.fits", ["b_rate.fits"])
    for given in (plain, made, LoadAsLevel2Asn.load(str(path)), [plain]):
        assert bkgflow.run(bkgflow.plan(given, "out"), "threads").ok
        assert products("out") == {"t_bsub.fits": 90}
        if given is not plain and not isinstance(given, list):
            with bkgflow.subtract(given) as model:
                assert model.data[0, 0] == 90
        shutil.rmtree("out")
    with pytest.raises(PlanError, match="level 3"):
        bkgflow.plan(plain | {"asn_type": "image3"}, "out")


def test_a_background_list_of_a_program_names_files(here):
    pair(here)
    with pytest.raises(UsageError, match="must name files"):
        bkgflow.plan("t_rate.fits", "out", bkg_list=[3])


def test_a_mapping_of_several_products_and_a_bad_one(here):
    pair(here)
    expose(here / "u_rate.fits", 60)
    several = association("t_rate.fits", ["b_rate.fits"])
    several["products"] += association("u_rate.fits", ["b_rate.fits"])["products"]
    several["products"] += association("u_rate.fits", ["gone_rate.fits"])["products"]
    plan = bkgflow.plan([several, {"products": []}], "out")
    assert plan.counts() == {"PLANNED": 2, "QUARANTINED": 2}
    with pytest.raises(bkgflow.BkgflowError, match="one product"):
        bkgflow.subtract(json.loads(json.dumps(several)))
