"""Campaigns whose folder was moved or copied: they go on in the folder that is given."""

import os
import shlex
import shutil
import subprocess

import pytest

import bkgflow
from bkgflow.campaign.asked import Asked
from bkgflow.campaign.status import status_of
from bkgflow.clusters.local import Threads
from bkgflow.errors import UsageError
from bkgflow.io.storage.folders import folder_of, without_detours
from bkgflow.io.storage.location import Location
from tests.helpers.drivers import COMMAND, command, environment, no_driver_left, products_in

THREADS = ("--cluster", "threads", "--workers", "1")


@pytest.fixture
def moved(tmp_path):
    """Where a campaign's folder lies later."""
    with no_driver_left(tmp_path / "moved to") as folder:
        yield folder


@pytest.fixture
def ended(folder, out):
    """A campaign of two units that has ended, submitted by a command with a relative folder."""
    assert command("submit", "program", "--output", "out", *THREADS, cwd=folder)[0] == 0
    assert command("wait", out)[0] == 0
    return out


def complete(out):
    """Wait for a campaign; whether all of it is there."""
    code, _, _ = command("wait", out)
    return code == 0 and products_in(out) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("compiled")
def test_retry_works_in_the_folder_that_is_given_though_it_was_moved(ended, moved):
    ended.rename(moved)
    (moved / "t1_bsub.fits").unlink()
    code, said, _ = command("retry", moved, cwd="/")
    assert code == 0 and f"2 units into {moved}" in said
    assert complete(moved) and not ended.exists()
    (moved / "t2_bsub.fits").unlink()
    assert bkgflow.Campaign.open(moved).retry().wait(300).counts == {"COMPLETE": 2}
    assert complete(moved) and not ended.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("compiled")
def test_a_copy_leaves_the_first_campaign_alone(ended, moved):
    shutil.copytree(ended, moved)
    for each in (ended, moved):
        (each / "t1_bsub.fits").unlink()
    assert command("retry", moved)[0] == 0
    assert complete(moved) and products_in(ended) == 1
    assert len(bkgflow.Campaign.open(ended).events().run.unique()) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("where", ["", "ledger.sqlite"])
def test_a_plan_that_was_kept_goes_where_its_folder_lies(where, folder, out, moved):
    plan = bkgflow.plan(folder / "program", out)
    ledger = {"ledger": str(folder / where)} if where else {}
    campaign = bkgflow.submit(plan, cluster=Threads(workers=1), **ledger)
    assert campaign.wait(300).state == "complete"
    out.rename(moved)
    (moved / "t1_bsub.fits").unlink()
    assert command("retry", moved)[0] == 0
    assert complete(moved) and not out.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("compiled")
def test_the_command_that_goes_on_goes_on_in_the_folder_that_is_asked(folder, out, moved):
    given = ("run", "program", "--output=out", *THREADS, "--only", "t1*")
    assert command(*given, cwd=folder)[0] == 0
    assert status_of(Location.of(out)).go_on.endswith("program --output=out " + " ".join(THREADS))
    out.rename(moved)
    line = status_of(Location.of(moved)).go_on
    line = line.replace("bkgflow run", f"{shlex.join(COMMAND)} run")
    done = subprocess.run(["bash", "-c", line], env=environment(), cwd=folder, check=False)
    assert done.returncode == 0
    assert products_in(moved) == 2 and not out.exists()


@pytest.mark.parametrize(
    ("typed", "again"),
    [
        ("run p --output out -q", "run p --output /new -q"),
        ("run p --output=../d/out", "run p --output=/new"),
        ("run p --output-dir /d/out -- --output x", "run p --output-dir /new -- --output x"),
        ("run p --output out --store out/s.zarr", "run p --output /new --store=/new/s.zarr"),
        ("run p --output out --store s.zarr", "run p --output /new --store s.zarr"),
        ("run p --output=s3://b/out/ --store s3://b/out/s", "run p --output=/new --store=/new/s"),
        ("run p --output /d/out --store=icechunk:///d/out/s",
         "run p --output /new --store=icechunk:///new/s"),
        ("run p --ledger out/l.sqlite --output out", "run p --output /new"),
        ("run p --output /new --ledger l", "run p --output /new --ledger l"),
        ("run p", "run p"),
    ],
)  # fmt: skip
def test_what_a_command_says_of_its_folder_is_as_that_lies_now(typed, again):
    asked = Asked(tuple(typed.split()), "/d")
    assert asked.into(Location.of("/new")).command == tuple(again.split())


def test_what_lies_in_a_planned_folder_goes_with_it(folder, moved):
    plan = bkgflow.plan(folder / "program", folder / "out", store=folder / "out" / "s.zarr")
    now = plan.into(Location.of(moved))
    assert now.output == Location.of(moved) and now.outputs.store == now.output / "s.zarr"
    assert [unit.files for unit in now.units] == [unit.files for unit in plan.units]
    assert [unit.digest for unit in now.units] == [unit.digest for unit in plan.units]


@pytest.mark.slow
@pytest.mark.usefixtures("compiled")
def test_retry_without_the_folder_of_the_command_says_the_command(folder, out, tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    program = folder / "program"
    assert command("run", program, "--output", out, *THREADS, "--only", "t1*", cwd=here)[0] == 0
    here.rmdir()
    code, _, said = command("retry", out)
    assert code == 2 and f"bkgflow: {here}: The folder in which the command" in said
    assert f"bkgflow run --retry-failed {program} --output {out} --cluster threads" in said
    with pytest.raises(UsageError, match="must be there to retry it"):
        bkgflow.Campaign.open(out).retry()


@pytest.mark.slow
def test_a_folder_that_was_given_with_dots_needs_no_folder_beside_it(folder, out, bkgflow_):
    beside = folder / "beside"
    beside.mkdir()
    os.chdir(beside)
    given = ("--output", "../out", "--cluster", "threads", "--quiet")
    assert bkgflow_("run", "../program", *given)[0] == 0
    code, said, _ = bkgflow_("status", "../out")
    assert code == 0 and f"is complete: {out}\n" in said
    assert bkgflow.plan("../program", "../out").output == Location.of(out)
    assert bkgflow.Campaign.open("../out").output == out
    os.chdir(folder)
    beside.rmdir()
    code, _, said = bkgflow_("retry", out)
    assert code == 2 and f"--output {out} --cluster threads" in said.replace("\n", " ")


def test_dots_behind_a_link_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a" / "b")
    assert folder_of("a/b/../../x").path == tmp_path / "x"
    assert folder_of("link/../x").path == tmp_path / "link" / ".." / "x"
    assert folder_of("none/../x").path == tmp_path / "x"
    assert folder_of("s3://bucket/a/../x").url == "s3://bucket/a/../x"
    assert folder_of("a/../\0").name == "\0"
    assert without_detours("a/../x") == str(tmp_path / "x")
    assert without_detours("a/x..y") == "a/x..y"
