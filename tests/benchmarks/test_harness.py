"""The benchmarks' own arithmetic, and one case run for real on small images."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from benchmarks import breakdown
from benchmarks.case import Bar, Case, faster
from benchmarks.cases import CASES
from benchmarks.commands import app
from benchmarks.contender import Checkout, ContenderError, Sample
from benchmarks.memory import Watch
from benchmarks.pairs import Spread, ratios, run_in_turns
from benchmarks.picture import draw
from benchmarks.scale import as_table as growth
from benchmarks.scale import results_of
from benchmarks.table import as_markdown, as_table, merged, result_of, side_of, write_json
from benchmarks.trees import Pair
from benchmarks.trees import as_table as pairs_table
from bkgflow.report.tables import as_text
from tests.helpers import contenders

ROOT = Path(__file__).parents[2]


def samples(*seconds):
    return [Sample(each, 3 << 20, 2 << 20, 1 << 20, {"bytes": 10 * each}) for each in seconds]


CASE = Case("a-case", "what it is", lambda *_: {}, (faster(2), faster(4)))
TAKEN = {"ours": samples(1, 2, 4), "peer": samples(3, 4, 12), "floor": samples(0.5, 0.5, 0.5)}


def test_ratios_are_taken_turn_by_turn():
    assert ratios(TAKEN["peer"], TAKEN["ours"]) == Spread(3, 2, 3)
    assert Spread.of([5.0, 1.0, 2.0]).to_dict() == {"median": 2.0, "min": 1.0, "max": 5.0}


def test_a_bar_is_cleared_upwards_or_downwards():
    at_least, at_most = Bar("x", 2, len), Bar("x", 2, len, at_least=False)
    assert [bar.met_by(value) for bar in (at_least, at_most) for value in (1, 2, 3)] == [
        False, True, True, True, True, False,
    ]  # fmt: skip


def test_result_says_who_was_faster_and_whether_that_is_enough():
    result = result_of(CASE, TAKEN, alike=0.5)
    assert result["times_faster_than_peer"] == {"median": 3, "min": 2, "max": 3}
    assert result["times_the_floor"]["median"] == 4
    assert [bar["met"] for bar in result["bars"]] == [True, False]
    assert result["contenders"]["ours"]["numbers"]["bytes"]["median"] == 20


def test_tables_hold_every_case_and_bar():
    results = merged({}, {"a-case": result_of(CASE, TAKEN)}, ["a-case"])
    for text in (as_text(as_table(results)), as_markdown(results)):
        assert "a-case" in text
        assert "3.0 (2.0–3.0)" in text
        assert "≥ 4 times faster than jwst" in text


def test_older_cases_stay_only_if_the_machine_is_the_same():
    old = merged({}, {"old": result_of(CASE, TAKEN)}, ["old", "new"])
    found = {"new": result_of(CASE, TAKEN)}
    assert list(merged(old, found, ["old", "new"])["cases"]) == ["old", "new"]
    old["machine"]["cores"] = -1
    assert list(merged(old, found, ["old", "new"])["cases"]) == ["new"]


def test_json_is_strict(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "bad.json", {"value": float("nan")})


@pytest.mark.slow
def test_growth_is_a_table_and_a_picture(tmp_path):
    points = [{"number": n, "ours": side_of(samples(n)), "peer": side_of(samples(n))}
              for n in (1, 10)]  # fmt: skip
    points.append({"number": 100, "ours": side_of(samples(100))})
    curve = {"title": "one target", "axis": "backgrounds", "points": points}
    results = results_of({"backgrounds": curve, "workers": curve})
    assert "1000.00" in as_text(growth(results))
    assert draw(results, tmp_path / "scale.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_memory_of_a_moment():
    watch = Watch()
    held = bytearray(b"x") * (64 << 20)
    peak = watch.peak()
    assert len(held) <= peak.increase < 2 * len(held) + (64 << 20)
    assert peak.total >= peak.largest > len(held)


@pytest.mark.slow
def test_a_contender_that_fails_says_why():
    with pytest.raises(ContenderError, match="no good"):
        run_in_turns({"ours": contenders.failing}, 1, print)


@pytest.mark.slow
def test_contenders_take_turns(tmp_path):
    log = tmp_path / "log"
    both = {name: partial(contenders.writing, log, name) for name in ("a", "b")}
    taken = run_in_turns(both, 2, lambda _: None)
    # Once to be warm, then twice at each turn: who is fast has rested for long.
    assert log.read_text() == "ab" + "aabb" * 2
    assert [sample.numbers["length"] for sample in taken["b"]] == [6, 10]
    assert all(sample.seconds > 0 for sample in taken["a"])


@pytest.mark.slow
def test_one_case_for_real(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        app(["bench", "--case", "one-target", "--runs", "1", "--size", "64",
             "--data", str(tmp_path / "data"), "--output", str(tmp_path)])  # fmt: skip
    assert ended.value.code == 0
    assert "one-target" in capsys.readouterr().out
    text = (tmp_path / "results.json").read_text()
    assert str(tmp_path) not in text
    case = json.loads(text)["cases"]["one-target"]
    assert case["same_pixels"] == 1
    assert set(case["contenders"]) == {"ours", "peer", "floor"}
    assert len(case["bars"]) == len(CASES["one-target"].bars)
    assert not list((tmp_path / "data").glob("scratch-*"))
    assert "| one-target |" in (tmp_path / "results.md").read_text()


@pytest.mark.slow
def test_two_trees_take_turns_over_the_same_files(tmp_path, capsys):
    """One of them has benchmarks that lack the case: it is measured by this one's."""
    older = tmp_path / "older"
    (older / "benchmarks").mkdir(parents=True)
    (older / "benchmarks" / "__init__.py").touch()
    (older / "benchmarks" / "cases.py").write_text("CASES = {}")
    (older / "bkgflow").symlink_to(ROOT / "bkgflow", target_is_directory=True)
    with pytest.raises(SystemExit) as ended:
        app(["trees", str(older), str(ROOT), "--case", "one-target", "--runs", "1",
             "--size", "64", "--data", str(tmp_path / "data")])  # fmt: skip
    assert ended.value.code in (0, 1)  # one run says nothing of the speed
    told = capsys.readouterr()
    assert "new ÷ old" in told.out
    assert told.out.count("one-target") == 1
    assert not list((tmp_path / "data").glob("scratch-*"))


def test_a_tree_that_fails_is_named(tmp_path):
    broken = Checkout(tmp_path, ROOT / "benchmarks" / "side.py", {"case": "one-target"})
    with pytest.raises(ContenderError, match="older: its process ended"):
        run_in_turns({"older": broken}, 1, lambda _: None)


def test_a_process_of_a_tree_imports_that_tree(tmp_path):
    (tmp_path / "bkgflow").mkdir()
    (tmp_path / "bkgflow" / "__init__.py").touch()
    script = tmp_path / "script.py"
    script.write_text("import bkgflow; pipe.send(ValueError(f'found {bkgflow.__file__}'))")
    with pytest.raises(ContenderError, match=f"found {tmp_path}"):
        run_in_turns({"older": Checkout(tmp_path, script, {})}, 1, lambda _: None)


def test_slower_is_what_is_above_the_noise():
    fast, slow = (Pair("x", {"old": samples(1, 1), "new": samples(n, n)}) for n in (1.05, 1.06))
    assert (fast.slower, slow.slower) == (False, True)
    text = as_text(pairs_table([fast, slow]))
    assert "1.060 (1.060–1.060)" in text
    assert text.count("yes") == 1


def test_stages_are_rooms_that_there_are():
    rooms = [room for each in breakdown.STAGES.values() for room in each]
    assert [room for room in rooms if not (breakdown.ROOT / room).exists()] == []


@pytest.mark.slow
def test_time_goes_to_the_innermost_room():
    sampler, code = breakdown.Sampler(), "import time; time.sleep(0.1)"
    rooms = {stage: rooms[0] for stage, rooms in breakdown.STAGES.items()}
    with sampler.watch():
        exec(compile(code, str(breakdown.ROOT / rooms["clip and combine"] / "x.py"), "exec"))
        exec(code)
    assert 0.05 < sampler.seconds["clip and combine"] < 0.2
    assert 0.05 < sampler.seconds[breakdown.REST] < 0.2


def test_unknown_cases_are_refused(capsys):
    with pytest.raises(SystemExit):
        app(["bench", "--case", "nothing"])
    assert "nothing is none of" in capsys.readouterr().err
