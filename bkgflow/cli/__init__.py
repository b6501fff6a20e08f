"""The command line. Each command is a short file; heavy imports wait until one is called."""

from __future__ import annotations

import sys

import typer

from bkgflow.cli.demo import demo
from bkgflow.cli.plan import plan
from bkgflow.cli.run import run
from bkgflow.cli.simulate import simulate
from bkgflow.cli.subtract import subtract
from bkgflow.errors import BkgflowError, OutputError, UsageError
from bkgflow.version import VERSION

__all__ = ["app", "main"]

app = typer.Typer(
    name="bkgflow",
    help="Background subtraction for whole JWST programs, as dask task graphs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={
        "help_option_names": ["-h", "--help"],
        # strun's users type --bkg_list; both spellings are one option.
        "token_normalize_func": lambda token: token.replace("_", "-"),
    },
)
app.command()(subtract)
app.command()(plan)
app.command()(run)
app.add_typer(simulate)
app.command()(demo)


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
    try:
        app()
    except BkgflowError as error:
        typer.echo(f"bkgflow: {error}", err=True)
        sys.exit(2 if isinstance(error, UsageError | OutputError) else 1)
    except KeyboardInterrupt:
        typer.echo("bkgflow: stopped; products that were written are whole", err=True)
        sys.exit(130)
