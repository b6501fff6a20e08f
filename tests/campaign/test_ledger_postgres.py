"""A ledger in PostgreSQL: several campaigns and users, a server that goes away, passwords."""

import os
import re
import shutil
import threading
import time

import psutil
import pytest

import bkgflow
from benchmarks.fault_tools import bkgflow as command
from benchmarks.fault_tools import ended
from bkgflow.campaign.events import UnitEnded
from bkgflow.campaign.ledger.opening import database_of, open_database
from bkgflow.campaign.place import PLACE_FILE, open_campaign
from bkgflow.campaign.resume import Resume
from bkgflow.campaign.session import open_session
from bkgflow.errors import LedgerError, OutputError
from bkgflow.io.storage.location import Location
from tests.helpers.campaigns import Campaign, touch
from tests.helpers.crowd import write_crowd
from tests.helpers.ledgers import begin, complete, plan_of, read, writer_of

pytestmark = pytest.mark.slow
"""A server is started for them."""

UNITS = 24


@pytest.fixture
def database(server):
    return server.database()


class Now:
    """A listener that does something when so many units have ended."""

    def __init__(self, number, what):
        self.left, self.what = number, what

    def __call__(self, event):
        if isinstance(event, UnitEnded):
            self.left -= 1
            if self.left == 0:
                self.what()


def in_order(out, units):
    """Every unit has begun and ended once, and the ledger knows all of them."""
    opened, reader = open_campaign(Location.of(out))
    try:
        events = reader.events()
        assert reader.counts() == {"COMPLETE": units}
        for name in ("begins", "ends"):
            found = [each["unit"] for each in events if each["event"] == name]
            assert len(found) == len(set(found)) == units
        return reader.runs()
    finally:
        opened.close()


def test_a_server_that_is_restarted_during_a_run_costs_nothing(server, database, tmp_path):
    program = write_crowd(tmp_path / "program", UNITS)
    plan = bkgflow.plan(program, tmp_path / "out")
    back = threading.Timer(2.0, server.start)

    def away():
        server.stop()
        back.start()

    result = bkgflow.run(plan, "threads", workers=2, ledger=database, listeners=[Now(5, away)])
    back.join()
    assert result.counts == {"COMPLETE": UNITS} and not result.stopped
    assert result.notes == ()
    (run,) = in_order(tmp_path / "out", UNITS)
    assert run.stopped == ""
    log = (tmp_path / "out" / "bkgflow.log").read_text()
    assert "does not answer, and is tried again" in log and "answers again" in log
    assert bkgflow.run(bkgflow.plan(program, tmp_path / "out"), "threads").kept


def test_connections_that_are_ended_again_and_again_cost_nothing(server, database, tmp_path):
    plan = plan_of(tmp_path, units=12)
    name = database.rpartition("/")[2]
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE datname = '{name}' AND pid <> pg_backend_pid()"
    )
    writer = begin(writer_of(database_of(plan.output, database)), plan)
    for unit in plan.units:
        server.ask(kill)
        complete(writer, [unit])
        time.sleep(0.02)
    writer.end("")
    assert writer.problem is None
    with read(database_of(plan.output, database), plan) as reader:
        assert reader.counts() == {"COMPLETE": 12}
        assert [each["number"] for each in reader.events()] == list(range(1, 25))


def test_a_server_that_is_away_when_a_run_begins_is_named(server, database, tmp_path):
    made = Campaign(tmp_path, ledger=database)
    server.stop()
    try:
        with pytest.raises(LedgerError, match="must answer") as caught:
            made.run()
    finally:
        server.start()
    assert "127.0.0.1" in str(caught.value)
    assert not made.out.exists()
    assert len(made.done()) == 4


def test_campaigns_of_several_users_in_one_database_keep_apart(server, database, tmp_path):
    server.ask(
        "DO $$ BEGIN CREATE ROLE berta LOGIN SUPERUSER; EXCEPTION WHEN OTHERS THEN NULL; END $$"
    )
    one = Campaign(tmp_path / "1", ledger=database)
    other = Campaign(tmp_path / "2", ledger=database.replace("postgres@", "berta@"))
    runs = [threading.Thread(target=each.run) for each in (one, other)]
    for each in runs:
        each.start()
    for each in runs:
        each.join()
    assert one.done() == other.done() == []
    touch(other.program / "t0_rate.fits")
    assert one.done() == []
    assert other.done() == ["t0_rate.fits"]
    opened = open_database(database_of(Location.of(tmp_path), database), write=False)
    from bkgflow.campaign.ledger.reader import Reader, campaigns_in

    assert len(campaigns_in(opened)) == 2
    with pytest.raises(LedgerError, match="2 campaigns"):
        Reader.only(opened, Location.of(one.out))
    opened.close()


def test_many_campaigns_may_begin_together_in_an_empty_database(database, tmp_path):
    url, wrong = database_of(Location.of(tmp_path), database), []

    def make():
        try:
            open_database(url, write=True).close()
        except Exception as problem:
            wrong.append(problem)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert wrong == []
    open_database(url, write=False).close()


def test_two_drivers_of_one_campaign_are_kept_apart_by_its_folder(database, tmp_path):
    made, refused = Campaign(tmp_path, ledger=database), []

    def second():
        with pytest.raises(OutputError, match=f"one run at a time.*process {os.getpid()} on"):
            made.run()
        refused.append(True)

    assert made.run(listeners=[Now(1, second)]).ok
    assert refused == [True]


def test_a_copy_of_the_folder_is_no_second_driver_of_the_campaign(database, tmp_path):
    made = Campaign(tmp_path, ledger=database)
    made.run()
    shutil.copytree(made.out, tmp_path / "copy")
    made.out = tmp_path / "copy"
    with pytest.raises(LedgerError, match="one output folder"):
        made.run(ledger="")
    plan = made.plan()
    with pytest.raises(LedgerError, match="one output folder"), open_session(plan, "r", Resume()):
        pass


def refused(url, tmp_path):
    with pytest.raises(LedgerError) as caught:
        open_database(database_of(Location.of(tmp_path), url), write=True)
    assert "\n" not in str(caught.value)
    return caught.value


def test_rights_that_are_missing_are_granted_as_the_cure_says(server, database, tmp_path):
    name, user = database.rpartition("/")[2], "carl"
    if not server.ask("SELECT 1 FROM pg_roles WHERE rolname = 'carl'"):
        server.ask("CREATE ROLE carl LOGIN")
    server.ask("REVOKE ALL ON SCHEMA public FROM PUBLIC", name)
    url = database.replace("postgres@", f"{user}@")
    of_schema, of_tables = re.findall(r"GRANT .*? TO USER", refused(url, tmp_path).cure)
    server.ask(of_schema.replace("USER", user), name)
    made = Campaign(tmp_path, ledger=database)
    made.run()
    assert refused(url, tmp_path).value.startswith("permission denied for table")
    server.ask(of_tables.replace("USER", user), name)
    assert made.done(ledger=url) == []


def test_an_option_that_nobody_knows_is_to_be_left_out(database, tmp_path):
    error = refused(f"{database}?foo=bar", tmp_path)
    assert error.value == 'invalid connection option "foo"' and "Leave it out" in error.cure


# Passwords.


@pytest.fixture
def secret(server, database):
    """A user who must tell a password."""
    server.ask(
        "DO $$ BEGIN CREATE ROLE ada LOGIN SUPERUSER; EXCEPTION WHEN OTHERS THEN NULL; END $$"
    )
    server.ask("ALTER ROLE ada PASSWORD 's3cret-w0rd'")
    return database.replace("postgres@", "ada@"), "s3cret-w0rd"


def nowhere(word, *folders):
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file():
                assert word.encode() not in path.read_bytes(), path


def test_a_password_comes_from_the_environment_and_is_kept_nowhere(secret, tmp_path):
    url, word = secret
    program, out, seen = write_crowd(tmp_path / "program", 4), tmp_path / "out", []
    arguments = ("run", program, "--output", out, "--cluster", "local", "--workers", 1)
    arguments += ("--ledger", url)
    with command(*arguments, out=out, environment={"PGPASSWORD": word}) as running:
        running.wait_for_products(1)
        me = psutil.Process(running.process.pid)
        seen = [" ".join(each.cmdline()) for each in (me, *me.children(recursive=True))]
        code, said = running.end()
    assert code == 0, said
    assert seen and not any(word in each for each in seen)
    assert word not in said
    nowhere(word, out)
    assert url in (out / PLACE_FILE).read_text().replace("+psycopg", "")


@pytest.mark.parametrize("given", ["", "wrong-w0rd"])
def test_a_password_that_is_missing_or_wrong_is_not_repeated(given, secret, tmp_path):
    url, _ = secret
    program, out = write_crowd(tmp_path / "program", 2), tmp_path / "out"
    arguments = ("run", program, "--output", out, "--cluster", "threads", "--ledger", url)
    code, said = ended(*arguments, out=out, environment={"PGPASSWORD": given} if given else {})
    assert code == 2 and "password" in said and "Traceback" not in said
    assert "wrong-w0rd" not in said
    assert not out.exists()


def test_a_password_in_the_url_is_refused_on_the_command_line(secret, tmp_path):
    url, word = secret
    told = url.replace("ada@", f"ada:{word}@")
    program, out = write_crowd(tmp_path / "program", 2), tmp_path / "out"
    arguments = ("run", program, "--output", out, "--cluster", "threads", "--ledger", told)
    for more in ((), ("--dry-run",)):
        code, said = ended(*arguments, *more, out=out)
        assert code == 2 and "no password in it" in said
        assert word not in said and "Traceback" not in said
        assert not out.exists()
