"""What a newcomer is shown: help, tables, reasons, reprs, progress, and what to install."""

from __future__ import annotations

import inspect
import io
import sys
import types
from dataclasses import replace
from typing import get_type_hints

import numpy as np
import pytest
import typer.main
import xarray as xr
from rich.console import Console

import bkgflow
from bkgflow import api
from bkgflow.arguments import StepArguments
from bkgflow.campaign.events import RunEnded, RunStarted, UnitEnded, UnitStarted
from bkgflow.campaign.progress import notebook_cell, progress_in, progress_of, waiting
from bkgflow.campaign.result import RunResult
from bkgflow.cli import app
from bkgflow.clusters.choose import ClusterArguments, all_options
from bkgflow.errors import FileError, UsageError
from bkgflow.planning.grouped import grouped
from bkgflow.report.tables import as_text
from bkgflow.report.unit_tables import plan_table, run_table, what_went_wrong
from bkgflow.settings import StepSettings
from bkgflow.texts import how_to_install, listed, many
from bkgflow.verdict import State, Verdict
from tests.helpers.commands import spoil

LONG = "jw01234001001_02101_00001_nrcalong_rate.fits"


def commands(group=None, words=()):
    group = group or typer.main.get_command(app)
    yield words, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*words, name))


@pytest.fixture
def plan(folder):
    return bkgflow.plan("program", "out")


def many_units(plan, number, verdict=None):
    """A result of many units, called as JWST calls its files; the first went well."""
    verdict = verdict or (
        lambda i: Verdict.quarantined(
            FileError("A file must be there", value="none", cure="Fetch it", file=f"/d/g{i}.fits")
        )
    )
    [unit, *_] = plan.units
    units = [
        replace(
            unit,
            target=unit.target.parent / LONG.replace("00001", f"{i:05d}"),
            output=LONG.replace("00001", f"{i:05d}").replace("_rate", "_bsub"),
        )
        for i in range(number)
    ]
    verdicts = [Verdict(State.COMPLETE), *(verdict(i) for i in range(1, number))]
    return RunResult(replace(plan, units=tuple(units)), tuple(verdicts), 12.0)


# 80 columns.


@pytest.mark.slow
@pytest.mark.parametrize("words", [words for words, _ in commands()], ids=" ".join)
def test_help_fits_80_columns_with_whole_names_of_options(words, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    (command,) = (each for found, each in commands() if found == words)
    with pytest.raises(SystemExit):
        app([*words, "--help"], prog_name="bkgflow")
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "…" not in out
    assert "<bool>" not in out
    for parameter in command.params:
        if parameter.param_type_name == "option":
            assert parameter.opts[0] in out


@pytest.mark.slow
def test_tables_fit_80_columns_with_whole_names_of_files(plan):
    result = many_units(plan, 30)
    shown = as_text(run_table(result.plan, result.verdicts, 1.0, 80), 80)
    assert max(map(len, shown.splitlines())) <= 80
    assert sum(line.startswith("jw01234001001_02101_") for line in shown.splitlines()) == 30
    assert sum(unit.name in shown for unit in result.plan.units) == 30
    assert shown.count("…_bsub.fits") == 30
    shown = as_text(plan_table(result.plan, 80), 80)
    assert max(map(len, shown.splitlines())) <= 80
    assert sum(unit.name in shown for unit in result.plan.units) == 30


def test_tables_that_have_room_name_products_in_full(plan):
    result = many_units(plan, 3)
    shown = as_text(run_table(result.plan, result.verdicts, 1.0))
    assert all(unit.output in shown for unit in result.plan.units)


def test_the_shell_says_how_wide_a_table_is(folder, bkgflow_, monkeypatch, capsys):
    spoil(folder)
    plan = bkgflow.plan("program", "out")
    monkeypatch.setenv("COLUMNS", "60")
    bkgflow.show(plan)
    lines = capsys.readouterr().out.splitlines()
    paths = [line for line in lines if "/" in line]  # which are not broken
    assert max(len(line) for line in lines if line not in paths) <= 60


# Reasons, once each.


@pytest.mark.slow
def test_equal_errors_are_one_line_with_a_count(plan):
    result = many_units(plan, 3001)
    (text,) = what_went_wrong(result.pairs(), 80)
    first, *_ = text.splitlines()
    assert first == "3,000 units QUARANTINED: A file must be there (found: none). Fetch it."
    assert text.count("A file must be there") == 1
    assert "g1.fits, g2.fits, g3.fits and 2,997 more" in text
    assert max(map(len, text.splitlines())) <= 80
    assert len(text) < 600


def test_reasons_are_told_apart_by_their_rule_and_not_by_their_numbers(plan):
    def verdict(i):
        rule = "A file must be there" if i % 2 else "A file must be whole"
        return Verdict.quarantined(FileError(rule, value=f"{i} bytes", cure="Fetch it"))

    groups = grouped(many_units(plan, 101, verdict).pairs())
    assert [len(group.units) for group in groups] == [50, 50]
    assert all("such as: " in next(group.lines()) for group in groups)


@pytest.mark.slow
def test_a_quiet_run_of_many_says_what_went_wrong_and_the_summary(folder, bkgflow_):
    spoil(folder)
    code, out, err = bkgflow_("run", "program", "--output=o", "--cluster=threads", "--quiet")
    assert code == 1
    assert out.splitlines()[0] == "4 units: 2 COMPLETE, 1 QUARANTINED, 1 SKIPPED"
    assert len(out.splitlines()) == 2
    assert err.count("must be a readable file") == 1
    assert "SKIPPED" not in err


def test_plurals_are_right(folder, bkgflow_):
    assert many(1, "unit") == "1 unit"
    assert many(0, "unit") == "0 units"
    assert many(3000, "pixel has", "pixels have") == "3,000 pixels have"
    assert listed("abcd") == "a, b, c and 1 more"
    _, out, _ = bkgflow_("plan", "program/1_asn.json")
    assert "Plan: 1 unit (1 to do)" in out
    assert "2 exposures" in out and "once, for 1 target" in out
    assert "(s)" not in out


# At a prompt.


@pytest.mark.slow
def test_a_plan_and_a_result_are_short_at_a_prompt(plan):
    result = many_units(plan, 3001)
    for shown in (repr(result), repr(result.plan), repr(result.failed[0])):
        assert len(shown) < 1500
    assert len(repr(result.plan.units[:10])) < 2000
    assert len(repr(result.plan.exposures)) < 200 * len(result.plan.exposures)
    assert "3,000 units QUARANTINED" in repr(result)
    assert "Plan of 3,001 units" in repr(result.plan)


def test_failed_are_the_units_that_went_wrong(plan):
    result = many_units(plan, 5)
    assert [verdict.state for _, verdict in result.failed] == [State.QUARANTINED] * 4
    assert [unit.name for unit, _ in result.failed] == [u.name for u in result.plan.units[1:]]
    assert many_units(plan, 1).failed == []


def test_a_notebook_shows_a_small_table_whose_text_is_escaped(plan):
    bad = Verdict.quarantined(FileError("A <b>file</b> must be there", cure="Fetch & see"))
    result = many_units(plan, 3001, lambda i: bad)
    for thing in (result, result.plan):
        shown = thing._repr_html_()
        assert 20 < shown.count("<tr>") <= 25
        assert "<b>" not in shown and len(shown) < 30_000
        assert "2,981 more rows" in shown
    assert "&lt;b&gt;file" in result._repr_html_()
    assert "<td>QUARANTINED</td>" in result._repr_html_()


def test_plans_and_results_are_tables_of_pandas(plan):
    frame = plan.to_frame()
    assert list(frame["target"]) == ["t1_rate.fits", "t2_rate.fits"]
    assert set(frame["state"]) == {"PLANNED"}
    assert frame["shared"].nunique() == 1
    exposures = plan.exposures_to_frame().set_index("name")
    assert set(exposures.index) == {"t1_rate.fits", "t2_rate.fits", "b1_rate.fits", "b2_rate.fits"}
    assert set(exposures["exp_type"]) == {"MIR_IMAGE"}
    result = bkgflow.run(plan, cluster="threads")
    ended = result.to_frame()
    assert (ended["state"] == "COMPLETE").all()
    assert list(ended["product"]) == [str(path) for path in result.products]


@pytest.mark.parametrize("name", ["subtract", "plan"])
def test_every_argument_of_the_step_completes(name):
    shown = inspect.signature(getattr(bkgflow, name)).parameters
    assert set(StepSettings.model_fields) <= set(shown)
    for argument, field in StepSettings.model_fields.items():
        assert shown[argument].default == field.default
        assert shown[argument].kind is inspect.Parameter.KEYWORD_ONLY
    assert not any(each.kind is inspect.Parameter.VAR_KEYWORD for each in shown.values())


def test_type_checkers_see_the_arguments_that_there_are():
    """One source: a new argument of the step, or of a cluster, gets its line here as well."""
    assert list(get_type_hints(StepArguments)) == list(StepSettings.model_fields)
    assert set(get_type_hints(ClusterArguments)) == set(all_options())
    shown = inspect.signature(bkgflow.run).parameters
    assert set(all_options()) <= set(shown)


# Progress.


def test_a_notebooks_cell_shows_how_a_run_goes_on(plan):
    cell, clock = [], iter(np.arange(0, 100, 0.05))
    listen = progress_in(cell.append, plan, lambda: float(next(clock)))
    first, second = (unit.digest for unit in plan.units)
    listen(RunStarted("r", 2, "here"))
    for _ in range(20):
        listen(UnitStarted("r", first))
    assert len(cell) < 10  # not for every event
    listen(UnitEnded("r", first, Verdict(State.COMPLETE)))
    listen(UnitEnded("r", second, Verdict.blocked("<x>")))
    listen(RunEnded("r", 1.0))
    assert 'value="2" max="2"' in cell[-1]
    assert "2 of 2 units: 1 BLOCKED, 1 COMPLETE" in cell[-1]


def test_a_run_in_a_notebook_shows_one_cell_that_changes(plan, monkeypatch):
    shown = []

    class Handle:
        update = staticmethod(shown.append)

    def display(html, display_id):
        assert display_id
        shown.append(html)
        return Handle

    shell = types.SimpleNamespace(kernel=object())
    modules = {
        "IPython": types.SimpleNamespace(get_ipython=lambda: shell),
        "IPython.display": types.SimpleNamespace(HTML=str, display=display),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    assert bkgflow.run(plan, cluster="threads").ok
    assert "2 of 2 units: 2 COMPLETE" in shown[-1]
    del shell.kernel  # a prompt in a terminal
    assert notebook_cell() is None


def test_a_terminal_shows_what_is_compiled_and_a_pipe_has_a_line():
    def said(terminal, **options):
        out = io.StringIO()
        console = Console(file=out, force_terminal=terminal, width=80, color_system=None)
        with waiting(console=console, **options) as say:
            say("Compiling the kernels for image")
            say("Compiling the kernels for soss")
        return out.getvalue()

    lines = "Compiling the kernels for image\nCompiling the kernels for soss\n"
    assert said(False, quiet=False) == lines
    assert said(False, quiet=True) == said(True, quiet=True) == ""
    assert "kernels for image" in said(True, quiet=False)
    assert "0:00:0" in said(True, quiet=False)  # a clock


def test_a_quiet_run_shows_no_progress(plan):
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80)
    with progress_of(plan, quiet=True, console=console) as progress:
        bkgflow.run(plan, cluster="threads", listeners=[progress])
    assert out.getvalue() == ""


# What to install, and before what.


def test_what_to_install_fits_where_it_is_said():
    yes, no = (lambda name: True), (lambda name: None)
    where = {"python": "/opt/my env/bin/python", "base": "/usr/bin/python3"}
    by_pip = how_to_install("crds", has=yes, **where)
    assert by_pip == "'/opt/my env/bin/python' -m pip install crds"
    by_base = how_to_install("crds", has=no, installer=lambda: "pip", **where)
    assert by_base == "/usr/bin/python3 -m pip --python '/opt/my env/bin/python' install crds"
    by_uv = how_to_install("crds", has=no, installer=lambda: "uv", **where)
    assert by_uv == "uv pip install --python '/opt/my env/bin/python' crds"
    assert sys.executable in how_to_install("crds")


@pytest.mark.parametrize("command", ["run", "demo"])
def test_pictures_without_matplotlib_are_refused_before_the_work(
    command, folder, bkgflow_, monkeypatch
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    arguments = {"run": ("program", "--output=o", "--pictures"), "demo": ("o",)}[command]
    code, out, err = bkgflow_(command, *arguments, "--cluster=threads")
    assert (code, out) == (2, "")
    assert "matplotlib must be installed" in err
    assert f"{sys.executable} " in err and "install matplotlib" in err
    assert not (folder / "o").exists()


def test_a_plan_is_held_against_the_memory_of_its_workers(folder, bkgflow_, monkeypatch, plan):
    assert bkgflow_("plan", "program", "--memory=1GiB")[0] == 0
    code, _, err = bkgflow_("plan", "program", "--memory=plenty")
    assert code == 2 and "at least 256 MiB" in err
    large = replace(plan, costs=replace(plan.costs, unit_task=1 << 30))
    monkeypatch.setattr(api, "plan", lambda *_, **__: large)
    assert bkgflow_("plan", "program", "--memory=2GiB")[0] == 0
    code, out, err = bkgflow_("plan", "program", "--memory=512MiB")
    assert code == 2
    assert "Plan: 2 units" in out
    assert "holds up to 1024 MiB" in err and "512 MiB" in err


# Files that others write.


@pytest.mark.slow
def test_stacks_and_what_is_made_of_them_can_be_written_to_netcdf(tmp_path, write_exposure):
    dq = np.array([[0, 1, 2**31], [4, 2**31 + 1, 0]], np.uint32)
    paths = [write_exposure(f"{i}_rate.fits", np.full((2, 3), i), dq=dq) for i in (1.0, 2.0)]
    stack = bkgflow.open_stack(paths)
    exposure = bkgflow.open_exposure(paths[0])
    for number, data in enumerate((stack, bkgflow.combine(stack), exposure)):
        path = tmp_path / f"{number}.nc"
        data.to_netcdf(path, engine="scipy")
        with xr.open_dataset(path, engine="scipy") as back:
            for name in data.data_vars:
                np.testing.assert_array_equal(back[name], data[name])
            assert back["dq"].dtype == np.uint32
            assert back.attrs["bkgflow_version"] == bkgflow.__version__
            if number < 2:
                assert back.attrs["paths"].splitlines() == list(map(str, paths))


def test_what_is_shown_must_be_a_plan_or_a_result():
    with pytest.raises(UsageError, match="must be a plan, or the result of a run"):
        bkgflow.show(3)
