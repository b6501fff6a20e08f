"""What is typed wrong: exit code 2, and nothing was started."""

import errno

import pytest

from bkgflow import api


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["Missing argument", "PROGRAM"]),
        (["program"], ["Missing option", "--output"]),
        (["nowhere", "--output=o"], ["nowhere", "no such file or folder"]),
        (["empty", "--output=o"], ["empty", "*_asn.json"]),
        (["program", "--output=o", "--sigma=0"], ["sigma", "greater than 0"]),
        (["program", "--output=o", "--sigma=-1"], ["sigma", "greater than 0"]),
        (["program", "--output=o", "--sigma=nan"], ["sigma", "finite"]),
        (["program", "--output=o", "--sigma=wide"], ["--sigma", "number"]),
        (["program", "--output=o", "--maxiters=-1"], ["maxiters", "greater than or equal to 0"]),
        (["program", "--output=t1_rate.fits"], ["t1_rate.fits", "Not a directory"]),
        (["program", "--output=t1_rate.fits/o"], ["t1_rate.fits/o", "Not a directory"]),
        (["program", "--output=o", "--memory=plenty"], ["plenty", "at least 256 MiB"]),
        (["program", "--output=o", "--memory=1MB"], ["1MB", "at least 256 MiB"]),
        (["program", "--output=o", "--memory=1e400GiB"], ["1e400GiB", "at least 256 MiB"]),
        (["program", "--output=o\udcff"], ["o\\xff", "text (UTF-8)"]),
        (["program", "--output=o", "--workers=0"], ["--workers", "1"]),
        (["program", "--output=o", "--cluster=slurmy"], ["slurmy", "threads", "tcp://"]),
        (["program", "--output=o", "--cluster=host:8786"], ["host:8786", "tcp://"]),
        (["program", "--output=o", "--cluster=tcp://"], ["tcp://", "scheduler"]),
        (["program", "--output=o", "--cluster=threads", "--memory=1GiB"], ["memory=1GiB"]),
        (["program", "--output=o", "--bogus"], ["--bogus"]),
    ],
)
def test_wrong_usage_of_run(arguments, words, folder, bkgflow_):
    (folder / "empty").mkdir()
    code, out, err = bkgflow_("run", *arguments)
    assert code == 2
    assert out == ""
    for word in words:
        assert word in err
    assert not list(folder.rglob("*_bsub.fits"))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["plan", "nowhere"], ["nowhere"]),
        (["plan", "x" * 5000], ["too long"]),
        (["plan", "program", "--sigma=0"], ["sigma"]),
        (["plan", "program", "--output=t1_rate.fits"], ["Not a directory"]),
        (["plan", "program", "--save=t1_rate.fits/p.json"], ["p.json", "File exists"]),
        (["subtract"], ["TARGET"]),
        (["subtract", "t1_rate.fits", "--sigma=-1"], ["sigma"]),
        (["subtract", "t1_rate.fits", "--output-dir=t1_rate.fits"], ["Not a directory"]),
        (["subtract", "t1_rate.fits", "t2_rate.fits"], ["t2_rate.fits"]),
        (["simulate", "imaging"], ["OUT"]),
        (["simulate", "imaging", "o", "--size=5"], ["size", "16"]),
        (["simulate", "imaging", "o", "--targets=0"], ["targets"]),
        (["simulate", "imaging", "o", "--instrument=hubble"], ["HUBBLE"]),
        (["simulate", "nods", "o", "--points=1"], ["points"]),
        (["simulate", "tso", "o", "--integrations=0"], ["integrations"]),
        (["simulate", "nods", "t1_rate.fits/o", "--size=32"], ["t1_rate.fits/o"]),
        (["demo", "t1_rate.fits"], ["t1_rate.fits"]),
        (["warm-up", "image", "wide"], ["image, cube, rules, cube-rules, slitless, soss", "wide"]),
        (["frobnicate"], ["frobnicate"]),
        (["--bogus"], ["--bogus"]),
    ],
)
def test_wrong_usage_of_the_others(command, words, folder, bkgflow_):
    code, _, err = bkgflow_(*command)
    assert code == 2
    for word in words:
        assert word in err


def test_a_full_standard_output_ends_with_a_word(folder, bkgflow_, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(api, "plan", full)
    code, out, err = bkgflow_("plan", "program")
    assert (code, out) == (2, "")
    assert "No space left on device" in err
