"""Each word with one meaning: the old ones are gone (docs/architecture.md has the new ones)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from bkgflow.settings import StepSettings
from tests.helpers.sources import ROOT, modules, report

OLD = {
    "catalogue": "catalog",
    "catalogues": "catalogs",
    "appearing": "publish",
    "outcome": "verdict, or state",
    "outcomes": "verdicts, or states",
    "wfss": "slitless",
}
"""Words for texts: docstrings, comments, messages, documents."""

METAPHORS = {
    "aside": "leave the thread",
    "ending": "verdict",
    "outline": "target, or product",
}
"""More for identifiers and files; in a sentence these may be English."""

JWST = (
    r"\w+_WFSS",  # exposure types
    r"[Ww]fssBkg\w*",  # the peer's data model
    r"\(WFSS\)",  # the observatory's abbreviation, once it is explained
    r"background(_sub)?_wfss",  # the peer's files
    r'"(outcome|catalogue|wfss|WFSS)"',  # names in files, of older versions and of references
    r"must be a WFSS one",  # EXP_TYPE
)
OPTIONS = {
    form
    for name in StepSettings.model_fields
    if "wfss" in name
    for form in (name, "--" + name.replace("_", "-"), name.replace("_", "-"))
}
COMMANDS = (r"simulate[ _-]wfss", r"simulate .*`wfss`")
"""The simulator's commands are called after the observing modes, as JWST calls them."""

ALLOWED = re.compile(
    "|".join((*(re.escape(name) for name in sorted(OPTIONS, key=len, reverse=True)),
              r"\bwfss_(?=\W|$)", *JWST, *COMMANDS))
)  # fmt: skip


def old_words(text: str) -> Iterator[tuple[int, str]]:
    """Every old word of a text with its line."""
    pattern = re.compile(rf"(?<![a-z])({'|'.join(sorted(OLD, key=len, reverse=True))})(?![a-z])")
    for number, line in enumerate(text.splitlines(), 1):
        for found in pattern.finditer(ALLOWED.sub(" ", line).lower()):
            yield number, found[1]


def parts(identifier: str) -> set[str]:
    """The words that an identifier is made of."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", identifier)}


def identifiers(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Names that are made in a module."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                yield node, name
            case ast.Name(id=name, ctx=ast.Store()):
                yield node, name


@pytest.mark.slow
def test_texts_have_no_old_words():
    def findings() -> Iterator[str]:
        for module in modules():
            for line, word in old_words(module.text):
                # The command itself is called as it always was.
                if not (word == "wfss" and module.within("cli/simulate")):
                    yield f"{module.name}:{line}: {word}, say {OLD[word]}"
        for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
            for line, word in old_words(path.read_text(encoding="utf-8")):
                yield f"{path.relative_to(ROOT)}:{line}: {word}, say {OLD[word]}"

    report("Code, messages and documents must use the house's words:", findings())


@pytest.mark.slow
def test_names_are_the_trades():
    new = OLD | METAPHORS

    def findings() -> Iterator[str]:
        for module in modules():
            for word in parts(module.path.stem) & new.keys():
                yield f"{module.name}: a file called {word}, say {new[word]}"
            for node, name in identifiers(module.tree):
                if name in OPTIONS or re.fullmatch("|".join((*JWST, *COMMANDS)), name):
                    continue
                for word in parts(name) & new.keys():
                    if not (word == "wfss" and module.within("cli/simulate")):
                        yield module.at(node, f"{name}: {word}, say {new[word]}")

    report("Names must be the trade's (atomic, publish, header, HDU), no metaphors:", findings())


def test_old_words_are_found_and_options_are_not():
    bad = "a catalogue; Outcome.FAILED; `wfss.py`; in WFSS mode; by appearing"
    assert [word for _, word in old_words(bad)] == [
        "catalogue", "outcome", "wfss", "wfss", "appearing",
    ]  # fmt: skip
    good = "wfss_mask --wfss-mask NIS_WFSS WfssBkgModel spectroscopy (WFSS) simulate wfss catalog"
    assert not list(old_words(good))
