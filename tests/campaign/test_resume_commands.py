"""Resuming on the command line: what is said of a run before it, and of each unit; two drivers."""

import signal

import pytest

from benchmarks.fault_tools import bkgflow as command
from benchmarks.fault_tools import ended
from bkgflow.campaign.place import open_campaign
from bkgflow.io.storage.location import Location
from tests.helpers.campaigns import Campaign, exposure, touch
from tests.helpers.crowd import write_crowd

pytestmark = pytest.mark.slow


@pytest.fixture
def campaign(tmp_path):
    return Campaign(tmp_path)


@pytest.fixture
def call(campaign, bkgflow_):
    """Call ``bkgflow run`` on the campaign, with more options."""

    def run(*more):
        arguments = ("--output", campaign.out, "--cluster", "threads", "--quiet")
        return bkgflow_("run", campaign.program, *arguments, *more)

    return run


def test_a_dry_run_says_of_every_unit_why_and_writes_nothing(call, campaign):
    code, out, _ = call("--dry-run", "-v")
    assert code == 0 and not campaign.out.exists()
    assert out.splitlines() == [*(f"do t{n}_rate.fits: new" for n in range(4)), "4 to do (4 new)"]
    assert call()[0] == 0
    touch(campaign.program / "t1_rate.fits")
    (campaign.out / "t2_bsub.fits").unlink()
    exposure(campaign.program / "b1_rate.fits", 1.0)
    touch(campaign.program / "b1_rate.fits")
    before = {path: path.stat().st_mtime_ns for path in campaign.out.iterdir()}
    code, out, _ = call("--dry-run", "-v")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "leave t0_rate.fits: complete and valid"
    assert lines[1] == "do t1_rate.fits: inputs: target: t1_rate.fits was written again"
    assert all("b1_rate.fits" in line for line in lines[2:4])
    assert lines[4] == "3 to do (3 inputs); 1 left as they are (1 complete and valid)"
    assert before == {path: path.stat().st_mtime_ns for path in campaign.out.iterdir()}


@pytest.mark.parametrize(
    ("options", "done"),
    [
        ((), 0),
        (("--fresh",), 4),
        (("--only", "t0*"), 0),
        (("--only", "t0*", "--only", "p3", "--fresh"), 2),
        (("--sigma", "2"), 4),
        (("--sigma", "2", "--rerun-on", "inputs,references"), 0),
        (("--checksum",), 0),
        (("--retry-failed",), 0),
        (("--label", "operator=ada"), 0),
    ],
)
def test_the_same_command_again_does_what_its_options_say(options, done, call, campaign):
    assert call()[0] == 0
    assert call(*options)[0] == 0
    runs = sorted({event["run"] for event in campaign.events()})
    again = [len(campaign.begun(run)) for run in runs]
    assert sorted(again) == sorted([4, done] if done else [4])


def test_a_ledger_elsewhere_is_named_once(call, campaign, tmp_path):
    assert call("--ledger", tmp_path / "ledger.db")[0] == 0
    assert (tmp_path / "ledger.db").exists()
    assert "4 left as they are" in call("--dry-run")[1]
    assert call("--ledger", tmp_path)[0] == 0  # a folder: another ledger in it
    assert (tmp_path / "bkgflow-ledger.sqlite").exists()


def test_nothing_but_one_file_of_the_ledger_stays(call, campaign):
    call()
    call("--dry-run")
    campaign.kept()
    names = sorted(path.name for path in campaign.out.iterdir() if "ledger" in path.name)
    assert names == ["bkgflow-ledger.sqlite"]


# Two drivers.


@pytest.mark.parametrize("where", ["sqlite", "postgresql"])
def test_a_second_driver_is_refused_and_a_dead_ones_hold_is_taken_over(where, request, tmp_path):
    program, out = write_crowd(tmp_path / "program", 24), tmp_path / "out"
    more = ()
    if where == "postgresql":
        more = ("--ledger", request.getfixturevalue("server").database())
    arguments = ("run", program, "--output", out, "--cluster", "threads", "--workers", 2, *more)
    with command(*arguments, out=out) as first:
        assert first.wait_for_products(2)
        first.signal(signal.SIGSTOP)  # it lives, and can say nothing
        code, said = ended(*arguments, out=out)
        assert code == 2 and f"process {first.process.pid} on" in said and "Traceback" not in said
        first.signal(signal.SIGCONT)
        assert first.wait_for_products(4)
        first.signal(signal.SIGKILL)
        assert first.end()[0] == -signal.SIGKILL
    code, said = ended(*arguments, out=out)
    assert code == 0 and "taken over" in said
    database, reader = open_campaign(Location.of(out))
    died, last = reader.runs()
    assert (died.stopped, last.stopped) == ("its process died", "")
    assert reader.counts() == {"COMPLETE": 24}
    begun = [each["unit"] for each in reader.events(run=last.run) if each["event"] == "begins"]
    ended_before = [each["unit"] for each in reader.events(run=died.run) if each["event"] == "ends"]
    assert set(begun).isdisjoint(ended_before) and len(begun) + len(ended_before) == 24
    database.close()


def test_a_pattern_that_fits_no_unit_is_no_finished_campaign(call, campaign):
    code, _, err = call("--only=t0*", "--only=tO*")
    assert code == 2
    assert "A pattern of units must fit at least one of them (found: tO*)" in err
    assert not campaign.out.exists()
    assert call("--only=t0*")[0] == 0
