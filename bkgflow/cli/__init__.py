"""The command line. Each command is a short file; heavy imports wait until one is called."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from contextlib import suppress

import typer

from bkgflow.campaign.signals import exit_code, received, stoppable
from bkgflow.cli.commands import Commands
from bkgflow.errors import BkgflowError, OutputError, UsageError
from bkgflow.texts import columns_of, wrapped
from bkgflow.version import VERSION

__all__ = ["app", "as_command", "main"]

STOPPED = 130
"""What typer makes of Ctrl-C: 128 and the number of SIGINT, as shells have it."""

app = typer.Typer(
    name="bkgflow",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={
        "help_option_names": ["-h", "--help"],
        # strun's users type --bkg_list; both spellings are one option.
        "token_normalize_func": lambda token: token.replace("_", "-"),
    },
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bkgflow {VERSION}")
        raise typer.Exit


@app.callback()
def _common(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Background subtraction for whole JWST programs, as dask task graphs."""


def main() -> None:
    """Run the command line; every error of bkgflow becomes a line and an exit code."""
    as_command(lambda: app(prog_name="bkgflow"))


def as_command(work: Callable[[], object]) -> None:
    """Do something as a command does it: errors become lines, signals end it in order."""
    with stoppable(at_once=True):
        try:
            work()
            code = 0
        except BkgflowError as error:
            _say(str(error))
            code = 2 if isinstance(error, UsageError | OutputError) else 1
        except OSError as problem:  # a full disk behind standard output, for one
            _say(f"the system says: {problem}. Mend that and try again.")
            code = 2  # no unit's affair
        except KeyboardInterrupt:  # between typer and here
            code = STOPPED
        except SystemExit as end:
            if end.code != STOPPED and not received():
                raise
            code = STOPPED
        number = received() or (signal.SIGINT if code == STOPPED else 0)
        if number:
            name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
            _say(f"stopped by {name}; products that were written are whole")
            code = exit_code(number)
        sys.exit(code)


def _say(line: str) -> None:
    """Write a line to standard error, or nowhere if the terminal is gone."""
    with suppress(OSError):
        # On a terminal in lines that fit, in a pipe in one line.
        typer.echo(wrapped(f"bkgflow: {line}", columns_of(sys.stderr)), err=True)
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except (OSError, ValueError):
            setattr(sys, name, None)  # else Python itself fails to flush it, with a code of its own
