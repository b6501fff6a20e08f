"""What is said of an argument that is out of bounds: pydantic's complaints as our errors."""

from __future__ import annotations

from difflib import get_close_matches

from pydantic import BaseModel, ValidationError

from bkgflow.errors import SettingsError

__all__ = ["settings_error"]


def settings_error(model: type[BaseModel], problem: ValidationError) -> SettingsError:
    """Turn pydantic's first complaint into rule, value and cure."""
    first = problem.errors()[0]
    # Beside names and places in a list, pydantic names the choices that it made of our types.
    own, *inner = first["loc"]
    name = ".".join(str(part) for part in (own, *(p for p in inner if isinstance(p, int))))
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        return SettingsError(
            f"An argument must be one of the step's; {name} is not an argument of it",
            value=f"{name}={first['input']!r}",
            cure=_suggestion(name, list(model.model_fields)),
        )
    field = model.model_fields[name]
    return SettingsError(
        _rule(name, first["type"], first["msg"]),
        value=f"{name}={first['input']!r}"[:200],
        cure=f"{(field.description or '').removesuffix('.')}. The default is {field.default}",
    )


def _rule(name: str, kind: str, message: str) -> str:
    """Return what must hold: pydantic's words for a complaint, or better ones."""
    known = {
        "bool": "yes or no (True or False)",
        "float": "a number",
        "int": "a whole number (an integer)",
        "int_from_float": "a whole number (an integer)",
        "missing": "a pair of numbers",
        "string": "text or a path",
        "too_long": "a pair of numbers",
        "tuple": "a pair of numbers",
    }
    words = known.get(kind.removesuffix("_type").removesuffix("_parsing"))
    rule = f"{name} must be {words}" if words else message.removeprefix("Value error, ")
    rule = rule.replace("Input should", f"{name} must")
    return rule if name in rule else f"Of {name}, {rule}"


def _suggestion(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"Use {close[0]}" if close else f"Use one of: {', '.join(known)}"
