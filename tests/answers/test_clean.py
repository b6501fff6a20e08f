"""Cleaning a campaign's folder: what nobody wants any more, and nothing else."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bkgflow
from bkgflow.io.storage.owner import Owner
from tests.helpers.answers import run_campaign
from tests.helpers.exposures import write_association


def files(folder):
    """Bytes of all files, without those in which a database keeps its locks."""
    there = [each for each in folder.iterdir() if each.is_file()]
    return {each.name: each.read_bytes() for each in there if "sqlite" not in each.name}


def products(folder):
    return {name: data for name, data in files(folder).items() if name.endswith(".fits")}


def dead_owner():
    child = subprocess.run(
        [sys.executable, "-c", "from bkgflow.io.storage.owner import Owner; print(Owner.me())"],
        capture_output=True,
        text=True,
        check=True,
    )
    return child.stdout.strip()


@pytest.mark.slow
def test_a_campaign_that_is_current_has_nothing_to_clean(campaign, bkgflow_):
    out = campaign / "out"
    before = files(out)
    code, said, err = bkgflow_("clean", out)
    assert (code, err) == (0, "")
    assert said.startswith("Nothing to clean")
    assert "Nothing to clean" in bkgflow_("clean", "--yes", out)[1]
    assert files(out) == before


@pytest.mark.slow
def test_leftovers_of_the_dead_are_shown_and_then_removed(campaign, bkgflow_):
    out = campaign / "out"
    dead, alive = out / f".bkgflow-{dead_owner()}-aaaa", out / f".bkgflow-{Owner.me()}-bbbb"
    for folder in (dead, alive):
        folder.mkdir()
        (folder / "t0_bsub.fits").write_bytes(bytes(5000))
    code, said, _ = bkgflow_("clean", out)
    assert code == 0
    assert f"4.9 KiB  {dead}" in said
    assert "--yes" in said
    assert dead.exists()
    assert alive.name not in said
    code, said, _ = bkgflow_("clean", out, "--yes")
    assert code == 0
    assert not dead.exists()
    assert alive.exists()
    assert f"{alive.name} is left there" in said


def test_products_of_units_that_are_no_more_go(campaign, bkgflow_):
    out = campaign / "out"
    asked = [("p0", "t0_rate.fits", ["b_rate.fits"])]
    write_association(campaign / "program" / "x_asn.json", asked)
    run_campaign(campaign, save_combined_background=True)
    kept = bkgflow.clean(out, keep_products=True)
    assert kept.unwanted == ()
    shown = bkgflow.clean(out)
    names = sorted(Path(each.file).name for each in shown.unwanted)
    assert names == [
        "t1_bsub.fits", "t1_combinedbackground.fits", "t2_bsub.fits", "t2_combinedbackground.fits",
    ]  # fmt: skip
    assert len(products(out)) == 6
    done = bkgflow.clean(out, yes=True)
    assert done.removed
    assert sorted(products(out)) == ["t0_bsub.fits", "t0_combinedbackground.fits"]
    assert bkgflow.clean(out).unwanted == ()
    assert "removed" in str(done)


def test_a_product_that_somebody_has_replaced_stays(campaign):
    out = campaign / "out"
    asked = [("p0", "t0_rate.fits", ["b_rate.fits"])]
    write_association(campaign / "program" / "x_asn.json", asked)
    run_campaign(campaign, save_combined_background=True)
    stat = (out / "t1_bsub.fits").stat()
    (out / "t1_bsub.fits").write_bytes(b"x" * stat.st_size)
    (out / "t2_bsub.fits").rename(campaign / "elsewhere.fits")
    (out / "t2_bsub.fits").symlink_to(campaign / "elsewhere.fits")
    bkgflow.clean(out, yes=True)
    assert (out / "t1_bsub.fits").exists()
    assert (out / "t2_bsub.fits").is_symlink()
    assert (campaign / "elsewhere.fits").exists()


@pytest.mark.slow
def test_combined_backgrounds_that_nobody_asks_for_any_more_go(campaign):
    out = campaign / "out"
    run_campaign(campaign, sigma=2.0)
    shown = bkgflow.clean(out)
    assert len(shown.unwanted) == 3
    assert all("combined background" in each.why for each in shown.unwanted)
    bkgflow.clean(out, yes=True)
    assert sorted(products(out)) == ["t0_bsub.fits", "t1_bsub.fits", "t2_bsub.fits"]
    assert bkgflow.verify(out).ok


def test_old_logs_go_and_the_new_one_stays(campaign):
    out = campaign / "out"
    for name in ("bkgflow.log.1", "bkgflow.log.2.gz", "my.log.1", "bkgflow.log"):
        with (out / name).open("a") as stream:
            stream.write("words\n")
    bkgflow.clean(out, yes=True)
    there = files(out)
    assert "bkgflow.log" in there
    assert "my.log.1" in there
    assert not {"bkgflow.log.1", "bkgflow.log.2.gz"} & there.keys()


@pytest.mark.slow
def test_an_input_in_the_output_folder_is_never_touched(campaign):
    """What has the name of a file that units were made from stays, wherever that lies."""
    out = campaign / "out"
    shutil.copy(campaign / "program" / "b_rate.fits", campaign / "program" / "t1_bsub.fits")
    asked = [("p0", "t0_rate.fits", ["t1_bsub.fits"])]
    write_association(campaign / "program" / "x_asn.json", asked)
    assert run_campaign(campaign).ok
    shown = [Path(each.file).name for each in bkgflow.clean(out).unwanted]
    assert "t2_bsub.fits" in shown
    assert "t1_bsub.fits" not in shown
    bkgflow.clean(out, yes=True)
    assert (out / "t1_bsub.fits").exists()
    assert (campaign / "program" / "t0_rate.fits").exists()


@pytest.mark.slow
def test_the_product_of_a_unit_that_is_refused_now_stays(campaign):
    """The program still has it, though the ledger calls it otherwise as long as it is refused."""
    out = campaign / "out"
    background = campaign / "program" / "b_rate.fits"
    background.rename(campaign / "away.fits")
    result = run_campaign(campaign, save_combined_background=True)
    assert result.counts == {"QUARANTINED": 3}
    before = products(out)
    assert bkgflow.clean(out, yes=True).unwanted == ()
    (campaign / "program" / "x_asn.json").write_text("{")
    bkgflow.run(bkgflow.plan(campaign / "program", out), "threads", workers=1, progress=False)
    assert bkgflow.clean(out, yes=True).unwanted == ()
    assert products(out) == before


def test_files_that_nobody_knows_stay(campaign):
    out = campaign / "out"
    for name in ("notes.txt", "t7_bsub.fits", "t7_combinedbackground.fits", "bkgflow-mine.txt"):
        (out / name).write_bytes(b"mine")
    before = files(out)
    bkgflow.clean(out, yes=True)
    assert files(out) == before


@pytest.mark.slow
def test_units_that_were_rebuilt_keep_their_products(campaign):
    """Nobody knows whether the campaign had made them."""
    out = campaign / "out"
    bkgflow.rebuild(out, anew=True)
    asked = [("p0", "t0_rate.fits", ["b_rate.fits"])]
    write_association(campaign / "program" / "x_asn.json", asked)
    run_campaign(campaign, save_combined_background=True)
    assert bkgflow.clean(out, yes=True).unwanted == ()
    assert len(products(out)) == 6
