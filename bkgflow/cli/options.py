"""Options that several commands share."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer
from pydantic.fields import FieldInfo

from bkgflow.settings import StepSettings

__all__ = ["BkgList", "OutputDir", "Quiet", "References", "takes_step_arguments"]

STEP = "Step arguments"

BkgList = Annotated[
    str | None,
    typer.Option(
        help="Background exposures, separated by commas.",
        metavar="FILE[,FILE…]",
        rich_help_panel=STEP,
    ),
]
OutputDir = Annotated[
    Path, typer.Option(help="Folder of the products.", metavar="DIR", show_default="this folder")
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Say only what went wrong, and what was written.")
]
References = Annotated[
    Path | None,
    typer.Option(
        help="Folder of reference files for WFSS and SOSS; without it, CRDS is asked.",
        metavar="DIR",
        show_default=False,
    ),
]


def takes_step_arguments(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each of the step's arguments.

    The command gets them all as one mapping, ``arguments``.
    """
    hints = get_type_hints(command, include_extras=True)
    own = [p for p in inspect.signature(command).parameters.values() if p.name != "arguments"]
    steps = [_parameter(name, field) for name, field in StepSettings.model_fields.items()]

    @wraps(command)
    def wrapped(**values: Any) -> None:
        arguments = {name: values.pop(name) for name in StepSettings.model_fields}
        command(**values, arguments=arguments)

    own = [p.replace(annotation=hints[p.name], kind=p.KEYWORD_ONLY) for p in own]
    wrapped.__signature__ = inspect.Signature([*own, *steps])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {p.name: p.annotation for p in (*own, *steps)}
    return wrapped


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    """Make the option of one step argument: its type, default and description are the field's."""
    method = name.split("_", maxsplit=1)[0].upper()
    text = field.description or ""
    options: dict[str, Any] = {"help": text, "rich_help_panel": STEP}
    if text.startswith(f"{method}: "):  # the panel says so
        text = text.removeprefix(f"{method}: ")
        options = {"help": text[0].upper() + text[1:], "rich_help_panel": f"{STEP} for {method}"}
    kind, default = field.annotation, field.default
    if kind is bool:
        option = typer.Option(f"--{name.replace('_', '-')}", **options)
    elif isinstance(default, tuple):
        kind, default = str, ",".join(f"{value:g}" for value in default)
        option = typer.Option(metavar="LOW,HIGH", **options)
    elif isinstance(default, str):
        kind = str
        option = typer.Option(metavar="|".join(get_args(field.annotation)), **options)
    else:
        option = typer.Option(**options)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]
    )
