"""Campaigns whose ledger lies elsewhere are asked, and mended, like all others."""

import pytest

import bkgflow
from bkgflow.errors import LedgerError
from tests.helpers.answers import plan_campaign, run_campaign
from tests.helpers.programs import write_program

pytestmark = pytest.mark.slow


@pytest.fixture(params=["file", "postgresql"])
def ledger(request, tmp_path):
    """Where a ledger may be: a file in another folder, or a server."""
    if request.param == "file":
        (tmp_path / "ledgers").mkdir()
        return str(tmp_path / "ledgers" / "mine.sqlite")
    return request.getfixturevalue("server").database()


def run(folder, ledger):
    write_program(folder / "program", 2)
    plan = plan_campaign(folder)
    assert bkgflow.run(plan, "threads", workers=1, progress=False, ledger=ledger).ok
    return folder / "out"


def test_answers_come_from_where_the_ledger_is(ledger, tmp_path):
    out = run(tmp_path, ledger)
    assert bkgflow.verify(out).ok
    assert bkgflow.explain(out, "t1").units[0].state == "COMPLETE"
    assert list(bkgflow.export(out).to_frame()["state"]) == ["COMPLETE", "COMPLETE"]
    assert bkgflow.list_campaigns(tmp_path).found[0].counts == {"COMPLETE": 2}
    assert bkgflow.clean(out).unwanted == ()
    assert bkgflow.diff(out, out).same
    assert bkgflow.rebuild(out).was_whole


def test_a_ledger_elsewhere_is_made_again_where_it_was(ledger, tmp_path):
    out = run(tmp_path, ledger)
    found = bkgflow.rebuild(out, anew=True)
    assert found.counts == {"COMPLETE": 2}
    assert "mine.sqlite" in found.ledger or "postgresql" in found.ledger
    assert not (out / "bkgflow-ledger.sqlite").exists()
    assert bkgflow.choices(plan_campaign(tmp_path)).to_do == []
    assert run_campaign(tmp_path).ok


def test_where_a_ledger_is_can_be_told_again_when_that_was_lost(ledger, tmp_path):
    out = run(tmp_path, ledger)
    (out / "bkgflow-campaign.json").unlink()
    with pytest.raises(LedgerError, match="rebuild"):
        bkgflow.verify(out)
    found = bkgflow.rebuild(out, ledger=ledger)
    assert found.was_whole  # the ledger knows the folder: nothing of it is lost
    assert found.counts == {"COMPLETE": 2}
    assert bkgflow.verify(out).ok
    assert bkgflow.explain(out, "t0").units[0].why == "new"
    assert bkgflow.choices(plan_campaign(tmp_path)).to_do == []


def test_a_ledger_of_several_campaigns_keeps_the_others(tmp_path):
    ledger = str(tmp_path / "shared.sqlite")
    first, second = (run(tmp_path / name, ledger) for name in ("a", "b"))
    found = bkgflow.rebuild(first, anew=True)
    assert found.kept == ()
    assert "1 other campaign" in str(found)
    assert bkgflow.verify(first).ok
    assert bkgflow.explain(second, "t0").units[0].why == "new"
