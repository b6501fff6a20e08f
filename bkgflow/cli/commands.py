"""The commands by name: each is imported when it is called, and not to be listed."""

from __future__ import annotations

import inspect
from collections import UserDict
from collections.abc import Callable, Mapping, MutableMapping
from functools import cached_property
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from bkgflow.cli.spelling import Command, Narrow
from bkgflow.errors import UsageError
from bkgflow.strun import STEP_NAMES

__all__ = ["COMMANDS", "Commands"]


_Made = Any
"""A command, or what click hands to one: typer has click's types to itself."""


class _Listed(NamedTuple):
    """Where a command is, in this package, and the first paragraph of its help."""

    where: str
    help: str


COMMANDS: Mapping[str, _Listed] = {
    "subtract": _Listed(
        "subtract:subtract",
        "Subtract the background from one exposure and write its product.",
    ),
    "plan": _Listed(
        "plan:plan",
        "Look at every exposure of a program and show what a run would do.",
    ),
    "run": _Listed(
        "run:run",
        "Subtract the backgrounds of a whole program and write every product.",
    ),
    "associate": _Listed(
        "associate:associate",
        "Write associations that name the background of every exposure of a program.",
    ),
    "explain": _Listed(
        "explain:explain",
        "Say why a unit is done, stale, skipped, failed, refused or left.",
    ),
    "verify": _Listed(
        "verify:verify",
        "See whether every product is there, opens, and has the bytes that it had.",
    ),
    "export": _Listed(
        "export:export",
        "Write a campaign as a table, a row for each unit: how it ended, why, and with what.",
    ),
    "export-fits": _Listed(
        "export_fits:export_fits",
        "Write the FITS files of products that are stored as zarr, as if they had been written so.",
    ),
    "diff": _Listed(
        "diff:diff",
        "Say what is different in two output folders, unit by unit, the worst first.",
    ),
    "list": _Listed(
        "list:list_",
        "List the campaigns below a folder: their units by state, labels, last run and size.",
    ),
    "clean": _Listed(
        "clean:clean",
        "Show what nobody wants any more, with sizes; remove it with --yes.",
    ),
    "rebuild": _Listed(
        "rebuild:rebuild",
        "Make a ledger again from the products, where it is lost or damaged.",
    ),
    "submit": _Listed(
        "submit:submit",
        "Run a whole program in a process of its own, which lives on when the shell ends.",
    ),
    "status": _Listed(
        "status:status",
        "Say how a campaign stands: counts, pace, what is computed now, what went wrong and why.",
    ),
    "wait": _Listed(
        "wait:wait",
        "Wait until nothing of a campaign runs any more; then say how it stands.",
    ),
    "cancel": _Listed(
        "cancel:cancel",
        "End the run of a campaign in order, wherever its driver is, and wait until it has ended.",
    ),
    "retry": _Listed(
        "retry:retry",
        "Run a campaign again by itself: what is left, what has changed, and what went wrong.",
    ),
    "clusters": _Listed(
        "clusters:clusters",
        "Where a run may compute: the profiles there are, what they mean, whether they work.",
    ),
    "simulate": _Listed(
        "simulate:simulate",
        "Write a synthetic program: exposures, associations, and the truth.",
    ),
    "demo": _Listed("demo:demo", "Simulate a small mixed program, run it, and draw what it did."),
    "warm-up": _Listed(
        "warm_up:warm_up",
        "Compile the kernels for this machine, once, and keep the machine code.",
    ),
}
"""In the order of the help."""


class _Loading(UserDict[str, _Made]):
    """Commands by name, each made when it is asked for."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(COMMANDS))

    def __getitem__(self, name: str) -> _Made:
        if self.data[name] is None:
            self.data[name] = _made(name)
        return self.data[name]


def _made(name: str) -> _Made:
    module, _, attribute = COMMANDS[name].where.partition(":")
    thing = getattr(import_module(f"bkgflow.cli.{module}"), attribute)
    if isinstance(thing, typer.Typer):
        return typer.main.get_group(thing)
    app = typer.Typer()
    app.command(name, cls=Command, help=_flowing(thing))(thing)
    return typer.main.get_group(app).commands[name]


def _flowing(command: Callable[..., None]) -> str:
    """The docstring as help: typer would keep its line breaks and break the lines again."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


class Commands(Narrow, TyperGroup):
    """The commands; where strun's users write the name of the step, the one that does it."""

    _listing = False

    @cached_property
    def _loading(self) -> _Loading:
        return _Loading()

    @property
    def commands(self) -> MutableMapping[str, _Made]:
        """The commands by name."""
        return self._loading

    @commands.setter
    def commands(self, none: object) -> None:
        """Take none: the group is made without any."""

    def list_commands(self, ctx: _Made) -> list[str]:
        """Return their names, as the help has them."""
        return list(COMMANDS)

    def get_command(self, ctx: _Made, cmd_name: str) -> _Made:
        """Return a command; for the help, one that only says what it does."""
        if self._listing:
            return TyperCommand(cmd_name, help=COMMANDS[cmd_name].help)
        return super().get_command(ctx, cmd_name)

    def format_help(self, ctx: _Made, formatter: _Made) -> None:
        """Write the help."""
        self._listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._listing = False

    def resolve_command(self, ctx: _Made, args: list[str]) -> tuple[_Made, _Made, list[str]]:
        """Find the command, or say which one is meant."""
        name = args[0].replace("-", "_") if args else ""
        if name in STEP_NAMES or name.endswith((".asdf", ".cfg", ".fits", ".json")):
            settings = " --settings FILE" if name.endswith((".asdf", ".cfg")) else ""
            raise UsageError(
                f"The first word must be one of bkgflow's commands: {', '.join(COMMANDS)}",
                value=args[0],
                cure=f"The step bkg_subtract is bkgflow subtract TARGET{settings}; "
                f"for a whole program it is bkgflow run PROGRAM --output DIR{settings}",
            )
        return super().resolve_command(ctx, args)
