"""What is handed to a ledger is there once, in order, whatever the database does meanwhile."""

import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from benchmarks.fault_tools import disk
from bkgflow.campaign.ledger.opening import database_of, open_database
from bkgflow.campaign.ledger.register import DIED
from bkgflow.campaign.ledger.schema import attempts, events
from bkgflow.campaign.ledger.writer import Writer
from bkgflow.errors import LedgerError
from bkgflow.io.storage.location import Location
from bkgflow.verdict import State, Verdict
from tests.helpers.ledgers import (
    CAMPAIGN,
    begin,
    complete,
    file_of,
    plan_of,
    read,
    scripted,
    writer_of,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def plan(tmp_path):
    return plan_of(tmp_path)


def ends(reader, run="run1"):
    return [(each["event"], each["unit"]) for each in reader.events(run=run)]


def wanted(plan):
    return [(what, unit.output) for unit in plan.units for what in ("begins", "ends")]


def test_what_is_handed_over_is_there_in_order(url, plan):
    writer = begin(writer_of(url), plan, labels={"operator": "ada"})
    complete(writer, plan.units)
    writer.said("a worker was lost")
    writer.end("")
    with read(url, plan) as reader:
        assert ends(reader) == [*wanted(plan), ("says", None)]
        assert reader.counts() == {"COMPLETE": 3}
        assert reader.labels() == {"operator": "ada"}
        assert [each.files for each in reader.units()] == [(file_of(u),) for u in plan.units]
        (run,) = reader.runs()
        assert run.stopped == "" and run.ended > run.started and run.to_do == 3
        assert reader.folder() == str(plan.output)


def test_a_run_that_could_not_say_its_end_is_ended_by_the_next(url, plan):
    begin(writer_of(url, "run1"), plan).close()
    begin(writer_of(url, "run2"), plan).end("")
    with read(url, plan) as reader:
        assert [(each.run, each.stopped) for each in reader.runs()] == [
            ("run1", DIED),
            ("run2", ""),
        ]


def test_the_latest_run_is_the_last_one_whatever_its_clock_says(url, plan, monkeypatch):
    now, unit = time.time(), plan.units[0]
    least = {"number": 1, "worker": "", "host": "", "state": "", "reason": "", "log": ""}
    for name, ahead in (("run1", 600.0), ("run2", 0.0), ("run3", -600.0)):
        monkeypatch.setattr(time, "time", lambda at=now + ahead: at)
        writer = begin(writer_of(url, name), plan, started=now + ahead)
        writer.tried(unit.digest, least | {"started": now + ahead})
        complete(writer, [unit])
        writer.end("")
    wanted = ["run1", "run2", "run3"]
    with read(url, plan) as reader:
        assert [each.run for each in reader.runs()] == wanted
        assert [each.number for each in reader.runs()] == [1, 2, 3]
        assert [each["run"] for each in reader.attempts(unit.output)] == wanted
        assert [each["run"] for each in reader.events(unit.output)] == sorted(2 * wanted)


def test_labels_of_several_runs_come_together(url, plan):
    begin(writer_of(url, "run1"), plan, labels={"a": "1", "b": "1"}).end("")
    begin(writer_of(url, "run2"), plan, labels={"b": "2"}).end("")
    with read(url, plan) as reader:
        assert reader.labels() == {"a": "1", "b": "2"}


def test_a_unit_that_ends_without_files_keeps_the_older_ones(url, plan):
    unit = plan.units[0]
    writer = begin(writer_of(url, "run1"), plan)
    complete(writer, [unit])
    writer.end("")
    writer = begin(writer_of(url, "run2"), plan)
    writer.ended(unit.digest, Verdict.skipped("for a reason"), [])
    writer.end("")
    with read(url, plan) as reader:
        (kept,) = reader.units(unit.output)
        assert kept.state == State.SKIPPED and kept.files == (file_of(unit),)


def test_a_file_that_was_another_units_before_changes_hands(url, plan):
    one, other, _ = plan.units
    writer = begin(writer_of(url), plan)
    complete(writer, [one])
    mine = replace(file_of(other), file=one.output)
    writer.ended(other.digest, Verdict(State.COMPLETE), [mine, file_of(other)])
    writer.end("")
    with read(url, plan) as reader:
        kept = {each.unit: each.files for each in reader.units()}
        assert kept[one.output] == () and kept[other.output] == (mine, file_of(other))


def test_attempts_may_tell_little_or_much(url, plan):
    writer, unit = begin(writer_of(url), plan), plan.units[0]
    least = {"worker": "w", "host": "h", "state": "BLOCKED", "reason": "died", "log": ""}
    writer.tried(unit.digest, least | {"number": 1})
    writer.tried(unit.digest, least | {"number": 2, "seconds": 2.5, "peak_memory": 1 << 40})
    writer.end("")
    with read(url, plan) as reader:
        first, second = reader.attempts(unit.output)
        assert first["seconds"] is None and second["peak_memory"] == 1 << 40


# Databases that fail.

BUSY = sqlite3.OperationalError("database is locked")
LOST = sqlite3.OperationalError("disk I/O error")


def in_script(tmp_path, plan, script, **options):
    """Write a run, of which the script's first commit is that of the beginning."""
    url, slept = database_of(Location.of(tmp_path)), []
    open_database(url, write=True).close()
    opened = scripted(url, script)
    writer = begin(Writer(CAMPAIGN, "run1", opened, sleep=slept.append, **options), plan)
    return url, writer, slept


OK = ("", None)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_commit_that_is_not_answered_is_tried_again_and_nothing_is_there_twice(
    when, tmp_path, plan
):
    script = [OK, *[(when, BUSY)] * 3]
    url, writer, slept = in_script(tmp_path, plan, script)
    complete(writer, plan.units)
    writer.tried(
        plan.units[0].digest,
        {"number": 1, "worker": "", "host": "", "state": "", "reason": "", "log": ""},
    )
    writer.end("")
    assert writer.problem is None and script == []
    assert len(slept) == 3 and slept == sorted(slept)
    with read(url, plan) as reader:
        assert ends(reader) == wanted(plan)
        assert reader.counts() == {"COMPLETE": 3}
        with reader.database.engine.connect() as connection:
            for table, number in ((events, 6), (attempts, 1)):
                query = select(func.count()).select_from(table)
                assert connection.execute(query).scalar() == number


def test_a_database_that_never_answers_ends_the_run_with_what_it_says(tmp_path, plan):
    _, writer, _ = in_script(tmp_path, plan, [OK, *[("before", BUSY)] * 1000], patience=0.05)
    complete(writer, plan.units[:1])
    wait_for(lambda: writer.problem)
    with pytest.raises(LedgerError, match=r"must answer \(found: database is locked\)"):
        writer.begun(plan.units[1].digest)
    writer.end("")
    assert isinstance(writer.problem, LedgerError)


def test_what_cannot_be_mended_is_not_tried_again(tmp_path, plan):
    script = [OK, ("before", sqlite3.IntegrityError("UNIQUE constraint failed"))]
    _, writer, slept = in_script(tmp_path, plan, script)
    complete(writer, plan.units[:1])
    writer.end("")
    assert slept == [] and "UNIQUE" in str(writer.problem) and "report it" in str(writer.problem)


def wait_for(true, seconds=20):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


HOLDS = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute("COMMIT")
"""


def test_a_lock_that_another_process_has_for_seconds_is_waited_for(tmp_path, plan):
    url = database_of(Location.of(tmp_path))
    writer = begin(writer_of(url), plan)
    command = [sys.executable, "-c", HOLDS, url.database, "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        began = time.monotonic()
        complete(writer, plan.units)
        assert time.monotonic() - began < 1  # the driver does not wait
        writer.end("")
        assert time.monotonic() - began > 2
    assert writer.problem is None
    with read(url, plan) as reader:
        assert ends(reader) == wanted(plan)


def filled(folder):
    """Fill a disk to its last block."""
    with (folder / "ballast").open("wb", buffering=0) as stream:
        try:
            while stream.write(bytes(1 << 14)):
                pass
        except OSError:
            return


def many(writer, plan):
    for _ in range(500):
        writer.said("x" * 1000)
    complete(writer, plan.units)


def test_a_disk_that_is_full_for_a_while_costs_nothing(tmp_path, plan):
    with disk(tmp_path / "disk", size="2m") as small:
        if small is None:
            pytest.skip("this user may not mount a disk")
        url = database_of(Location.of(small))
        writer = begin(writer_of(url), plan)
        filled(small)
        many(writer, plan)
        free = threading.Timer(1.0, (small / "ballast").unlink)
        free.start()
        writer.end("")
        assert writer.problem is None
        with read(url, plan) as reader:
            assert [each for each in ends(reader) if each[0] != "says"] == wanted(plan)
            assert len(reader.events()) == 506


def test_a_disk_that_stays_full_does_not_hang_the_end_of_a_run(tmp_path, plan):
    with disk(tmp_path / "disk", size="1m") as small:
        if small is None:
            pytest.skip("this user may not mount a disk")
        url = database_of(Location.of(small))
        writer = begin(writer_of(url, sleep=lambda seconds: time.sleep(0.01), patience=1.0), plan)
        filled(small)
        many(writer, plan)
        writer.end("")
        assert "full" in str(writer.problem)
        (small / "ballast").unlink()
        again = begin(writer_of(url, "run2"), plan)
        complete(again, plan.units)
        again.end("")
        with read(url, plan) as reader:
            assert reader.counts() == {"COMPLETE": 3}


# Disks.

MOUNTS = """\
25 1 254:0 / / rw - ext4 /dev/vda rw
26 25 0:40 / {root}/net\\040work rw - nfs4 server:/x rw
27 26 0:41 / {root}/net\\040work/local rw - ext4 /dev/vdb rw
28 25 0:42 / {root}/hidden rw - nfs4 server:/y rw
29 25 0:43 / {root}/hidden rw - xfs /dev/vdc rw
"""


@pytest.fixture
def mounts(tmp_path):
    file = tmp_path / "mountinfo"
    file.write_text(MOUNTS.format(root=tmp_path))
    return file


@pytest.mark.parametrize(
    ("folder", "mode", "noted"),
    [
        ("here", "wal", False),
        ("net work", "truncate", True),
        ("net work/below", "truncate", True),
        ("net work/local", "wal", False),
        ("hidden", "wal", False),
    ],
)
def test_the_journal_is_one_that_the_disk_can_keep(folder, mode, noted, tmp_path, mounts, plan):
    place = tmp_path / folder
    place.mkdir(parents=True)
    url = database_of(Location.of(place))
    opened = open_database(url, write=True, mounts=mounts)
    with opened.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == mode
    assert bool(opened.notes) == noted
    assert not noted or ("nfs4" in opened.notes[0] and str(place) in opened.notes[0])
    # Whoever reads sees each unit when it has ended, and neither waits for the other.
    writer = begin(Writer(CAMPAIGN, "run1", lambda: opened), plan)
    for number, unit in enumerate(plan.units):
        complete(writer, [unit])
        with read(url, plan) as reader:
            wait_for(lambda reader=reader, number=number: counted(reader) == number + 1)
    writer.end("")
    opened.close()


def counted(reader):
    return reader.counts().get("COMPLETE", 0)


def test_a_ledger_on_a_disk_that_takes_nothing_can_still_be_read(tmp_path, plan):
    with disk(tmp_path / "disk") as small:
        if small is None:
            pytest.skip("this user may not mount a disk")
        url = database_of(Location.of(small))
        writer = begin(writer_of(url), plan)
        complete(writer, plan.units)
        writer.end("")
        writer.database.close()
        subprocess.run(["mount", "-o", "remount,ro", small], check=True)
        with read(url, plan) as reader:
            assert reader.counts() == {"COMPLETE": 3}
        with pytest.raises(LedgerError) as caught:
            open_database(url, write=True)
        assert caught.value.cure and small.name in str(caught.value)
