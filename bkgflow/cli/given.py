"""Commands that get several options as one mapping, by the names of the options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

__all__ = ["UNSET", "parameter", "takes"]

LISTS = ("bkg_list", "imprints")

UNSET = "bkgflow.unset"
"""In the context of a command: options of which None, or no, was said in so many words."""


def takes(
    command: Callable[..., None],
    mapping: str,
    made: Sequence[inspect.Parameter],
    *,
    unset: bool = False,
) -> Callable[..., None]:
    """Give a command more options; it gets their values as one mapping.

    With ``unset``, the mapping also has those of which None, or no, was said: a parameter file
    may say something else.
    """
    hints = get_type_hints(command, include_extras=True)
    own = [
        parameter.replace(annotation=hints[parameter.name], kind=parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(command).parameters.values()
        if parameter.name != mapping
    ]

    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    more = [context, *made] if unset else made

    @wraps(command)
    def wrapped(**values: Any) -> None:
        taken = {parameter.name: values.pop(parameter.name) for parameter in made}
        # What was not given may stand in a parameter file.
        said = values.pop(context.name).meta.get(UNSET, {}) if unset else {}
        # Lists that the command has itself: none of them is another word than nothing said.
        values |= {name: [] for name in LISTS if name in said and name in values}
        taken = {
            name: said.get(name, value)
            for name, value in taken.items()
            if value not in (None, []) or name in said
        }
        command(**values, **{mapping: taken})

    # Typer reads the signature, and the annotations where it is wrapped once more.
    wrapped.__signature__ = inspect.Signature([*own, *more])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {p.name: p.annotation for p in (*own, *more)}
    return wrapped


def parameter(name: str, kind: Any, default: object, words: object) -> inspect.Parameter:
    """Return an option: its type, its default, and its words as typer has them."""
    annotation = Annotated[kind, words]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )
