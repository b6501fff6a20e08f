"""Values of settings as their kinds want them: a text that says a number or a truth becomes one."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import get_args, get_type_hints

from bkgflow.errors import UsageError

__all__ = ["typed"]

FORMS = frozenset({"adaptive", "options", "environment", "prologue", "directives"})
"""Settings that have several forms, and are held against them by the cluster itself."""

SIZES = frozenset({"memory", "driver_memory"})
"""Settings that are a size in memory."""


def typed(kind: type[object], settings: Mapping[str, object]) -> dict[str, object]:
    """Return settings of a kind of cluster with values of their types.

    Raises
    ------
    UsageError
        If a setting cannot have its value.
    """
    hints = get_type_hints(kind)
    return {
        name: value if name in FORMS else _typed(name, value, hints[name])
        for name, value in settings.items()
    }


def _typed(name: str, value: object, hint: object) -> object:
    members = get_args(hint) or (hint,)
    if type(value) in members:
        return value
    from pydantic import TypeAdapter, ValidationError

    given = value
    if isinstance(value, PathLike) or (isinstance(value, bool) and bool not in members):
        given = str(value)  # true is no number, whatever Python says
    try:
        adapter: TypeAdapter[object] = TypeAdapter(hint)  # type: ignore[arg-type]
        return adapter.validate_python(given, strict=False)
    except ValidationError as problem:
        raise UsageError(
            "A setting of a cluster must have a value of its kind",
            value=f"{name}: {given!r} ({problem.errors()[0]['msg']})",
            cure=_cure(name, value, members),
        ) from None


def _cure(name: str, value: object, members: tuple[object, ...]) -> str:
    if name in SIZES:
        return "Give a size such as 4GiB"
    if bool in members:
        return "Give true or false"
    if float in members:
        return "Give a number of seconds, such as 60"
    if str not in members:
        return "Give a whole number"
    if isinstance(value, Mapping | list | tuple):
        return "Give a single text"
    return f'Put it in quotes, so that it is a text: {name}: "…"'
