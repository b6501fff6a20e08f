"""Which rule for which data: the script on few small images, and the page that it writes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import bkgflow
from benchmarks.choose import tables
from benchmarks.choose_dithers import BEST
from benchmarks.choose_nods import DEMO, REAL, RULES
from benchmarks.commands import app
from benchmarks.page import write_tables
from bkgflow.settings import StepSettings
from bkgflow.simulate import simulate_dithers

ROOT = Path(__file__).parents[2]
RESULTS = json.loads((ROOT / "benchmarks" / "choose.json").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs" / "choosing.md").read_text(encoding="utf-8")
DITHERED = {"backgrounds", "min_offset"}
"""Arguments of a plan, beside those of the step."""

LARGEST = 150_000
"""Bytes of a picture in the project."""


def told():
    """The arguments of the page's first table: a dictionary of words for each code span."""
    table = PAGE.partition("|---|---|---|\n")[2].partition("\n\n")[0]
    for line in table.splitlines():
        for span in re.findall(r"`([^`]*)`", line.split("|")[2]):
            if "=" in span:
                yield dict(word.split("=") for word in span.split())


def value(word):
    return {"true": True, "false": False}.get(word, word)


def test_the_page_tells_what_was_measured():
    marked = dict(re.findall(r"<!-- choose: (\w+) -->\n(.*?)\n<!-- end -->", PAGE, re.DOTALL))
    assert marked == tables(RESULTS)


def test_tables_are_put_between_their_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- choose: nods -->\n<!-- end -->\nb\n<!-- end -->\n")
    write_tables(page, "choose", tables(RESULTS))
    table = tables(RESULTS)["nods"]
    assert page.read_text() == f"a\n<!-- choose: nods -->\n{table}\n<!-- end -->\nb\n<!-- end -->\n"


@pytest.mark.parametrize("words", list(told()), ids=" ".join)
def test_arguments_of_the_page_are_valid(words):
    given = {name: value(word) for name, word in words.items() if name not in DITHERED}
    settings = StepSettings.of(**given)
    assert settings != StepSettings(), "what a page advises is not the default"


def test_the_page_advises_what_was_measured():
    [words] = [each for each in told() if "backgrounds" in each and "clip" in each]
    advised = StepSettings.of(**{n: value(w) for n, w in words.items() if n not in DITHERED})
    assert advised == StepSettings.of(**{n: v for n, v in BEST.items() if n not in DITHERED})
    assert BEST["backgrounds"] == words["backgrounds"]
    shown = {frozenset(each.items()) for each in told()}
    for arguments in (*DEMO.values(), *RULES.values()):
        words = {name: str(word).lower() for name, word in arguments.items()}
        if "mask_sources" in words:
            assert frozenset(words.items()) in shown


@pytest.mark.slow
def test_a_program_is_planned_with_what_the_page_advises(tmp_path):
    made = simulate_dithers(tmp_path / "program", points=3, size=32)
    [words] = [each for each in told() if "backgrounds" in each and "clip" in each]
    plan = bkgflow.plan(made.folder, tmp_path / "out", **{n: value(w) for n, w in words.items()})
    assert plan.counts() == {"PLANNED": 3}


def test_bkgflow_is_nearest_to_the_truth_in_every_program():
    rows = RESULTS["dithers"]
    programs = {(row["points"], row["drift"]) for row in rows}
    assert programs == {(points, drift) for points in (4, 8, 12) for drift in (0.0, 0.02)}
    for program in programs:
        own = [row for row in rows if (row["points"], row["drift"]) == program]
        for number in ("rms", "bias", "rms_under", "bias_under"):
            assert min(own, key=lambda row: row[number])["way"] == "bkgflow", (program, number)


def test_noise_leaves_no_source_in_nods():
    for row in RESULTS["rules"]:
        if row["rule"].startswith("clip=noise"):
            assert abs(row["bias"]) < 0.3 or not row["strength"]
            assert row.get("dropped", 0) <= 0.01
            assert row["scatter"] <= 1.1 or row["strength"] or row["n"] < 4
    ways = {row["way"]: row for row in RESULTS["nods"]}
    assert abs(ways["clip=noise"]["worst"]) < 1 < ways["the reference step's rule"]["worst"]


def test_pictures_are_there_and_small():
    names = re.findall(r"\]\((pictures/\w+\.png)\)", PAGE)
    assert len(names) == 3
    assert all((ROOT / "docs" / name).stat().st_size < LARGEST for name in names)
    there = {f"pictures/{path.name}" for path in (ROOT / "docs" / "pictures").iterdir()}
    assert there == set(names)


@pytest.mark.slow
def test_the_script_runs(tmp_path, monkeypatch):
    """On one target of four small dithers, and on a short slit."""
    monkeypatch.delenv(REAL, raising=False)
    arguments = ["choose", "--quick", "--output", str(tmp_path)]
    ended = CliRunner().invoke(app, arguments)
    assert ended.exit_code == 0, ended.output
    assert f"{REAL} does not name a folder" in ended.output
    found = json.loads((tmp_path / "choose.json").read_text())
    assert set(found) == {"rules", "nods", "dithers", "size"}
    rms = {row["way"]: row["rms"] for row in found["dithers"]}
    assert len(rms) == 4 and min(rms, key=rms.get) == "bkgflow"
    for name in ("rules", "nods", "dithers"):
        picture = (tmp_path / "pictures" / f"choosing_{name}.png").read_bytes()
        assert picture.startswith(b"\x89PNG")
    assert np.isfinite([row["bias"] for row in found["rules"]]).all()
    again = CliRunner().invoke(app, [*arguments, "--part", "none"])
    assert again.exit_code == 2
