"""The events of a run as lines of JSON: what they say, and that each is whole."""

import json
import os
import re
import subprocess
import sys
import types

import pytest

import bkgflow
from benchmarks.fault_tools import disk
from bkgflow.campaign.event_lines import EVENTS_FILE, event_lines
from bkgflow.campaign.events import Notice, RunEnded, RunStarted, UnitEnded, UnitStarted, UnitTried
from bkgflow.errors import FileError
from bkgflow.io.storage.lines import Lines
from bkgflow.io.storage.location import Location
from bkgflow.verdict import State, Verdict
from tests.helpers.programs import write_program


@pytest.fixture
def plan(tmp_path):
    return bkgflow.plan(write_program(tmp_path / "program", targets=2), tmp_path / "out")


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_a_run_leaves_its_events_and_another_one_adds_its_own(plan, tmp_path):
    runs = [bkgflow.run(plan, "threads", fresh=True) for _ in range(2)]
    lines = read(tmp_path / "out" / EVENTS_FILE)
    assert list(dict.fromkeys(line["run"] for line in lines)) == [each.run for each in runs]
    first = [line for line in lines if line["run"] == runs[0].run]
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\dT[\d:]{8}\.\d{3}Z", line["time"]) for line in lines)
    times = [line["time"] for line in lines]
    assert times == sorted(times)
    assert first[0]["event"] == "run_started" and first[0]["units"] == 2
    assert first[-1]["event"] == "run_ended" and first[-1]["seconds"] > 0
    for unit in plan.units:
        start, tried, end = [line for line in first if line.get("key") == unit.digest]
        assert tried["event"] == "unit_tried" and tried["state"] == "COMPLETE"
        assert (start["event"], end["event"]) == ("unit_started", "unit_ended")
        assert start["unit"] == end["unit"] == unit.name
        assert start["attempt"] == end["attempt"] == 1
        assert end["state"] == "COMPLETE" and end["error"] is None and end["reason"] == ""
        assert end["bytes"] == (tmp_path / "out" / unit.output).stat().st_size
        assert 0 <= end["seconds"] < 60
        assert f"process {os.getpid()}" in end["worker"]


def test_a_unit_that_goes_wrong_has_its_attempts_and_the_parts_of_its_error(plan, tmp_path):
    file = tmp_path / "x.jsonl"
    lines = Lines(Location.of(file))
    listen = event_lines(plan, lines)
    first, second = (unit.digest for unit in plan.units)
    error = FileError("A file must be\nwhole", file="a\udcffb.fits", value="“x”", cure="Mend it")
    attempt = types.SimpleNamespace(
        number=1, process="process 7 on node-1", seconds=1.0, state="LOST", reason="it went away"
    )
    for event in (
        RunStarted("r", 2, "here", at=0.0),
        UnitStarted("r", first, at=1.0),
        UnitTried("r", first, attempt, at=2.0),
        UnitStarted("r", first, at=3.0),
        UnitEnded("r", first, Verdict.quarantined(error), at=4.5),
        UnitEnded("r", second, Verdict.blocked("stopped"), at=5.0),
        Notice("r", "a worker is lost", at=5.5),
        RunEnded("r", 6.0, "stopped by SIGTERM", at=6.0),
    ):
        listen(event)
    lines.close()
    found = read(file)
    assert [line["event"] for line in found] == [
        "run_started", "unit_started", "unit_tried", "unit_started", "unit_ended", "unit_ended",
        "notice", "run_ended",
    ]  # fmt: skip
    assert found[2]["attempt"] == 1 and found[2]["worker"] == "process 7 on node-1"
    assert (found[2]["state"], found[2]["reason"]) == ("LOST", "it went away")
    end, never = found[4:6]
    assert end["attempt"] == 2 and end["seconds"] == 1.5 and end["state"] == "QUARANTINED"
    assert end["error"] == error.to_dict()
    assert never["attempt"] == 0 and never["seconds"] is None and never["bytes"] == 0
    assert found[0]["time"] == "1970-01-01T00:00:00.000Z"
    assert found[-1]["reason"] == "stopped by SIGTERM"


def test_a_line_that_was_torn_ends_before_the_next_one(tmp_path):
    file = tmp_path / "x.jsonl"
    file.write_text('{"a": 1}\n{"b": ')
    for number in range(2):
        lines = Lines(Location.of(file))
        lines.append(json.dumps({"c": number}))
        lines.close()
    assert file.read_text() == '{"a": 1}\n{"b": \n{"c": 0}\n{"c": 1}\n'


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_whole_lines(tmp_path):
    file = tmp_path / "x.jsonl"
    code = (
        "import sys\n"
        "from bkgflow.io.storage.lines import Lines\n"
        "from bkgflow.io.storage.location import Location\n"
        "lines = Lines(Location.of(sys.argv[1]))\n"
        "print('begins', flush=True)\n"
        "while True:\n"
        "    lines.append('{\"a\": \"' + 'x' * 3000 + '\"}')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, file],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    process.stdout.readline()
    while not file.exists() or file.stat().st_size < 1_000_000:
        pass
    process.kill()
    process.communicate()
    # The kernel itself may stop between two pages of the one line that is being written.
    *whole, last = file.read_text().split("\n")
    assert all(json.loads(line) for line in whole)
    lines = Lines(Location.of(file))
    lines.append('{"after": 1}')
    lines.close()
    after = file.read_text().splitlines()[len(whole) :]
    assert after == ([last] if last else []) + ['{"after": 1}']


def test_a_full_disk_ends_the_lines_with_a_whole_one_and_a_reason(tmp_path):
    with disk(tmp_path / "disk", size="64k") as folder:
        if folder is None:
            pytest.skip("this user may not mount a disk")
        lines = Lines(Location.of(folder / "x.jsonl"))
        for number in range(1000):
            lines.append(json.dumps({"number": number, "more": "x" * 700}))
        lines.close()
        assert lines.trouble == "No space left on device"
        found = read(folder / "x.jsonl")
        assert [line["number"] for line in found] == list(range(len(found)))
        assert 40 < len(found) < 100


@pytest.mark.slow
def test_a_run_goes_on_where_its_events_cannot_be_written(plan, tmp_path):
    (tmp_path / "out" / EVENTS_FILE).mkdir(parents=True)
    result = bkgflow.run(plan, "threads")
    assert result.counts == {State.COMPLETE: 2}
    [note] = [each for each in result.notes if EVENTS_FILE in each]
    assert "Is a directory" in note
    assert (tmp_path / "out" / "bkgflow.log").read_text().count(note) == 1
