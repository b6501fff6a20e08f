"""What a module shows is what it says that it shows."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator

import pytest

import bkgflow
from tests.helpers.sources import Module, modules, report


def listed(module: Module) -> list[str] | None:
    """``__all__`` as it is written; None where there is none."""
    for node in module.tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return None


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Top-level statements, those inside of ``if`` and ``try`` among them."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from statements(node.body)
            yield from statements(node.orelse)
            for handler in getattr(node, "handlers", []):
                yield from statements(handler.body)


def defined(module: Module) -> tuple[set[str], set[str]]:
    """Public functions and classes that are made here; public values that are."""
    made, values = set(), set()
    for node in statements(module.tree.body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            made.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = (each for target in targets for each in ast.walk(target))
            values |= {each.id for each in names if isinstance(each, ast.Name)}
    return tuple({name for name in names if name[0] != "_"} for names in (made, values))


def imported(module: Module) -> set[str]:
    """Names that a module takes from others."""
    return {
        alias.asname or alias.name
        for node in statements(module.tree.body)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def taken() -> set[tuple[str, str]]:
    """Every (module, name) that one module of bkgflow takes from another."""
    return {
        (node.module, alias.name)
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }


def dotted(module: Module) -> str:
    return ".".join(("bkgflow", *module.room.split("/"))).removesuffix(".__init__")


@pytest.mark.slow
def test_all_lists_the_public_names_of_a_module():
    """Functions and classes, and the values that another module takes."""
    asked = taken()

    def findings() -> Iterator[str]:
        for module in modules():
            made, values = defined(module)
            names = listed(module)
            if names is None:
                if made or (values and not module.is_package):
                    yield f"{module.name}: no __all__"
                continue
            elsewhere = {name for where, name in asked if where == dotted(module)}
            # Packages, and the facade, show what is made elsewhere.
            shows = module.is_package or dotted(module) == "bkgflow.api"
            here = made | values | (imported(module) if shows else set())
            for name in (made | values & elsewhere) - set(names):
                yield f"{module.name}: {name} is not in __all__: list it, or write _{name}"
            for name in set(names) - here - {"__version__"}:
                yield f"{module.name}: {name} is in __all__, and is not made there"
            if len(names) != len(set(names)):
                yield f"{module.name}: a name is in __all__ twice"

    report("__all__ must list what a module makes for others, no more and no less:", findings())


@pytest.mark.slow
def test_nobody_takes_what_is_private_to_another_room():
    """A name with an underscore stays in its module."""
    findings = [
        module.at(node, f"takes {alias.name} from {node.module}")
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bkgflow")
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__")
        and not (module.path.parent / f"{alias.name}.py").exists()
    ]  # fmt: skip
    report("A private name must stay in its module:", findings)


def test_every_listed_name_is_there():
    findings = []
    for module in modules():
        names = listed(module)
        if names:
            found = importlib.import_module(dotted(module))
            findings += [f"{module.name}: {n}" for n in names if not hasattr(found, n)]
    report("What __all__ lists must be there:", findings)


def test_the_package_shows_what_it_lists():
    shown = {name for name in dir(bkgflow) if not name.startswith("_")}
    assert shown == {name for name in bkgflow.__all__ if not name.startswith("_")}, (
        "dir(bkgflow) must show bkgflow.__all__ and nothing else"
    )
