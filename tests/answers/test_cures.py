"""What `verify` tells people to do makes it find nothing wrong."""

import os
import shlex

import pytest

import bkgflow
from tests.helpers.answers import make_campaign, plan_campaign, run_campaign
from tests.helpers.programs import write_program

pytestmark = pytest.mark.slow

FORMS = {
    "fits": ([], "t1_bsub.fits", "t1_bsub.fits"),
    "zarr": (["--format", "zarr"], "t1_bsub.zarr", "t1_bsub.zarr/sci/c/0/0"),
    "store": (["--store", "out/all.zarr"], "all.zarr/t1_bsub", "all.zarr/t1_bsub/sci/c/0/0"),
}


def spoil(path):
    """Change a byte, as disks do; size and time stay."""
    stat, data = path.stat(), bytearray(path.read_bytes())
    data[-100] ^= 16
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def cut(path):
    path.write_bytes(path.read_bytes()[:-10])


def write_again(path):
    """Change a byte; it is seen when that was."""
    spoil(path)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**10))


@pytest.mark.parametrize("damage", [spoil, cut, write_again, os.remove])
@pytest.mark.parametrize("form", FORMS)
def test_what_is_said_mends_it(form, damage, bkgflow_, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_program(tmp_path / "my program")
    options, name, file = FORMS[form]
    command = ["run", "my program", "--output", "out", *options, "--cluster", "threads", "-v"]
    assert bkgflow_(*command)[0] == 0
    damage(tmp_path / "out" / file)
    [wrong] = bkgflow.verify("out").wrong
    assert wrong.file == name and (
        damage is not spoil or "not those that were written" in wrong.why
    )
    _, plain, pasted = wrong.cure.rpartition("bkgflow run")
    if "anew" in wrong.cure:
        assert f"--fresh --only {name}" in pasted and wrong.cure in bkgflow_("verify", "out")[1]
        command = shlex.split(f"run{pasted}")
    assert plain and bkgflow_(*command)[0] == 0
    assert bkgflow_("verify", "out")[0] == 0


def test_a_run_that_would_notice_is_named_alone(tmp_path):
    out = make_campaign(tmp_path)
    cut(out / "t1_bsub.fits")
    [wrong] = bkgflow.verify(out).wrong
    assert wrong.cure.startswith("Do it again: bkgflow run, with the program")


def test_of_a_run_from_python_it_is_said_in_python(tmp_path):
    out = make_campaign(tmp_path)
    spoil(out / "t1_bsub.fits")
    assert len(run_campaign(tmp_path).kept) == 3  # it does not look at the bytes
    [wrong] = bkgflow.verify(out).wrong
    assert wrong.cure.endswith("bkgflow.run(plan, fresh=True, only=['t1_bsub.fits'])")
    done = bkgflow.run(plan_campaign(tmp_path), "threads", fresh=True, only=["t1_bsub.fits"])
    assert done.ok and bkgflow.verify(out).ok


def test_from_another_folder_it_goes_there_first(bkgflow_, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_program(tmp_path / "p")
    assert bkgflow_("run", "p", "--output", "out", "--cluster", "threads")[0] == 0
    spoil(tmp_path / "out" / "t1_bsub.fits")
    monkeypatch.chdir(tmp_path.parent)
    [wrong] = bkgflow.verify(tmp_path / "out").wrong
    words = "bkgflow run --fresh --only t1_bsub.fits p --output out --cluster threads"
    assert wrong.cure.endswith(f": cd {tmp_path} && {words}")


def test_a_damaged_product_that_nobody_wants_is_to_be_removed(tmp_path):
    out = make_campaign(tmp_path)
    write_program(tmp_path / "program", 2)
    assert run_campaign(tmp_path).ok
    spoil(out / "t2_bsub.fits")
    [wrong] = bkgflow.verify(out).wrong
    assert "no such unit any more: remove it" in wrong.cure
    (out / "t2_bsub.fits").unlink()
    assert bkgflow.verify(out).ok
