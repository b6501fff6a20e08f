"""Commands that get several options as one mapping, by the names of the options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Annotated, Any, get_type_hints

__all__ = ["parameter", "takes"]


def takes(
    command: Callable[..., None], mapping: str, made: Sequence[inspect.Parameter]
) -> Callable[..., None]:
    """Give a command more options; it gets their values as one mapping."""
    hints = get_type_hints(command, include_extras=True)
    own = [
        parameter.replace(annotation=hints[parameter.name], kind=parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(command).parameters.values()
        if parameter.name != mapping
    ]

    @wraps(command)
    def wrapped(**values: object) -> None:
        taken = {parameter.name: values.pop(parameter.name) for parameter in made}
        # What was not given may stand in a parameter file.
        taken = {name: value for name, value in taken.items() if value not in (None, [])}
        command(**values, **{mapping: taken})

    # Typer reads the signature, and the annotations where it is wrapped once more.
    wrapped.__signature__ = inspect.Signature([*own, *made])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {p.name: p.annotation for p in (*own, *made)}
    return wrapped


def parameter(name: str, kind: Any, default: object, words: object) -> inspect.Parameter:
    """Return an option: its type, its default, and its words as typer has them."""
    annotation = Annotated[kind, words]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )
