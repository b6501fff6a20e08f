"""What is lost while a run goes on: the result, the ledger and all who listen say the same."""

import json
import shutil

import pytest
import typer

import bkgflow
from bkgflow.campaign.event_lines import EVENTS_FILE
from bkgflow.campaign.events import UnitEnded
from bkgflow.campaign.ledger.opening import LEDGER
from bkgflow.campaign.place import PLACE_FILE
from bkgflow.campaign.standing import Standing
from bkgflow.campaign.status import status_of
from bkgflow.cli.run import finish
from bkgflow.cli.status import exit_code_of
from bkgflow.clusters.local import Threads
from bkgflow.io.storage.location import Location
from bkgflow.verdict import State, Verdict
from tests.helpers.driving import Driven

pytestmark = pytest.mark.usefixtures("compiled")


@pytest.fixture
def plan(folder, out):
    return bkgflow.plan(folder / "program", out)


@pytest.fixture
def told(folder):
    """The last message of a notification, when the run has ended."""
    return folder / "told.json"


@pytest.mark.slow
def test_a_product_that_was_lost_is_blocked_wherever_it_is_asked_for(plan, out, told):
    standing, lost = Standing(plan), out / "t1_bsub.fits"
    result = bkgflow.run(
        plan,
        Driven(Threads(1), last=lost.unlink),
        listeners=[standing.take],
        notify=["sh", "-c", f"cat > '{told}'"],
    )
    counts = {"COMPLETE": 1, "BLOCKED": 1}
    assert result.counts == counts
    status = status_of(Location.of(out))
    assert status.counts == counts and status.state == "failed" and exit_code_of(status) == 1
    (failure,) = status.failures
    assert failure.units == ("t1_rate.fits",) and failure.files == (str(lost),)
    assert standing.counts == counts and standing.done == 2
    assert standing.written == (out / "t2_bsub.fits").stat().st_size
    message = json.loads(told.read_text())
    assert (message["state"], message["counts"]) == ("incomplete", counts)
    lines = [json.loads(line) for line in (out / EVENTS_FILE).read_text().splitlines()]
    ends = [each for each in lines if each["event"] == "unit_ended"]
    assert {each["unit"]: each["state"] for each in ends} == {
        "t1_rate.fits": "BLOCKED",
        "t2_rate.fits": "COMPLETE",
    }
    assert len(ends) == 3 and ends[-1]["attempt"] == 1 and "is gone" in ends[-1]["reason"]
    assert bkgflow.Campaign.open(out).events().iloc[-1].state == "BLOCKED"
    assert bkgflow.run(plan, "threads").ok
    assert status_of(Location.of(out)).counts == {"COMPLETE": 2}


def test_of_a_unit_that_ends_twice_the_last_end_counts(plan):
    standing, unit = Standing(plan), plan.units[0].digest
    done = Verdict(State.COMPLETE, products=("/x",), sizes=(7,))
    standing.take(UnitEnded("r", unit, done))
    assert (standing.counts, standing.written) == ({"COMPLETE": 1}, 7)
    standing.take(UnitEnded("r", unit, Verdict.blocked("it is gone")))
    assert (standing.counts, standing.written, standing.done) == ({"BLOCKED": 1}, 0, 1)


# The ledger.


def removed(*files):
    """A cluster of threads in whose last moment files go away."""

    def remove():
        for each in files:
            each.unlink()

    return Driven(Threads(1), last=remove)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["out", "elsewhere"])
def test_a_ledger_that_was_removed_is_written_again(where, plan, out, folder):
    ledger = (folder / where).with_suffix("" if where == "out" else ".sqlite")
    file = out / LEDGER if where == "out" else ledger
    result = bkgflow.run(plan, removed(file), ledger=str(ledger))
    said = f"the ledger {file} was removed while the run went on, and was written again"
    assert result.notes == (said,) and result.ok and not result.unkept
    assert said in (out / "bkgflow.log").read_text()
    assert json.loads((out / "bkgflow-run.json").read_text())["notes"] == [said]
    status = status_of(Location.of(out))
    assert (status.counts, status.run, status.state) == ({"COMPLETE": 2}, result.run, "complete")
    assert len(bkgflow.run(plan, "threads").kept) == 2
    assert not [each for each in out.iterdir() if each.name.startswith(".")]


@pytest.mark.slow
def test_what_says_where_the_ledger_is_is_written_again(plan, out):
    before = bkgflow.run(plan, "threads")
    campaign = bkgflow.Campaign.open(out).id
    result = bkgflow.run(plan, removed(out / PLACE_FILE), fresh=True)
    assert before.notes == ()
    assert result.notes == (
        f"{PLACE_FILE} was removed while the run went on, and was written again",
    )
    assert bkgflow.Campaign.open(out).id == campaign


@pytest.mark.slow
def test_a_ledger_that_was_replaced_is_said_and_left_alone(plan, out):
    assert bkgflow.run(plan, "threads").ok
    older = (out / LEDGER).read_bytes()

    def replace():
        (out / LEDGER).unlink()
        (out / LEDGER).write_bytes(older)

    result = bkgflow.run(plan, Driven(Threads(1), last=replace), fresh=True)
    assert result.ok and result.in_place
    assert "another file, which does not have the end of the run" in result.unkept
    assert result.notes == (result.unkept,)
    with pytest.raises(typer.Exit) as end:
        finish(result, pictures=False, quiet=True)
    assert end.value.exit_code == 2
    assert (out / LEDGER).read_bytes() == older
    assert not [each for each in out.iterdir() if each.name.startswith(f"{LEDGER}-")]


@pytest.mark.slow
def test_a_ledger_whose_folder_was_removed_leaves_a_word(plan, out, folder):
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()

    def remove():
        shutil.rmtree(elsewhere)
        elsewhere.write_text("a file")

    result = bkgflow.run(plan, Driven(Threads(1), last=remove), ledger=str(elsewhere))
    assert result.ok and result.unkept and result.notes == (result.unkept,)
