"""The help of every command, and how light it is."""

import os
import re
import subprocess
import sys

import pytest
import typer.main

import bkgflow
from bkgflow.cli import app
from bkgflow.cli.commands import COMMANDS

HEAVY = ("dask", "distributed", "astropy", "numba", "stdatamodels", "xarray", "numpy", "matplotlib")

OF_RUNS = {
    ("export-fits",): {"--format"},
    ("clusters", "show"): {"--cluster"},
    ("clusters", "check"): {"--cluster"},
}
"""Options of another command, which made or takes what these are given."""


def commands():
    """Every command with the words that call it."""
    group = typer.main.get_command(app)
    found = [((), group)]
    for name, command in group.commands.items():
        found.append(((name,), command))
        for below, inner in getattr(command, "commands", {}).items():
            found.append(((name, below), inner))
    return found


def test_the_help_says_of_each_command_what_its_own_help_begins_with():
    group = typer.main.get_command(app)
    assert list(group.commands) == list(COMMANDS)
    for name, listed in COMMANDS.items():
        assert group.commands[name].help.partition("\n\n")[0] == listed.help


def test_all_commands_are_there():
    assert {" ".join(words) for words, _ in commands()} == {
        "",
        "subtract",
        "associate",
        "plan",
        "run",
        "explain",
        "verify",
        "export",
        "diff",
        "list",
        "clean",
        "clusters",
        "clusters check",
        "clusters list",
        "clusters show",
        "rebuild",
        "submit",
        "status",
        "wait",
        "cancel",
        "retry",
        "simulate",
        "simulate dithers",
        "simulate imaging",
        "simulate nods",
        "simulate soss",
        "simulate template",
        "simulate tso",
        "simulate wfss",
        "demo",
        "export-fits",
        "warm-up",
    }


@pytest.mark.slow
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


@pytest.mark.parametrize("words", [words for words, _ in commands()], ids=" ".join)
def test_what_is_said_of_a_parameter_names_options_that_the_command_has(words):
    (command,) = (each for found, each in commands() if found == words)
    known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    for parameter in command.params:
        named = re.findall(r"(?<![\w-])--[a-z][a-z-]*", parameter.help or "")
        assert set(named) <= known | OF_RUNS.get(words, set()), parameter.name


@pytest.mark.slow
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


@pytest.mark.slow
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
