"""Programs on web servers: listed or not, by patterns, with ranges and without."""

import os

import pytest

import bkgflow
from bkgflow.errors import PlanError
from bkgflow.io.storage.location import Location
from tests.helpers.programs import write_program
from tests.helpers.web import web_of

pytestmark = pytest.mark.slow


@pytest.fixture
def web(tmp_path):
    """A server of a folder with a program in it."""
    write_program(tmp_path / "site" / "prog", targets=2)
    with web_of(tmp_path / "site") as made:
        yield made


def states(result):
    return [each.state.value for each in result.verdicts]


def test_a_list_of_a_folder_that_tells_no_versions_is_none_of_versions(web, tmp_path):
    plan = bkgflow.plan(f"{web.url}/prog/x_asn.json", tmp_path / "out")
    assert [unit.verdict.state.value for unit in plan.units] == ["PLANNED"] * 2
    assert states(bkgflow.run(plan, "threads")) == ["COMPLETE"] * 2


def test_a_file_without_an_etag_is_known_by_when_it_was_changed(tmp_path):
    (tmp_path / "a.txt").write_text("one")
    with web_of(tmp_path, ranges=False) as web:
        before = Location.of(f"{web.url}/a.txt").identity()
        (tmp_path / "a.txt").write_text("two")
        os.utime(tmp_path / "a.txt", (1e9, 1e9))
        after = Location.of(f"{web.url}/a.txt").identity()
    assert before.size == after.size == 3
    assert before.mtime_ns > after.mtime_ns == 10**18


def test_a_web_server_that_is_down_is_said_to_be(hasty, tmp_path):
    with web_of(tmp_path) as web:
        pass
    with pytest.raises(PlanError, match="the store did not do it in 8 attempts"):
        bkgflow.plan(f"{web.url}/x_asn.json", tmp_path / "out")
