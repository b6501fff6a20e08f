"""The command line. Each command is a short file; heavy imports wait until one is called."""

from __future__ import annotations

import inspect
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

import typer

from bkgflow.campaign.signals import exit_code, received, stoppable
from bkgflow.cli.associate import associate
from bkgflow.cli.cancel import cancel
from bkgflow.cli.clean import clean
from bkgflow.cli.clusters import clusters
from bkgflow.cli.demo import demo
from bkgflow.cli.diff import diff
from bkgflow.cli.explain import explain
from bkgflow.cli.export import export
from bkgflow.cli.export_fits import export_fits
from bkgflow.cli.list import list_
from bkgflow.cli.plan import plan
from bkgflow.cli.rebuild import rebuild
from bkgflow.cli.retry import retry
from bkgflow.cli.run import run
from bkgflow.cli.simulate import simulate
from bkgflow.cli.spelling import Command, Commands
from bkgflow.cli.status import status
from bkgflow.cli.submit import submit
from bkgflow.cli.subtract import subtract
from bkgflow.cli.verify import verify
from bkgflow.cli.wait import wait
from bkgflow.cli.warm_up import warm_up
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


def _flowing(command: Callable[..., None]) -> str:
    """The docstring as help: typer would keep its line breaks and break the lines again."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


app.command(cls=Command, help=_flowing(subtract))(subtract)
app.command(cls=Command, help=_flowing(plan))(plan)
app.command(cls=Command, help=_flowing(run))(run)
app.command(cls=Command, help=_flowing(associate))(associate)
app.command(cls=Command, help=_flowing(explain))(explain)
app.command(cls=Command, help=_flowing(verify))(verify)
app.command(cls=Command, help=_flowing(export))(export)
app.command("export-fits", cls=Command, help=_flowing(export_fits))(export_fits)
app.command(cls=Command, help=_flowing(diff))(diff)
app.command("list", cls=Command, help=_flowing(list_))(list_)
app.command(cls=Command, help=_flowing(clean))(clean)
app.command(cls=Command, help=_flowing(rebuild))(rebuild)
for each in (submit, status, wait, cancel, retry):
    app.command(cls=Command, help=_flowing(each))(each)
app.add_typer(clusters)
app.add_typer(simulate)
app.command(cls=Command, help=_flowing(demo))(demo)
app.command("warm-up", cls=Command, help=_flowing(warm_up))(warm_up)


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
        except BkgflowError as error:
            _say(str(error))
            code = 2 if isinstance(error, UsageError | OutputError) else 1
        except OSError as problem:  # a full disk behind standard output, for one
            _say(f"the system says: {problem}. Mend that and try again.")
            code = 1
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
