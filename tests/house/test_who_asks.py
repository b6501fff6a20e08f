"""Questions that one room alone may ask: which kind of unit, which kind of cluster."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.helpers.sources import Module, modules, report

KINDS = {"image", "slitless", "wfss", "soss", "template"}
CLUSTERS = {"local", "threads"}
CLIENTS = {"Client", "Cluster", "LocalCluster", "SpecCluster"}


def words(node: ast.expr) -> set[str]:
    """The strings that an operand of a comparison is, or holds."""
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return set().union(*(words(each) for each in node.elts))
    if isinstance(node, ast.Call) and ast.unparse(node.func) in {"frozenset", "set", "tuple"}:
        return set().union(*(words(each) for each in node.args))
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def comparisons(module: Module) -> Iterator[tuple[ast.AST, set[str]]]:
    """Every comparison with strings, those of ``match`` among them."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Compare):
            yield node, set().union(*(words(each) for each in (node.left, *node.comparators)))
        elif isinstance(node, ast.MatchValue):
            yield node, words(node.value)


@pytest.mark.slow
def test_only_the_kinds_ask_which_kind():
    report(
        "Only bkgflow/kinds may ask of which kind a unit is: give Kind a method that says the"
        " difference:",
        [
            module.at(node, f"compares with {', '.join(sorted(found & KINDS))}")
            for module in modules()
            if not module.within("kinds", "settings", "rules")
            for node, found in comparisons(module)
            if found & KINDS
        ],
    )


@pytest.mark.slow
def test_only_the_clusters_ask_which_cluster():
    def findings() -> Iterator[str]:
        for module in modules():
            if not module.within("api", "cli", "campaign", "service", "step"):
                continue
            for node, found in comparisons(module):
                if found & CLUSTERS:
                    yield module.at(node, f"compares with {', '.join(sorted(found & CLUSTERS))}")
            for node in ast.walk(module.tree):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
                    asked = {each.id for each in ast.walk(node.args[1])
                             if isinstance(each, ast.Name)}  # fmt: skip
                    asked |= {each.attr for each in ast.walk(node.args[1])
                              if isinstance(each, ast.Attribute)}  # fmt: skip
                    if asked & CLIENTS:
                        yield module.at(node, f"asks for {', '.join(sorted(asked & CLIENTS))}")

    report(
        "Only bkgflow/clusters may ask what kind of cluster there is: give Cluster a method that"
        " says the difference:",
        findings(),
    )
