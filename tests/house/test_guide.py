"""The guide to the house names what stands in it."""

from __future__ import annotations

import re

from tests.helpers.sources import PACKAGE, ROOT, modules, report

GUIDE = ROOT / "docs" / "architecture.md"
SENTENCE = 4
"""Words, beside names of files, that make a sentence."""


def test_the_guide_has_a_sentence_for_every_module():
    lines = GUIDE.read_text(encoding="utf-8").splitlines()
    said = {}
    for line in lines:
        files = re.findall(r"`([\w/]+\.py)`", line)
        plain = re.findall(r"[A-Za-z]{2,}", re.sub(r"`[^`]*`", " ", line))
        said |= {each: len(plain) >= SENTENCE * len(files) for each in files}
    wanted = {
        f"{module.room}.py"
        for module in modules()
        if not (module.is_package and len(module.tree.body) <= 1)
    }
    rule = "docs/architecture.md must have a sentence for every module, such as `io/fits/cards.py`:"
    report(
        rule,
        [f"{name}: is not named" for name in wanted - said.keys()]
        + [f"{name}: no sentence" for name in wanted & said.keys() if not said[name]],
    )


def test_the_guide_names_nothing_that_is_gone():
    text = GUIDE.read_text(encoding="utf-8")
    report(
        "docs/architecture.md must not name files that are not there:",
        [
            name
            for name in re.findall(r"`([\w/]+\.(?:py|md))`", text)
            if not any((folder / name).exists() for folder in (PACKAGE, ROOT, ROOT / "docs"))
        ],
    )


def test_the_documents_name_tests_that_are_there():
    there = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    peers = {"test_background.py", "test_background_soss.py", "test_background_wfss.py"}
    report(
        "A document must name tests as they are:",
        [
            f"{path.relative_to(ROOT)}: {name}"
            for path in (ROOT / "docs").glob("*.md")
            for name in re.findall(r"`(?:[\w/]*/)?(test_\w+\.py)`", path.read_text("utf-8"))
            if name not in there | peers
        ],
    )
