"""How long files and functions may grow, and how much may stay untyped."""

from __future__ import annotations

import ast
import re

import pytest

from tests.helpers.sources import modules, report

FILE, FUNCTION, ANYS = 330, 60, 166


def test_no_file_is_too_long():
    lengths = {module.name: len(module.text.splitlines()) for module in modules()}
    report(
        f"A file must have no more than {FILE} lines: cut it where its subject changes:",
        [f"{name}: {length} lines" for name, length in lengths.items() if length > FILE],
    )


def body_length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function, without those of its docstring."""
    length = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        length -= function.body[0].end_lineno - function.body[0].lineno + 1
    return length


@pytest.mark.slow
def test_no_function_is_too_long():
    report(
        f"A function must have no more than {FUNCTION} lines beside its docstring:",
        [
            module.at(node, f"{node.name} has {body_length(node)} lines")
            for module in modules()
            for node in ast.walk(module.tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and body_length(node) > FUNCTION
        ],
    )


def test_any_is_rare():
    counts = {module.name: len(re.findall(r"\bAny\b", module.text)) for module in modules()}
    most = sorted(counts.items(), key=lambda each: -each[1])[:15]
    assert sum(counts.values()) <= ANYS, (
        f"Any must stand no more than {ANYS} times in bkgflow/, only where a library gives nothing;"
        f" it stands {sum(counts.values())} times, most of them in\n"
        + "\n".join(f"{name}: {count}" for name, count in most)
    )
