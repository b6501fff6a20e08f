"""How a campaign stands: what is counted, how fast, and what is said of drivers elsewhere."""

import json
import os
import shlex
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from sqlalchemy import insert, update

import bkgflow
from bkgflow.campaign.asked import Asked, options_without_passwords, without_passwords
from bkgflow.campaign.ledger.opening import LEDGER, database_of, open_database
from bkgflow.campaign.ledger.schema import attempts, runs, units
from bkgflow.campaign.looking import look_again
from bkgflow.campaign.place import PLACE_FILE, Place
from bkgflow.campaign.status import status_of
from bkgflow.errors import LedgerError, UsageError
from bkgflow.io.storage.holder import LOCK, Holder
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.owner import Owner
from bkgflow.report.campaign_tables import campaign_html, duration
from tests.helpers.clusters import free_port
from tests.helpers.drivers import COMMAND, command, environment

HEAVY = ("dask", "distributed", "astropy", "numba", "stdatamodels", "xarray", "numpy", "pandas")
MANY = 10_000
RULE = "It must be so"
ELSEWHERE = Owner("another-host", 17, 5, 3)

pytestmark = pytest.mark.usefixtures("compiled")


@pytest.fixture
def campaign(folder):
    """A campaign of two units that are done, and its ledger to be changed."""
    out = folder / "out"
    assert bkgflow.run(bkgflow.plan(folder / "program", out), "threads").ok
    return out


def change(out, *statements):
    database = open_database(database_of(Location.of(out)), write=True)
    with database.engine.begin() as connection:
        for each in statements:
            connection.execute(*each)
    database.close()


def units_of(out):
    database = open_database(database_of(Location.of(out)), write=False)
    with database.engine.connect() as connection:
        rows = [dict(row._mapping) for row in connection.execute(units.select())]
    database.close()
    return rows


def locked_by(out, owner, run, age=0.0):
    lock = out / LOCK
    lock.write_bytes(Holder(run, owner, "ada", "2026-01-01 00:00:00").to_json())
    past = time.time() - age
    os.utime(lock, (past, past))


@pytest.fixture
def in_flight(campaign):
    """The run goes on: one unit is computed."""
    first = units_of(campaign)[0]
    begun = {"state": "PLANNED", "verdict": None, "ended": None, "begun": time.time() - 30}
    attempt = {
        "campaign": first["campaign"], "unit": first["unit"], "run": first["run"], "number": 2,
        "worker": "tcp://10.0.0.7:4000", "host": "node7", "state": "", "reason": "", "log": "",
    }  # fmt: skip
    change(
        campaign,
        (update(units).where(units.c.unit == first["unit"]).values(begun),),
        (update(runs).values(ended=None, stopped=None, process=str(ELSEWHERE)),),
        (insert(attempts).values(attempt),),
    )
    return campaign, first


@pytest.mark.slow
def test_a_driver_elsewhere_lives_while_it_renews_its_lock(in_flight):
    out, first = in_flight
    locked_by(out, ELSEWHERE, first["run"])
    found = status_of(Location.of(out))
    assert (found.state, found.driver) == ("running", "17@another-host")
    (running,) = found.under_way
    assert running.target == "t1_rate.fits"
    assert running.where == "tcp://10.0.0.7:4000 on node7"
    assert "t1_rate.fits (30 s, tcp://10.0.0.7:4000 on node7)" in str(found)
    locked_by(out, ELSEWHERE, first["run"], age=3600)
    found = status_of(Location.of(out))
    assert found.state == "died"
    assert "its driver (process 17 on another-host) died, 1 unit in flight" in found.words
    assert (found.done, found.total, found.counts) == (1, 2, {"COMPLETE": 1, "PLANNED": 1})


def test_a_run_that_has_not_begun_yet_is_told(tmp_path):
    locked_by(tmp_path, Owner.me(), "0123abcd")
    found = status_of(Location.of(tmp_path))
    assert (found.state, found.campaign, found.total) == ("running", "", 0)
    assert "it waits for its cluster" in str(found)


def nothing(out):
    (out / LEDGER).unlink()


def empty(out):
    nothing(out)
    (out / LEDGER).touch()
    for each in out.glob("*.fits"):
        each.unlink()


def other(out):
    place = Place.found(Location.of(out))
    (out / PLACE_FILE).unlink()
    replace(place, campaign="0" * 12).save()


@pytest.mark.parametrize("lacks", [nothing, empty, other])
def test_a_run_that_has_a_place_and_no_ledger_yet_has_not_begun(lacks, in_flight):
    out, first = in_flight
    locked_by(out, ELSEWHERE, first["run"])
    lacks(out)
    assert "it waits for its cluster" in status_of(Location.of(out)).words


def away(out):
    (out / PLACE_FILE).unlink()
    told = f"postgresql://ada@127.0.0.1:{free_port()}/x"
    Place.of(Location.of(out), told).save()


def damaged(out):
    (out / LEDGER).write_bytes(b"SQLite format 3\0" + bytes(5000))


@pytest.mark.parametrize(("spoil", "rule"), [(away, "must answer"), (damaged, "must be whole")])
def test_a_ledger_that_cannot_be_read_while_a_run_goes_on_is_said(spoil, rule, in_flight, bkgflow_):
    out, first = in_flight
    locked_by(out, ELSEWHERE, first["run"])
    spoil(out)
    for words in (("status", out), ("wait", out, "--timeout", "0.2")):
        code, said, error = bkgflow_(*words)
        assert (code, said) == (2, "") and rule in error
    found = look_again(Location.of(out))
    assert isinstance(found, LedgerError) and rule in found.rule
    (out / LOCK).unlink()
    with pytest.raises(LedgerError, match=rule):
        look_again(Location.of(out))


def test_the_status_as_json_has_every_value(in_flight, bkgflow_):
    out, first = in_flight
    locked_by(out, ELSEWHERE, first["run"])
    code, said, _ = bkgflow_("status", out, "--json")
    assert code == 3
    found = json.loads(said)
    kinds = {
        "layout": int, "campaign": str, "output": str, "state": str, "words": str, "counts": dict,
        "done": int, "total": int, "rate": float, "seconds_left": float, "under_way": list,
        "failures": list, "run": str, "runs": int, "driver": str, "user": str, "started": str,
        "ended": type(None), "stopped": str, "labels": dict, "written": int, "go_on": str,
    }  # fmt: skip
    assert {name: type(value) for name, value in found.items()} == kinds
    assert found["layout"] == 1
    assert found["started"].endswith("+00:00")
    assert set(found["under_way"][0]) == {"unit", "target", "since", "where"}
    assert found["written"] == sum(path.stat().st_size for path in out.glob("*_bsub.fits"))


@pytest.mark.slow
def test_pace_and_time_left_are_those_of_the_last_minutes(in_flight):
    out, first = in_flight
    second = units_of(out)[1]
    now = time.time()
    change(
        out,
        (update(units).where(units.c.unit == second["unit"]).values(begun=now - 60, ended=now),),
    )
    locked_by(out, ELSEWHERE, first["run"])
    found = status_of(Location.of(out))
    assert found.rate == pytest.approx(1, rel=0.2)  # one unit in a minute
    assert found.seconds_left == pytest.approx(60, rel=0.2)
    # A run of --only has one to do, and that one has ended: what it leaves is not waited for.
    change(out, (update(runs).values(to_do=1),))
    found = status_of(Location.of(out))
    assert (found.seconds_left, found.counts["PLANNED"]) == (0, 1)


@pytest.mark.parametrize(
    ("rate", "words"),
    [(1171.4, "1,171"), (60.2, "60"), (3.46, "3.5"), (0.25, "0.25"), (0.0213, "0.021")],
)
def test_a_rate_is_written_in_one_way(campaign, rate, words):
    found = replace(status_of(Location.of(campaign)), rate=rate)
    for text in (str(found), campaign_html(found, time.time())):
        assert f" {words} units/min" in text


@pytest.mark.slow
def test_the_status_of_ten_thousand_units_comes_within_a_second(in_flight):
    """Of a run that goes on; what Python itself takes to start is not counted."""
    out, first = in_flight
    template = units_of(out)[1]
    verdict = json.dumps(
        {
            "state": "FAILED", "reason": "no usable scale", "error": None, "record": None,
            "products": [], "sizes": [], "worker": "", "checksums": [],
        }
    )  # fmt: skip
    rows = [
        {**template, "unit": f"u{n}_bsub.fits", "target": f"/p/u{n}_rate.fits", "position": n + 2}
        | ({"state": "FAILED", "verdict": verdict} if n % 3 == 0 else {})
        for n in range(MANY)
    ]
    change(out, (insert(units), rows))
    locked_by(out, ELSEWHERE, first["run"])
    took = []
    for _ in range(3):
        began = time.process_time()
        found = status_of(Location.of(out))
        took.append(time.process_time() - began)
    assert found.total == MANY + 2
    (failure,) = found.failures
    assert len(failure.units) == (MANY + 2) // 3
    assert min(took) < 0.5
    code, said, _ = command("status", out)
    assert code == 3 and "3,334 units FAILED: no usable scale" in said


@pytest.mark.slow
def test_the_status_imports_nothing_heavy(campaign):
    script = (
        "import sys\n"
        "from bkgflow.cli import main\n"
        f"sys.argv = ['bkgflow', 'status', {str(campaign)!r}]\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        f"print('loaded:', *sorted(set({HEAVY!r}) & set(sys.modules)))\n"
    )
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout.splitlines()[-1] == "loaded:"
    assert COMMAND


def test_a_ledger_that_is_gone_is_said(campaign, bkgflow_):
    (campaign / LEDGER).unlink()
    code, said, error = bkgflow_("status", campaign)
    assert (code, said) == (2, "")
    assert "A campaign must have its ledger" in error


def test_the_command_that_goes_on_can_be_pasted():
    asked = Asked(("run", "my prog", "--output=out", "--fresh", "--retry_failed"), "/data/a b")
    assert asked.words("/data/a b") == "bkgflow run 'my prog' --output=out"
    assert asked.words("/") == "cd '/data/a b' && bkgflow run 'my prog' --output=out"
    assert Asked.from_dict(json.loads(json.dumps(asked.to_dict()))) == asked
    assert Asked.from_dict({}) == Asked() and Asked().words("/") == ""


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("postgresql://ada:secret@host/db", "postgresql://ada@host/db"),
        ("--notify=https://:secret@h.example/x", "--notify=https://h.example/x"),
        ("https://u:p@ss@h.example:80/x", "https://u@h.example:80/x"),
        ("HTTPS://u:p ss@[::1]:80?x", "HTTPS://u@[::1]:80?x"),
        ("curl -s https://u:secret@h/ https://v:@h", "curl -s https://u@h/ https://v@h"),
        ("icechunk://s3://u:secret@b/x.icechunk", "icechunk://s3://u@b/x.icechunk"),
        *(
            (each, each)
            for each in (
                "--cluster=tcp://host:8786", "https://token@h/x", "https://h:80/@team/a:b@c",
                "http://[::1]:80/x@y", "s3://arn:aws:s3:us:1:accesspoint/p/k@2", "mail a:b@c",
            )
        ),
    ],
)  # fmt: skip
def test_no_password_of_a_url_is_kept(given, kept):
    assert without_passwords([given]) == (kept,)
    told = {"notify": given, "only": [given], "fresh": True}
    assert options_without_passwords(told) == {"notify": kept, "only": [kept], "fresh": True}
    error = UsageError(RULE, value=given, file=given, cure="Do")
    assert (error.value, error.file) == (kept, kept)


@pytest.mark.slow
def test_a_folder_with_a_space_in_its_name_can_be_pasted(campaign):
    named = campaign.rename(campaign.parent / "my 'out'")
    of_all = {
        "stopped": (update(runs).values(stopped="by Ctrl-C"),),
        "died": (update(runs).values(ended=None, stopped=None),),
        "failed": (
            update(runs).values(ended=time.time()),
            update(units).values(state="FAILED"),
        ),
    }
    for state, statements in of_all.items():
        change(named, *((each,) for each in statements))
        found = status_of(Location.of(named))
        assert found.state == state
        assert found.words.endswith(f"bkgflow retry {shlex.quote(str(named))}")


@pytest.mark.slow
def test_what_is_shown_is_escaped(campaign):
    found = replace(status_of(Location.of(campaign)), stopped="", words="<b>x</b>", user="<u>")
    html = campaign_html(found, time.time())
    assert "&lt;b&gt;x" in html and "<u>" not in html


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 s"), (41.6, "42 s"), (185, "3 min 5 s"), (7800, "2 h 10 min"),
        (3 * 86400 + 4 * 3600, "3 d 4 h"),
    ],
)  # fmt: skip
def test_times_are_read_at_a_glance(seconds, words):
    assert duration(seconds) == words
