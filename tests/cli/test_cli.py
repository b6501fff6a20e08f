"""The command line: what it prints, what it writes, and how it ends."""

import errno
import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import typer.main
from astropy.io import fits
from rich.console import Console
from stdatamodels.jwst import datamodels

import bkgflow
from bkgflow import api
from bkgflow.campaign.events import RunEnded, RunStarted, UnitEnded, UnitStarted
from bkgflow.cli import app, main
from bkgflow.cli.progress import progress_of
from bkgflow.errors import InputError, UsageError
from bkgflow.kinds.warm import warm_up
from bkgflow.report.tables import as_text
from bkgflow.report.unit_tables import plan_table
from bkgflow.verdict import Verdict
from tests.helpers.exposures import make_model, write_association

HEAVY = ("dask", "distributed", "astropy", "numba", "stdatamodels", "xarray", "numpy", "matplotlib")


@pytest.fixture(autouse=True, scope="module")
def _compiled():
    """Nothing is compiled while a command is watched: it would say so."""
    warm_up(["image"])


@pytest.fixture(autouse=True)
def _handlers():
    """Take away the handlers that a command leaves for the rest of its process."""
    root = logging.getLogger("bkgflow")
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


@pytest.fixture
def bkgflow_(monkeypatch, capsys):
    """Call a command as a shell does: exit code, standard output, standard error."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["bkgflow", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return end.value.code or 0, out, err

    return call


@pytest.fixture(scope="session")
def exposures(tmp_path_factory):
    """Two targets, two backgrounds and a cube, written once: tests link to them."""
    made = tmp_path_factory.mktemp("exposures")
    for name, value, dq in (("t1", 100, 0), ("t2", 200, 0), ("b1", 8, 2), ("b2", 12, 0)):
        with make_model(np.full((6, 6), value, np.float32), dq=dq) as model:
            model.save(str(made / f"{name}_rate.fits"))
    with make_model(np.full((2, 6, 6), 100.0)) as model:
        model.save(str(made / "c_rateints.fits"))
    return made


@pytest.fixture
def folder(tmp_path, exposures, monkeypatch):
    """A folder to work in, with a program: two targets that share two backgrounds."""
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "program"
    program.mkdir()
    for path in exposures.iterdir():
        (tmp_path / path.name).symlink_to(path)
        (program / path.name).symlink_to(path)
    backgrounds = ["b1_rate.fits", "b2_rate.fits"]
    for number in (1, 2):
        write_association(
            program / f"{number}_asn.json", [(f"t{number}", f"t{number}_rate.fits", backgrounds)]
        )
    return tmp_path


def spoil(folder):
    """Add a unit with a missing background, and one without any."""
    products = [("bad", "b1_rate.fits", ["gone_rate.fits"]), ("alone", "b2_rate.fits", [])]
    write_association(folder / "program" / "3_asn.json", products)


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


# subtract


@pytest.mark.parametrize("option", ["--bkg-list", "--bkg_list", "--bkg_list="])
def test_subtract(option, folder, bkgflow_):
    value = "b1_rate.fits,b2_rate.fits"
    given = [option + value] if option.endswith("=") else [option, value]
    code, out, err = bkgflow_("subtract", "t1_rate.fits", *given)
    assert (code, out, err) == (0, "t1_bsub.fits\n", "")
    with datamodels.open(folder / "t1_bsub.fits") as model:
        np.testing.assert_array_equal(model.data, 90)
        np.testing.assert_array_equal(model.dq, 2)
        assert model.meta.cal_step.bkg_subtract == "COMPLETE"
        assert model.meta.filename == "t1_bsub.fits"


@pytest.mark.parametrize("dash", ["-", "_"])
def test_every_argument_of_the_step_reaches_it(dash, folder, bkgflow_):
    code, out, _ = bkgflow_(
        "subtract",
        "t1_rate.fits",
        f"--bkg{dash}list=b1_rate.fits",
        "--sigma=2.5",
        "--maxiters=4",
        f"--save{dash}combined{dash}background",
        f"--propagate{dash}errors",
        f"--output{dash}dir=new/below",
    )
    assert (code, out) == (0, f"{Path('new/below/t1_bsub.fits')}\n")
    assert names("new/below") == ["t1_bsub.fits", "t1_combinedbackground.fits"]
    with datamodels.open("new/below/t1_bsub.fits") as model:
        assert model.meta.bkgflow.settings.instance == {
            "sigma": 2.5,
            "maxiters": 4,
            "save_combined_background": True,
            "propagate_errors": True,
        }
        np.testing.assert_allclose(model.err, np.hypot(0.5, 0.5), rtol=1e-6)
    with datamodels.open("new/below/t1_combinedbackground.fits") as model:
        np.testing.assert_array_equal(model.data, 8)


def test_subtract_an_association(folder, bkgflow_):
    code, out, _ = bkgflow_("subtract", "program/2_asn.json", "--output-dir", "out")
    assert (code, out) == (0, f"{Path('out/t2_bsub.fits')}\n")
    with datamodels.open("out/t2_bsub.fits") as model:
        np.testing.assert_array_equal(model.data, 190)


def test_subtract_a_cube(folder, bkgflow_):
    code, out, _ = bkgflow_("subtract", "c_rateints.fits", "--bkg-list", "b1_rate.fits")
    assert (code, out) == (0, "c_bsubints.fits\n")


def test_subtract_says_what_is_odd_unless_it_is_quiet(folder, bkgflow_):
    code, out, err = bkgflow_("subtract", "t1_rate.fits")
    assert (code, out) == (0, "t1_bsub.fits\n")
    assert "WARNING" in err
    assert "SKIPPED no background exposure was given" in err
    logging.getLogger("bkgflow").handlers.clear()
    code, out, err = bkgflow_("subtract", "t2_rate.fits", "-q")
    assert (code, out, err) == (0, "t2_bsub.fits\n", "")


# plan


def test_plan_shows_the_sharing_and_writes_nothing(folder, bkgflow_):
    code, out, err = bkgflow_("plan", "program")
    assert (code, err) == (0, "")
    assert "Plan: 2 units (2 to do)" in out
    assert "combine 2 exposures over x 1–6, y 1–6, once, for 2 target(s)" in out
    assert out.count("subtract background 1") == 2
    assert "t1_bsub.fits" in out and "t2_bsub.fits" in out
    assert "reads " in out and "writes " in out
    assert not (folder / "bkgflow-out").exists()


def test_plan_is_saved(folder, bkgflow_):
    code, out, _ = bkgflow_("plan", "program", "--output=o", "--sigma=4", "--save=plans/p.json")
    plan = bkgflow.Plan.load("plans/p.json")
    assert code == 0
    assert as_text(plan_table(plan)) in out
    assert plan.settings.sigma == 4
    assert str(plan.output) == str(folder / "o")


def test_plan_of_several(folder, bkgflow_):
    code, out, _ = bkgflow_("plan", "program/1_asn.json", "program/2_asn.json")
    assert code == 0
    assert "Plan: 2 units" in out
    (folder / "more").mkdir()
    write_association(folder / "more" / "x_asn.json", [("p", "x_rate.fits", [])])
    (folder / "more" / "x_rate.fits").symlink_to(folder / "b1_rate.fits")
    code, out, _ = bkgflow_("plan", "program", "more")
    assert code == 0
    assert "Plan: 3 units (1 SKIPPED, 2 to do)" in out


def test_plan_with_a_bad_unit(folder, bkgflow_):
    spoil(folder)
    code, out, _ = bkgflow_("plan", "program")
    assert code == 1
    assert "QUARANTINED" in out
    assert "gone_rate.fits: An exposure is a readable file (found: No such file" in out
    assert "SKIPPED: no background exposure was given" in out


# run


def test_run(folder, bkgflow_):
    code, out, err = bkgflow_("run", "program", "--output", "out", "--cluster", "threads")
    assert code == 0
    assert names("out") == ["bkgflow-run.json", "bkgflow.log", "t1_bsub.fits", "t2_bsub.fits"]
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


def test_run_with_a_bad_unit(folder, bkgflow_):
    spoil(folder)
    code, out, err = bkgflow_("run", "program", "--output", "out", "--cluster", "threads")
    assert code == 1
    assert "4 units: 2 COMPLETE, 1 QUARANTINED, 1 SKIPPED" in out
    assert "b2_rate.fits SKIPPED: no background" in err
    products = [name for name in names("out") if name.endswith(".fits")]
    assert products == ["b2_bsub.fits", "t1_bsub.fits", "t2_bsub.fits"]
    units = json.loads(Path("out/bkgflow-run.json").read_text())["units"]
    (error,) = (unit["error"] for unit in units if unit["error"])
    assert error["error"] == "FileError"
    assert Path(error["file"]).name == "gone_rate.fits"
    assert error["rule"] and error["value"] and error["cure"]
    assert "ERROR bkgflow.run" in Path("out/bkgflow.log").read_text()


def test_a_quiet_run_says_only_what_went_wrong(folder, bkgflow_):
    spoil(folder)
    code, out, err = bkgflow_("run", "program", "--output=out", "--cluster=threads", "-q")
    assert code == 1
    assert "4 units" in out
    (line,) = err.splitlines()
    assert "b1_rate.fits QUARANTINED" in line
    assert "gone_rate.fits" in line


def test_all_skipped_is_good(folder, bkgflow_):
    write_association(folder / "alone_asn.json", [("p", "t1_rate.fits", [])])
    code, out, _ = bkgflow_("run", "alone_asn.json", "--output=out", "--cluster=threads")
    assert code == 0
    assert "1 SKIPPED" in out
    with fits.open("out/t1_bsub.fits") as units:
        assert units[0].header["S_BKDSUB"] == "SKIPPED"


def test_a_run_again_keeps_the_log(folder, bkgflow_):
    for _ in range(2):
        assert bkgflow_("run", "program", "--output=out", "--cluster=threads")[0] == 0
    assert Path("out/bkgflow.log").read_text().count("the run ended") == 2
    assert names("out") == ["bkgflow-run.json", "bkgflow.log", "t1_bsub.fits", "t2_bsub.fits"]


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
    assert "t1_rate.fits QUARANTINED: it [is] bad" in out.getvalue()
    last = next(line for line in reversed(out.getvalue().splitlines()) if "1/2" in line)
    assert "t2_rate.fits" in last and "t1_rate.fits" not in last


def test_show_prints_tables(folder, capsys):
    plan = bkgflow.plan("program", "out")
    bkgflow.show(plan)
    assert "subtract background 1" in capsys.readouterr().out
    bkgflow.show(bkgflow.run(plan, cluster="threads"))
    assert "2 units: 2 COMPLETE" in capsys.readouterr().out
    with pytest.raises(UsageError, match="can be shown"):
        bkgflow.show("program")


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
    assert names("out") == ["bkgflow-run.json", "bkgflow.log", "t1_bsub.fits", "t2_bsub.fits"]


# Exit code 2: nothing was started.


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
        (["warm-up", "image", "wide"], ["image, slitless, soss", "wide"]),
        (["frobnicate"], ["frobnicate"]),
        (["--bogus"], ["--bogus"]),
    ],
)
def test_wrong_usage_of_the_others(command, words, folder, bkgflow_):
    code, _, err = bkgflow_(*command)
    assert code == 2
    for word in words:
        assert word in err


def test_a_run_takes_a_plan():
    with pytest.raises(UsageError, match=r"A run takes a plan.*program.*bkgflow\.plan"):
        bkgflow.run("program")


def test_ctrl_c_ends_with_a_word(folder, bkgflow_, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "run", interrupted)
    code, out, err = bkgflow_("run", "program", "--output=out")
    assert (code, out) == (130, "")
    assert "products that were written are whole" in err


def test_a_full_standard_output_ends_with_a_word(folder, bkgflow_, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(api, "plan", full)
    code, out, err = bkgflow_("plan", "program")
    assert (code, out) == (1, "")
    assert "No space left on device" in err


def test_a_log_that_cannot_be_written(folder, bkgflow_):
    (folder / "out" / "bkgflow.log").mkdir(parents=True)
    code, _, err = bkgflow_("run", "program", "--output=out", "--cluster=threads")
    assert code == 2
    assert "bkgflow.log" in err
    assert names("out") == ["bkgflow.log"]


def test_pictures_that_cannot_be_written(folder, bkgflow_):
    (folder / "out").mkdir()
    (folder / "out" / "pictures").touch()
    code, _, err = bkgflow_("run", "program", "--output=out", "--cluster=threads", "--pictures")
    assert code == 2
    assert "pictures" in err
    assert "t1_bsub.fits" in names("out")


# Nonsense never ends in a traceback, and names the file.


@pytest.fixture
def nonsense(folder):
    (folder / "binary.json").write_bytes(os.urandom(3000))
    (folder / "list.json").write_text("[1, 2]")
    (folder / "deep.json").write_text("[" * 100_000)
    (folder / "numbers.json").write_text('{"products": [1, null, {"members": {"a": 1}}]}')
    (folder / "text_rate.fits").write_text("hello\n")
    (folder / "void_rate.fits").touch()
    (folder / "folder_rate.fits").mkdir()
    (folder / "empty").mkdir()
    return folder


TARGETS = [
    "binary.json",
    "list.json",
    "deep.json",
    "numbers.json",
    "missing.json",
    "text_rate.fits",
    "void_rate.fits",
    "folder_rate.fits",
    "missing_rate.fits",
    "empty",
    "*.fits",
]


@pytest.mark.parametrize("name", TARGETS)
def test_nonsense_to_subtract(name, nonsense, bkgflow_):
    before = names(nonsense)
    for arguments in ([name, "--bkg-list=b1_rate.fits"], ["t1_rate.fits", f"--bkg-list={name}"]):
        code, out, err = bkgflow_("subtract", *arguments)
        assert (code, out) == (1, "")
        assert err.startswith(f"bkgflow: {nonsense / name}: ")
        assert len(err.splitlines()) == 1
    assert names(nonsense) == before


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("command", [("plan",), ("run", "--output=out", "--cluster=threads")])
def test_nonsense_to_plan_and_run(name, command, nonsense, bkgflow_):
    code, out, err = bkgflow_(*command, name)
    assert name in out + err
    if (nonsense / name).is_file():
        assert code == 1
        assert "QUARANTINED" in out
    else:
        assert code == 2
        assert err.startswith(f"bkgflow: {nonsense / name}: ")
        assert names(nonsense).count("out") == 0


@pytest.mark.parametrize("empty", ["", ",", " , "])
def test_an_empty_list_is_no_list(empty, folder, bkgflow_):
    code, _, err = bkgflow_("subtract", "t1_rate.fits", "--bkg-list", empty)
    assert code == 0
    assert "SKIPPED no background" in err


def test_a_target_among_its_backgrounds(folder, bkgflow_):
    code, _, err = bkgflow_("subtract", "t1_rate.fits", "--bkg-list=b1_rate.fits,./t1_rate.fits")
    assert code == 1
    assert "not be its own background" in err


# simulate and demo


@pytest.mark.parametrize(
    ("arguments", "exposures", "associations"),
    [
        (["imaging", "--targets=2", "--backgrounds=3"], 5, 2),
        (["imaging", "--targets=1", "--backgrounds=1", "--instrument=miri", "--subarrays"], 2, 1),
        (["nods", "--points=3"], 3, 3),
        (["tso", "--integrations=3", "--backgrounds=1"], 2, 1),
    ],
)
def test_simulate(arguments, exposures, associations, tmp_path, bkgflow_):
    out_folder = tmp_path / "made"
    code, out, err = bkgflow_("simulate", *arguments, out_folder, "--size=32", "--seed=7")
    assert (code, err) == (0, "")
    *written, last = out.splitlines()
    assert len(written) == len(list(out_folder.glob("*.fits"))) == exposures
    assert all(Path(line).exists() for line in written)
    assert f"{exposures} exposures and {associations} associations" in last
    assert (out_folder / "truth" / "truth.json").exists()
    plan = bkgflow.plan(out_folder, tmp_path / "out")
    assert len(plan.units) == associations
    assert all(unit.verdict.to_do for unit in plan.units)


def test_the_same_seed_makes_the_same_program(tmp_path, bkgflow_):
    made = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert (
            bkgflow_(
                "simulate", "nods", tmp_path / name, "--points=2", "--size=16", f"--seed={seed}"
            )[0]
            == 0
        )
        made.append(
            [fits.getdata(path, "SCI") for path in sorted((tmp_path / name).glob("*.fits"))]
        )
    np.testing.assert_array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2], equal_nan=True)


@pytest.mark.slow
def test_demo(tmp_path, bkgflow_):
    code, out, _ = bkgflow_("demo", tmp_path / "demo", "--size=48", "--workers=1")
    assert code == 0
    assert "14 units: 14 COMPLETE" in out
    (products,) = (line.split(": ")[1] for line in out.splitlines() if line.startswith("Products:"))
    pictures = [line.split(": ")[1] for line in out.splitlines() if line.startswith("Picture:")]
    written = [path for path in names(products) if path.endswith(".fits")]
    assert len(written) == 24
    for name in written[::7]:
        with datamodels.open(Path(products) / name) as model:
            assert np.isfinite(model.data).any()
    assert [Path(path).suffix for path in pictures] == [".png"] * 5
    for path in pictures:
        image = matplotlib.image.imread(path)[..., :3]
        grey = image.mean(-1)
        # Three panels with grain in them: neither white paper nor one even grey.
        inked = grey < 0.98
        assert 0.2 < inked.mean() < 0.98
        assert len(np.unique(grey[inked])) > 100


def test_warm_up(bkgflow_):
    assert bkgflow_("warm-up", "image")[0] == 0  # it may be the first time on this machine
    assert bkgflow_("warm-up", "image") == (0, "Compiled: nothing, all was there\n", "")


# Help


def commands():
    """Every command with the words that call it."""
    group = typer.main.get_command(app)
    found = [((), group)]
    for name, command in group.commands.items():
        found.append(((name,), command))
        for below, inner in getattr(command, "commands", {}).items():
            found.append(((name, below), inner))
    return found


def test_all_commands_are_there():
    assert {" ".join(words) for words, _ in commands()} == {
        "",
        "subtract",
        "plan",
        "run",
        "simulate",
        "simulate imaging",
        "simulate nods",
        "simulate soss",
        "simulate tso",
        "simulate wfss",
        "demo",
        "warm-up",
    }


@pytest.mark.parametrize("words", [words for words, _ in commands()], ids=" ".join)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_names_every_option(words, flag, bkgflow_, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    code, out, err = bkgflow_(*words, flag)
    assert (code, err) == (0, "")
    assert f"Usage: {' '.join(['bkgflow', *words])} [OPTIONS]" in out
    (command,) = (each for found, each in commands() if found == words)
    for parameter in command.params:
        if parameter.param_type_name == "option":
            assert parameter.help, parameter.name
            assert parameter.opts[0] in out
        else:
            assert parameter.metavar in out
    for name in getattr(command, "commands", ()):
        assert name in out


def test_help_paragraphs_are_not_broken(bkgflow_, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    _, out, _ = bkgflow_("run", "--help")
    lines = [line.strip() for line in out.splitlines()]
    start = next(i for i, line in enumerate(lines) if line.startswith("A unit with a bad input"))
    paragraph = lines[start : lines.index("", start)]
    assert all(len(line) > 80 for line in paragraph[:-1])
    assert "".join(paragraph).endswith("nothing to plan.")


def test_no_arguments_is_help(bkgflow_):
    for words in ((), ("simulate",)):
        code, out, err = bkgflow_(*words)
        assert code == 2
        assert "Usage: bkgflow" in out + err


def test_version(bkgflow_):
    assert bkgflow_("--version") == (0, f"bkgflow {bkgflow.__version__}\n", "")


def test_help_is_light():
    """Help comes at once: nothing heavy is imported before a command needs it."""
    script = (
        "import sys\n"
        "from bkgflow.cli import main\n"
        "sys.argv = ['bkgflow', '--help']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        f"print('loaded:', *sorted(set({HEAVY!r}) & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
    )
    assert "subtract" in done.stdout
    assert done.stdout.splitlines()[-1] == "loaded:"
