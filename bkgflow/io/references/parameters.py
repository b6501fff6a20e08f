"""Parameter files, as strun takes them and `Step.export_config` writes them: ASDF, or .cfg."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Any

from bkgflow.errors import FileError
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.reading import understood
from bkgflow.strun import NONE, STEP_NAMES

__all__ = ["read_parameters"]

RULE = "A parameter file must be an ASDF file, or a .cfg file, of the step bkg_subtract"
CURE = "Write one with BackgroundStep().export_config('step.asdf'), or give the arguments by name"

LINE = re.compile(r"""(\w+)\s*=\s*((?:"[^"]*"|'[^']*'|[^#])*?)\s*(?:\#.*)?""")
"""A name, and a value up to a comment; within quotes, # begins none."""

SECTION = re.compile(r"\[+\s*([\w.]+)\s*\]+")

Parameters = dict[str, Any]


def read_parameters(path: PathLike) -> Parameters:
    """Return what a parameter file says of the step ``bkg_subtract``, by name.

    It may be the file of the step, or that of a pipeline which the step is part of.

    Raises
    ------
    FileError
        If it cannot be read, or is of another step.
    """
    location = Location.of(path)
    raw = location.read_bytes("A parameter file")
    if raw.startswith(b"#ASDF"):
        with location.as_file() as file, understood(RULE, location, CURE):
            import asdf

            found = _of_tree(asdf.util.load_yaml(file))
    else:
        text = location.read_text("A parameter file of another format than ASDF")
        with understood(RULE, location, CURE):
            found = _of_lines(text)
    if found is None:
        raise FileError(RULE, file=location, value="no parameters of this step", cure=CURE)
    return found


def _is_the_step(*names: object) -> bool:
    return not {str(name).rpartition(".")[2] for name in names}.isdisjoint(STEP_NAMES)


def _of_tree(tree: Mapping[str, Any]) -> Parameters | None:
    """Find the step in the tree of a step or of a pipeline, of the present or the older layout."""
    parameters = tree["parameters"]
    if _is_the_step(tree.get("name"), tree.get("class"), parameters.get("class")):
        return {name: each for name, each in parameters.items() if name not in {"class", "name"}}
    older = parameters.get("steps", {})
    steps = [*tree.get("steps", []), *({"name": k, "parameters": v} for k, v in older.items())]
    return next((found for step in steps if (found := _of_tree(step)) is not None), None)


def _of_lines(text: str) -> Parameters | None:
    """Find the step in a file of ``name = value`` lines, in sections where it is a pipeline's."""
    sections: dict[str, Parameters] = {"": {}}
    section = sections[""]
    for name, value in _lines(text):
        if value is None:
            section = sections.setdefault(name, {})
        else:
            section[name] = _value(value)
    top = sections[""]
    if _is_the_step(top.get("name"), top.get("class")):
        return {name: each for name, each in top.items() if name not in {"class", "name"}}
    return next((sections[name] for name in STEP_NAMES if name in sections), None)


def _lines(text: str) -> Iterator[tuple[str, str | None]]:
    """Give names with their values, and the names of sections with None."""
    for line in map(str.strip, text.removeprefix("\ufeff").splitlines()):
        if not line or line.startswith("#"):
            continue
        if found := SECTION.fullmatch(line):
            yield found[1], None
        elif found := LINE.fullmatch(line):
            yield found[1], found[2]
        else:
            raise ValueError(f"not name = value: {line[:60]}")


def _value(text: str) -> object:
    """Return what a value stands for: a list with commas, a number, a yes or no, else text."""
    if text in {NONE, ""}:
        return None
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        parts = [part.strip().strip("'\"") for part in text.split(",")]
        return parts if len(parts) > 1 else parts[0]
