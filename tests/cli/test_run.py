"""bkgflow run: what it prints, what it writes, and how it ends."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import pytest
from astropy.io import fits
from rich.console import Console

import bkgflow
from bkgflow import api
from bkgflow.campaign.events import RunEnded, RunStarted, UnitEnded, UnitStarted
from bkgflow.campaign.progress import progress_of
from bkgflow.errors import InputError, UsageError
from bkgflow.verdict import Verdict
from tests.helpers.commands import names, spoil
from tests.helpers.exposures import write_association

LEFT = [
    "bkgflow-campaign.json",
    "bkgflow-events.jsonl",
    "bkgflow-facts.jsonl",
    "bkgflow-ledger.sqlite",
    "bkgflow-run.json",
    "bkgflow.log",
]
"""What every run leaves beside its products."""


@pytest.mark.slow
def test_run(folder, bkgflow_):
    code, out, err = bkgflow_("run", "program", "--output", "out", "--cluster", "threads")
    assert code == 0
    assert names("out") == [*LEFT, "t1_bsub.fits", "t2_bsub.fits"]
    assert "2 units: 2 COMPLETE" in out
    lines = err.splitlines()
    assert [line.split()[0] for line in lines] == ["[1/2]", "[2/2]"]
    assert sorted(line.split(" ", 1)[1] for line in lines) == [
        "t1_rate.fits COMPLETE",
        "t2_rate.fits COMPLETE",
    ]
    report = json.loads(Path("out/bkgflow-run.json").read_text())
    assert report["counts"] == {"COMPLETE": 2}
    assert report["version"] == bkgflow.__version__
    for unit, number in zip(report["units"], (1, 2), strict=True):
        assert unit["products"] == [str(folder / "out" / f"t{number}_bsub.fits")]
        assert unit["association"] == str(folder / "program" / f"{number}_asn.json")
        with fits.open(unit["products"][0]) as units:
            assert units[0].header["S_BKDSUB"] == "COMPLETE"
    log = Path("out/bkgflow.log").read_text()
    assert "2 units on all threads of this process" in log
    assert "'sigma': 3.0" in log
    assert log.count("COMPLETE") == 2
    assert "the run ended after" in log


@pytest.mark.slow
def test_run_with_a_bad_unit(folder, bkgflow_):
    spoil(folder)
    code, out, err = bkgflow_("run", "program", "--output", "out", "--cluster", "threads")
    assert code == 1
    assert "4 units: 2 COMPLETE, 1 QUARANTINED, 1 SKIPPED" in out
    assert "b2_rate.fits SKIPPED" in err
    assert "1 unit SKIPPED: no background" in out
    # Why is told once, with the summary.
    assert "gone_rate.fits" not in err
    assert out.count("gone_rate.fits") == 1
    products = [name for name in names("out") if name.endswith(".fits")]
    assert products == ["b2_bsub.fits", "t1_bsub.fits", "t2_bsub.fits"]
    units = json.loads(Path("out/bkgflow-run.json").read_text())["units"]
    (error,) = (unit["error"] for unit in units if unit["error"])
    assert error["error"] == "FileError"
    assert Path(error["file"]).name == "gone_rate.fits"
    assert error["rule"] and error["value"] and error["cure"]
    assert "ERROR bkgflow.run" in Path("out/bkgflow.log").read_text()


@pytest.mark.slow
def test_a_quiet_run_says_only_what_went_wrong(folder, bkgflow_):
    spoil(folder)
    code, out, err = bkgflow_("run", "program", "--output=out", "--cluster=threads", "-q")
    assert code == 1
    assert out.startswith("4 units: ")
    assert len(out.splitlines()) == 2
    reason, file, target = err.splitlines()
    assert reason.startswith("1 unit QUARANTINED: ")
    assert file.endswith("gone_rate.fits")
    assert target.endswith("b1_rate.fits")


@pytest.mark.slow
def test_all_skipped_is_good(folder, bkgflow_):
    write_association(folder / "alone_asn.json", [("p", "t1_rate.fits", [])])
    code, out, _ = bkgflow_("run", "alone_asn.json", "--output=out", "--cluster=threads")
    assert code == 0
    assert "1 SKIPPED" in out
    with fits.open("out/t1_bsub.fits") as units:
        assert units[0].header["S_BKDSUB"] == "SKIPPED"


@pytest.mark.slow
def test_a_run_again_keeps_the_log(folder, bkgflow_):
    for _ in range(2):
        assert bkgflow_("run", "program", "--output=out", "--cluster=threads")[0] == 0
    assert Path("out/bkgflow.log").read_text().count("the run ended") == 2
    assert names("out") == [*LEFT, "t1_bsub.fits", "t2_bsub.fits"]


@pytest.mark.slow
def test_run_draws(folder, bkgflow_):
    arguments = ("program", "--output=out", "--cluster=threads", "--pictures")
    assert bkgflow_("run", *arguments, "--save_combined_background")[0] == 0
    assert names("out/pictures") == ["t1_bsub.png", "t2_bsub.png"]
    assert "t2_combinedbackground.fits" in names("out")
    image = matplotlib.image.imread("out/pictures/t1_bsub.png")
    assert image.shape[1] > image.shape[0] > 100


@pytest.mark.slow
def test_in_a_pipe_there_are_plain_lines(folder):
    """A real process: nothing but what is meant for people, and the exit code."""
    spoil(folder)
    command = "from bkgflow.cli import main; main()"
    arguments = ["run", "program", "--output=out", "--cluster=threads", "--workers=1"]
    done = subprocess.run(
        [sys.executable, "-c", command, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 4
    assert [line.split()[0] for line in lines] == ["[1/4]", "[2/4]", "[3/4]", "[4/4]"]
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stdout.startswith("4 units: 2 COMPLETE, 1 QUARANTINED, 1 SKIPPED\n")
    # No file name is broken by a table that is too narrow.
    assert (
        sum("t1_rate.fits" in line and "t1_bsub.fits" in line for line in done.stdout.splitlines())
        == 1
    )


@pytest.mark.slow
def test_on_a_terminal_there_is_a_bar(folder):
    plan = bkgflow.plan("program", "out")
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, color_system=None)
    with progress_of(plan, quiet=False, console=console) as progress:
        result = bkgflow.run(plan, cluster="threads", listeners=[progress])
    assert result.ok
    assert "2/2" in out.getvalue()
    assert "QUARANTINED" not in out.getvalue()


def test_the_bar_names_what_runs_and_what_went_wrong(folder):
    plan = bkgflow.plan("program", "out")
    first, second = (unit.digest for unit in plan.units)
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, color_system=None)
    bad = Verdict.quarantined(InputError("it [is] bad", cure="Mend it"))
    with progress_of(plan, quiet=False, console=console) as progress:
        progress(RunStarted("r", 2, "here"))
        progress(UnitStarted("r", first))
        progress(UnitStarted("r", second))
        progress(UnitEnded("r", first, bad))
        progress(RunEnded("r", 1.0))
    assert "t1_rate.fits QUARANTINED" in out.getvalue()
    last = next(line for line in reversed(out.getvalue().splitlines()) if "1/2" in line)
    assert "t2_rate.fits" in last and "t1_rate.fits" not in last


@pytest.mark.slow
def test_a_result_that_cannot_be_written_leaves_the_last_one(folder, bkgflow_, monkeypatch):
    """It is written whole: half of a result is worse than an old one."""
    monkeypatch.setattr("tempfile.tempdir", str(folder))  # where it is kept instead
    arguments = ("run", "program", "--output=out", "--cluster=threads")
    assert bkgflow_(*arguments)[0] == 0
    (folder / "out" / "bkgflow-run.json").unlink()
    (folder / "out" / "bkgflow-run.json").mkdir()
    code, _, err = bkgflow_(*arguments)
    assert code == 2
    assert "bkgflow-run.json" in err
    assert names("out") == [*LEFT, "t1_bsub.fits", "t2_bsub.fits"]


def test_a_run_takes_a_plan():
    with pytest.raises(UsageError, match=r"A run must be given a plan.*program.*bkgflow\.plan"):
        bkgflow.run("program")


def test_ctrl_c_ends_with_a_word(folder, bkgflow_, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "run", interrupted)
    code, out, err = bkgflow_("run", "program", "--output=out")
    assert (code, out) == (130, "")
    assert "products that were written are whole" in err


def test_a_log_that_cannot_be_written(folder, bkgflow_):
    (folder / "out" / "bkgflow.log").mkdir(parents=True)
    code, _, err = bkgflow_("run", "program", "--output=out", "--cluster=threads")
    assert code == 2
    assert "bkgflow.log" in err
    assert names("out") == ["bkgflow.log"]


@pytest.mark.slow
def test_pictures_that_cannot_be_written(folder, bkgflow_):
    (folder / "out").mkdir()
    (folder / "out" / "pictures").touch()
    code, _, err = bkgflow_("run", "program", "--output=out", "--cluster=threads", "--pictures")
    assert code == 0  # the products are there
    assert "bkgflow: t1_bsub.png could not be drawn: " in err
    assert err.count("could not be drawn") == 2
    assert "t1_bsub.fits" in names("out")
