"""What limits many workers and many units: measured for real on few of both, and as it is told."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks.commands import app
from benchmarks.inputs import Inputs
from benchmarks.limits import measure_limits
from benchmarks.limits_page import draw_limits, tables
from benchmarks.page import write_tables
from benchmarks.simulated import knee

ROOT = Path(__file__).parents[2]
RESULTS = json.loads((ROOT / "benchmarks" / "limits.json").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")


def told(page):
    """The tables of a page by their names."""
    return dict(re.findall(r"<!-- limits: (\w+) -->\n(.*?)\n<!-- end -->", page, re.DOTALL))


def test_the_page_tells_what_was_measured():
    assert told(PAGE) == tables(RESULTS)


def test_tables_are_put_between_their_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- limits: knee -->\nold\n<!-- end -->\nb\n<!-- end -->\n")
    write_tables(page, "limits", tables(RESULTS))
    assert page.read_text() == (
        f"a\n<!-- limits: knee -->\n{tables(RESULTS)['knee']}\n<!-- end -->\nb\n<!-- end -->\n"
    )


def test_the_knee_is_where_a_core_is_busy():
    few = {"workers": 10, "scheduler_ms": 4.0, "driver_ms": 1.0, "idle": 0.0}
    many = {"workers": 1000, "scheduler_ms": 2.0, "driver_ms": 4.0, "idle": 0.1}
    # 100 units a second fill the driver with 10 ms; 450 the scheduler, which has 0.9 of a second.
    found = knee([few, many], 1.0, ledger_ms=6.0)
    assert (found.scheduler, found.driver) == (450, 100)
    # Of two runs with as many workers, the dearer one counts.
    assert knee([few, many, {**many, "scheduler_ms": 3.0}], 1.0).scheduler == 300
    # Units of 0.1 s are done by fewer workers: the run with few of them says it.
    found = knee([few, many], 0.1)
    assert (found.scheduler, found.driver) == (25, 100)


@pytest.mark.slow
def test_the_page_has_a_picture(tmp_path):
    assert draw_limits(RESULTS, tmp_path / "limits.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_few_modelled_workers_do_a_few_units(tmp_path):
    inputs, notes = Inputs(tmp_path / "data", lambda _: None, 32), []
    parts = ("ledger", "disk", "model", "scheduler")
    found = measure_limits(inputs, notes.append, parts, [(3, 40, 0.02)], units=40, rest=0.2)
    shared, own = found["scheduler"]
    # A shared result of eight units has one part, and one of a unit's own has one as well.
    assert (shared["tasks_per_unit"], own["tasks_per_unit"]) == (1 + 1 / 8, 2)
    for run in (shared, own):
        assert run["units"] == 40 and run["wall"] > 40 * 0.02 / 3
        assert run["scheduler_ms"] > 0 and run["driver_ms"] > 0
    real, modelled = found["model"]
    assert real["graph"] == "real" and modelled["unit_seconds"] == real["unit_seconds"]
    assert found["ledger"]["units"] == 40 and found["ledger"]["commits_per_second"] > 0
    assert set(tables({**RESULTS, **found})) == set(tables(RESULTS))
    assert str(tmp_path) not in json.dumps(found)


@pytest.mark.slow
def test_one_part_is_measured_and_the_others_stay(tmp_path, capsys):
    (tmp_path / "limits.json").write_text(json.dumps(RESULTS))
    with pytest.raises(SystemExit) as ended:
        app(["limits", "--quick", "--part", "disk",
             "--data", str(tmp_path / "data"), "--output", str(tmp_path)])  # fmt: skip
    assert ended.value.code == 0
    results = json.loads((tmp_path / "limits.json").read_text())
    assert results["disk"] != RESULTS["disk"] and results["ledger"] == RESULTS["ledger"]
    assert "files of 4 kB" in capsys.readouterr().out
