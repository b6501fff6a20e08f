"""``bkgflow simulate``: synthetic programs with known truth.

The options of a command are the arguments of its function that say what help to give.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, MutableMapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperGroup

from bkgflow.cli.spelling import Command, Narrow

if TYPE_CHECKING:
    from bkgflow.simulate import Simulated
    from bkgflow.simulate.arguments import Argument
    from bkgflow.simulate.truth import Exposure, Program

__all__ = ["simulate"]

HELP = {
    "imaging": "Targets that share dedicated background exposures (rate images).",
    "dithers": "Dithers of a crowded field, without dedicated backgrounds or associations.",
    "nods": "A NIRSpec nod pattern: each exposure is the background of the others.",
    "tso": "A time series with a transit (rateints cubes).",
    "soss": "A NIRISS SOSS time series in segments, and a library of sky templates.",
    "template": "NIRISS images with stray light (a light saber), and its template.",
    "wfss": "Slitless exposures with their catalog and references (wavelengthrange, sky).",
}

DEFAULTS = {("imaging", "instrument"): "NIRCam", ("wfss", "seed"): 1}
"""Where a command's default differs from its function's."""

Commands = MutableMapping[str, Any]  # typer has click's Command to itself

Out = Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write to.")]


class _Scenes(Narrow, TyperGroup):
    """Makes the commands when they are asked for: their functions take long to import."""

    @property
    def commands(self) -> Commands:
        """The commands by name."""
        return _commands()

    @commands.setter
    def commands(self, none: object) -> None:
        """Take none: the group is made without any."""


simulate = typer.Typer(
    name="simulate",
    cls=_Scenes,
    help="Write a synthetic program: exposures, associations, and the truth.",
    no_args_is_help=True,
)


@simulate.callback()
def _group() -> None:
    """Make a group of what has no commands yet."""


@cache
def _commands() -> Commands:
    import bkgflow.simulate

    app = typer.Typer()
    for name, text in HELP.items():
        app.command(name, cls=Command, help=text)(
            _command(name, getattr(bkgflow.simulate, f"simulate_{name}"))
        )
    return typer.main.get_group(app).commands


def _command(name: str, make: Callable[..., Simulated[Program[Exposure]]]) -> Callable[..., None]:
    """Give a function of bkgflow.simulate the face of a command."""

    def command(out: Path, **arguments: object) -> None:
        made = make(out, **arguments, on_exposure=typer.echo)
        counts = f"{len(made.exposures)} exposures and {len(made.associations)} associations"
        typer.echo(f"{counts} in {made.folder}")

    parameters = [inspect.Parameter("out", inspect.Parameter.KEYWORD_ONLY, annotation=Out)]
    hints = get_type_hints(make, include_extras=True)
    for each in inspect.signature(make).parameters.values():
        if get_origin(hints[each.name]) is Annotated:
            default = DEFAULTS.get((name, each.name), each.default)
            option = _option(each.name, *get_args(hints[each.name]))
            parameters.append(each.replace(default=default, annotation=option))
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command


def _option(name: str, kind: object, argument: Argument) -> object:
    """Return the type of an argument with what the command line needs of it."""
    if get_origin(kind) is Literal:
        kind = str  # in any case of letters; the function looks
    words = [f"--{name.replace('_', '-')}"] if kind is bool else []  # without a --no-… beside it
    shown = argument.default or True
    return Annotated[kind, typer.Option(*words, help=argument.help, show_default=shown)]
