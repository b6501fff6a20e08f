"""An error states the rule, and then what was found: its text says what must hold."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from functools import cache

import pytest

from bkgflow import errors
from tests.helpers.sources import Module, modules, report

ERRORS = {name for name in errors.__all__ if inspect.isclass(getattr(errors, name))}

PASSED_ON = {
    "api/clusters.py: problem.rule": "the rule of the error that is raised again, with a log",
    "parameters.py: error.rule": "the rule of the error that is raised again, with a file",
    "clusters/refusals.py: first.rule": "the rule of the first of several errors",
    "programs/program.py: error.rule": "the rule of the error that is raised again",
    "programs/program.py: problem.rule": "the rule of the error that is raised again",
    "errors.py: rule": "an error that comes back from JSON or from another process",
    "io/storage/reading.py: rule": "whoever opens a file says which rule it breaks",
    "rules.py: rule": "the rules stand where the function is called",
    "complaints.py: _rule(name, first['type'], first['msg'])": "pydantic's words made ours",
    "simulate/arguments.py: rule": "the rules stand where the function is called",
    "api.py: rule": "the rules stand where the function is called",
}
"""First arguments that are no text of their own, and why."""

RULES_OF = {
    "understood": 0,
    "api._no_plan": 0,
    "rules._must": 1,
    "simulate/arguments._refused": 0,
}
"""Functions that are given a rule for an error, and at which place."""


@cache
def of_errors(module: Module) -> frozenset[str]:
    """Names that stand for one of bkgflow's errors: itself, or what a function is made of."""
    made = set(ERRORS)
    for node in ast.walk(module.tree):
        match node:
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(func=ast.Name(id="partial"), args=[ast.Name(id=kind), *_]),
            ) if kind in ERRORS:
                made.add(name)
    return frozenset(made)


def rules(module: Module) -> Iterator[tuple[ast.AST, ast.expr]]:
    """What every error of a module is given as its rule."""
    for node in ast.walk(module.tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        name = node.func.id
        place = RULES_OF.get(name, RULES_OF.get(f"{module.room}.{name}"))
        place = 0 if name in of_errors(module) else place
        given = [each.value for each in node.keywords if each.arg == "rule"]
        if place is not None and (given or len(node.args) > place):
            yield node, given[0] if given else node.args[place]


def texts(rule: ast.expr, module: Module) -> list[str]:
    """What a rule may say: itself, or what its name is given in this module."""
    match rule:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr():
            return [ast.unparse(rule)]
        case ast.IfExp(body=body, orelse=orelse):
            return texts(body, module) + texts(orelse, module)
        case ast.Name(id=name):
            return [text for value in values(name, module) for text in texts(value, module)]
    return []


def values(name: str, module: Module) -> Iterator[ast.expr]:
    for node in ast.walk(module.tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=found)], value=value) if found == name:
                yield value
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=found)):
                for each, value in zip(names, found, strict=True):
                    if isinstance(each, ast.Name) and each.id == name:
                        yield value


def against(module: Module) -> Iterator[str]:
    for node, rule in rules(module):
        said = texts(rule, module)
        if not said and f"{module.room}.py: {ast.unparse(rule)}" not in PASSED_ON:
            yield module.at(node, f"no text: {ast.unparse(rule)}")
        for text in said:
            if "must" not in text:
                yield module.at(node, text)


@pytest.mark.slow
def test_every_error_says_what_must_hold():
    report(
        "The first argument of an error must be its rule, a sentence with 'must': "
        "what was found is its value:",
        (found for module in modules() for found in against(module)),
    )


@pytest.mark.slow
def test_there_are_errors_to_look_at():
    assert sum(1 for module in modules() for _ in rules(module)) > 100


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("raise FileError('A file is there', cure='x')", 1),
        ("raise FileError('A file must be there', cure='x')", 0),
        ("rule = 'A file is there'; raise FileError(rule, cure='x')", 1),
        ("refused = partial(FileError, file=1); raise refused('A file is there')", 1),
        ("raise FileError('must be' if x else 'is there', cure='x')", 1),
        ("raise FileError(f'{x} is there', cure='x')", 1),
        ("raise FileError(words(x), cure='x')", 1),
        ("raise KeyError('x')", 0),
        ("understood('A file can be read', x, y)", 1),
    ],
)
def test_what_is_against_the_rule(line, found, tmp_path):
    source = tmp_path / "x.py"
    source.write_text(f"{line}\n")
    module = Module(source)
    module.__dict__.update({"name": "x.py", "room": "kinds/x"})
    assert len(list(against(module))) == found
