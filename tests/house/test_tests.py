"""The rules of the tests' own house."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.helpers.sources import modules_of_tests, report

PATCHES = {"setattr", "delattr", "patch", "object"}


def is_test(dotted: str) -> bool:
    return any(word.startswith("test_") or word == "conftest" for word in dotted.split("."))


@pytest.mark.slow
def test_no_test_takes_from_another():
    def findings() -> Iterator[str]:
        for module in modules_of_tests():
            for node in ast.walk(module.tree):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tests"):
                    names = [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
                    if any(is_test(name) for name in names):
                        yield module.at(node, f"takes from {node.module}")

    report("What several tests need must stand in tests/helpers:", findings())


def test_the_conftest_has_fixtures_alone():
    findings = [
        module.at(node, f"{node.name} is no fixture and no hook")
        for module in modules_of_tests()
        if module.path.name == "conftest.py"
        for node in module.tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("pytest_")
        and not any("fixture" in ast.unparse(each) for each in node.decorator_list)
    ]
    report("What is no fixture must stand in tests/helpers:", findings)


def patched(node: ast.Call) -> str | None:
    """The name that a call to ``monkeypatch`` or ``mock`` replaces, if it is written out."""
    function = node.func
    if not (isinstance(function, ast.Attribute) and function.attr in PATCHES and node.args):
        return None
    if not any(word in ast.unparse(function) for word in ("monkeypatch", "patch", "mock")):
        return None
    if ast.unparse(node.args[0]) == "peer":  # the peer's own tests: it offers nothing else
        return None
    for each in node.args[:2]:
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            return each.value
    return None


@pytest.mark.slow
def test_no_test_patches_a_private_name():
    """What is passed in needs no patching: a storage, a clock, a cluster."""

    def findings() -> Iterator[str]:
        for module in modules_of_tests():
            for node in ast.walk(module.tree):
                name = patched(node) if isinstance(node, ast.Call) else None
                if name and any(word.startswith("_") for word in name.split(".")):
                    yield module.at(node, f"patches {name}")

    report("A test must pass in what it wants to replace, not patch a private name:", findings())
