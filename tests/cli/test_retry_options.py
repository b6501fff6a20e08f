"""``--max-retries``, ``--timeout`` and ``--fail-fast``."""

import json

import pytest

import bkgflow
from bkgflow.campaign.events import UnitEnded, UnitTried
from bkgflow.errors import SettingsError
from tests.helpers.programs import Said, write_program

pytestmark = pytest.mark.slow


@pytest.fixture
def program(tmp_path):
    """Units of which one has a bad input."""
    path = write_program(tmp_path / "program", targets=6)
    bad = path.parent / "t0_rate.fits"
    bad.write_bytes(bad.read_bytes()[:-4000])
    return path


def test_fail_fast_ends_with_the_first_unit_that_is_not_good(program, tmp_path):
    plan = bkgflow.plan(program, tmp_path / "out")
    result = bkgflow.run(plan, "threads", workers=1, fail_fast=True)
    assert result.counts["QUARANTINED"] == 1
    assert result.counts["BLOCKED"] >= 1
    assert "--fail-fast" in result.stopped
    blocked = [verdict.reason for verdict in result.verdicts if verdict.state == "BLOCKED"]
    assert all("a unit is QUARANTINED" in reason for reason in blocked)
    assert bkgflow.run(plan, "threads", workers=1).counts == {"COMPLETE": 5, "QUARANTINED": 1}


def test_every_unit_is_tried_before_it_ends(program, tmp_path):
    plan, said = bkgflow.plan(program, tmp_path / "out"), Said()
    bkgflow.run(plan, "threads", workers=2, listeners=[said])
    done = {unit.digest for unit in plan.units if unit.verdict.to_do}
    tried = [each.unit for each in said.events if isinstance(each, UnitTried)]
    assert sorted(tried) == sorted(done)
    for unit in done:
        kinds = [type(each) for each in said.events if getattr(each, "unit", "") == unit]
        assert kinds[-2:] == [UnitTried, UnitEnded]
    good = [each.attempt for each in said.events if isinstance(each, UnitTried)]
    assert all(attempt.read > 1000 for attempt in good if attempt.state == "COMPLETE")
    assert all(attempt.written > 1000 for attempt in good if attempt.state == "COMPLETE")


def test_a_time_limit_for_threads_is_refused_with_its_cure(bkgflow_, program, tmp_path):
    out = tmp_path / "out"
    code, said, wrong = bkgflow_(
        "run", program, "--output", out, "--cluster", "threads", "--timeout", 5
    )
    assert code == 2
    assert "--cluster local" in " ".join((said + wrong).split())


@pytest.mark.parametrize("given", [("--max-retries", -1), ("--timeout", 0)])
def test_numbers_that_cannot_be_meant(bkgflow_, given, program, tmp_path):
    code, _, wrong = bkgflow_("run", program, "--output", tmp_path / "out", *given)
    assert code == 2
    assert wrong and not (tmp_path / "out").exists()


def test_fail_fast_on_the_command_line(bkgflow_, program, tmp_path):
    out = tmp_path / "out"
    code, *_ = bkgflow_("run", program, "--output", out, "--cluster", "threads", "--fail-fast")
    assert code == 1
    assert "--fail-fast" in json.loads((out / "bkgflow-run.json").read_text())["stopped"]


def test_retries_are_checked_before_anything_is_started(program, tmp_path):
    with pytest.raises(SettingsError, match="0 times"):
        bkgflow.run(bkgflow.plan(program, tmp_path / "out"), max_retries=-1)
    assert not (tmp_path / "out").exists()
