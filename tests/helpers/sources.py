"""The house's own sources, parsed once, for the tests of its rules."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pytest

__all__ = ["PACKAGE", "ROOT", "Module", "modules", "modules_of_tests", "report"]

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "bkgflow"


@dataclass(frozen=True)
class Module:
    """One file of Python."""

    path: Path

    @cached_property
    def name(self) -> str:
        """Its path from the root of the repository, as a reader would look for it."""
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def room(self) -> str:
        """Its path from the package, without the suffix: ``io/fits/cards``."""
        return self.path.relative_to(PACKAGE).with_suffix("").as_posix()

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    def within(self, *rooms: str) -> bool:
        """Whether it is one of the rooms, or lies in one."""
        return any(self.room == room or self.room.startswith(f"{room}/") for room in rooms)

    def at(self, node: ast.AST, what: str) -> str:
        """Return a finding: where, and what."""
        return f"{self.name}:{node.lineno}: {what}"  # type: ignore[attr-defined]


@cache
def modules() -> tuple[Module, ...]:
    """Return every module of bkgflow."""
    return tuple(Module(path) for path in sorted(PACKAGE.rglob("*.py")))


@cache
def modules_of_tests() -> tuple[Module, ...]:
    """Return every module under tests/."""
    return tuple(Module(path) for path in sorted((ROOT / "tests").rglob("*.py")))


def report(rule: str, findings: Iterable[str]) -> None:
    """Fail with the rule and everything that is against it."""
    found = sorted(set(findings))
    if found:
        pytest.fail("\n".join((rule, *found, f"({len(found)} in all)")), pytrace=False)
