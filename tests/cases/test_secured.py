"""Clusters that speak TLS: who gets in, who does not, and what a run does meanwhile."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
from distributed import Client

import bkgflow
from bkgflow.campaign.detached import Request
from bkgflow.campaign.events import UnitEnded, UnitStarted
from bkgflow.clusters.address import Address
from bkgflow.clusters.local import Local
from bkgflow.errors import UsageError
from tests.helpers.clusters import processes, wait_until
from tests.helpers.crowd import write_crowd
from tests.helpers.drivers import command, no_driver_left
from tests.helpers.driving import Driven, Opened
from tests.helpers.programs import Said, write_program
from tests.helpers.tasks import end_after, takes
from tests.helpers.tls import (
    Authority,
    Files,
    answer_to_bytes,
    answer_without_certificate,
    place,
)
from tests.helpers.workloads import Heard, Listed

pytestmark = pytest.mark.slow

NOBODY = "tls://127.0.0.1:1"

ALERT = b"\x15"
"""How a record of TLS begins that says that something is wrong."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def mine(authority):
    return authority.issue("driver")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """Somebody with good certificates of another authority."""
    return Authority(tmp_path_factory.mktemp("tls") / "theirs").issue("stranger")


@pytest.fixture
def nodes(tmp_path, authority):
    with processes(tmp_path / "nodes", authority.issue("cluster")) as made:
        yield made


def clients(dask_scheduler):
    return len(dask_scheduler.clients)


def refused(address, **given):
    """Connect as a run would, with certificates that are not the cluster's; return the error."""
    with pytest.raises(UsageError) as caught, Address(address, timeout=3, **given).open():
        pass
    return caught.value


def try_to_get_in(address, ca, stranger, client):
    """Everybody who has no business there tries to get in; none of them is heard."""
    before = client.run_on_scheduler(clients)
    with pytest.raises(OSError), Client(f"tcp://{address.partition('://')[2]}", timeout=2):
        pass
    assert answer_to_bytes(address)[:1] in {b"", ALERT}
    assert answer_without_certificate(address) == b""
    assert answer_without_certificate(address, ca) == b""
    wrong_ca = refused(address, **stranger.given)
    assert "signed by the authority" in wrong_ca.rule and "--tls-ca-file" in wrong_ca.cure
    wrong_cert = refused(address, **stranger._replace(ca=ca).given)
    assert "accept the client's certificate" in wrong_cert.rule
    assert client.run_on_scheduler(clients) == before


# Who gets in.


def listening():
    """Where this process listens: other tests may have left clusters that do."""
    lines = psutil.Process().net_connections("inet")
    return {each.laddr for each in lines if each.status == psutil.CONN_LISTEN}


def test_strangers_are_refused_by_a_cluster_at_an_address_and_the_run_goes_on(
    nodes, mine, stranger, tmp_path
):
    nodes.scheduler()
    nodes.worker(nanny=True)
    nodes.worker()
    plan = bkgflow.plan(write_program(tmp_path / "program", targets=40), tmp_path / "out")
    seen, said, before = [], Said(), listening()

    def come(unit, verdict):
        seen.append(unit)
        if len(seen) == 1:
            assert listening() <= before
            with nodes.client() as client:
                try_to_get_in(nodes.address, mine.ca, stranger, client)

    where = Driven(Address(nodes.address, **mine.given), ended=come)
    result = bkgflow.run(plan, where, listeners=[said])
    assert result.counts == {"COMPLETE": 40}, result.stopped
    assert len(seen) == 40
    assert said.notices == []


def test_strangers_are_refused_by_a_local_cluster_and_the_run_goes_on(stranger, tmp_path):
    plan = bkgflow.plan(write_program(tmp_path / "program", targets=40), tmp_path / "out")
    seen = []
    with Local(workers=2, tls=True).open() as executor:
        client, address = executor.client, executor.client.scheduler.address
        ca = tmp_path / "ca.pem"
        ca.write_text(client.security.tls_ca_file)

        def come(unit, verdict):
            seen.append(unit)
            if len(seen) == 1:
                try_to_get_in(address, ca, stranger, client)
                for each in client.scheduler_info(n_workers=-1)["workers"].values():
                    assert answer_without_certificate(each["nanny"]) == b""

        result = bkgflow.run(plan, Driven(Opened(executor), ended=come))
    assert address.startswith("tls://")
    assert result.counts == {"COMPLETE": 40}, result.stopped


def test_a_plain_scheduler_at_an_encrypted_address_and_the_other_way_round(
    nodes, mine, authority, tmp_path
):
    with processes(tmp_path / "plain") as plain:
        plain.scheduler()
        error = refused(plain.address.replace("tcp", "tls"), **mine.given)
    assert "must speak TLS" in error.rule or "must answer" in error.rule
    nodes.scheduler()
    error = refused(nodes.address.replace("tls", "tcp"))
    assert "must answer" in error.rule and "tls://" in error.cure
    old = authority.issue("old", days=0)
    error = refused(nodes.address, **old.given)
    assert "accept the client's certificate" in error.rule


def test_what_is_said_to_a_worker_cannot_be_read(nodes, mine):
    """To workers as to the scheduler: with TLS of these days, and a certificate on either side."""
    nodes.scheduler()
    nodes.worker()
    with nodes.client() as client:
        [worker] = client.scheduler_info(n_workers=-1)["workers"]
        assert worker.startswith("tls://")
    for address in (nodes.address, worker):
        context = mine.security.get_connection_args("client")["ssl_context"]
        with (
            socket.create_connection(place(address), timeout=20) as line,
            context.wrap_socket(line) as stream,
        ):
            assert stream.version() in {"TLSv1.2", "TLSv1.3"}
            assert stream.recv(1)  # it says who it is, to whom it knows
        assert answer_without_certificate(address) == b""


# What goes wrong.


def test_a_larger_worker_of_a_secured_cluster_is_secured():
    work = Listed(
        {"large": partial(takes, 450, 1.5)}
        | {str(number): partial(end_after, 0.01) for number in range(4)}
    )
    with Local(workers=1, memory="400MiB", tls=True).open() as executor:
        heard = Heard().execute(executor, work)
    assert heard.states == {"COMPLETE": 5}, heard.said
    attempts = heard.attempts["large"]
    assert len(attempts) == 4 and attempts[-1].worker.startswith("tls://127.0.0.1:")


def test_a_secured_scheduler_of_ones_own_that_dies_is_started_again_and_secured():
    with Local(workers=2, tls=True).open() as executor:
        own = executor.client.cluster
        first = executor.client.scheduler.address

        def die():
            loop = own.loop.asyncio_loop
            loop.call_soon_threadsafe(lambda: loop.create_task(own.scheduler.close()))

        heard = Heard(lambda: threading.Thread(target=die).start())
        tasks = {str(number): partial(end_after, 0.2) for number in range(40)}
        heard.execute(executor, Listed(tasks))
        second = executor.client.scheduler.address
        assert second != first and second.startswith("tls://127.0.0.1:")
        assert answer_without_certificate(second) == b""
    assert heard.states == {"COMPLETE": 40}


@pytest.mark.parametrize("secured", [False, True])
def test_a_scheduler_that_dies_costs_a_restart_and_no_complete_unit(
    secured, mine, authority, tmp_path
):
    tls = authority.issue("again") if secured else None
    plan = bkgflow.plan(write_program(tmp_path / "program", targets=40), tmp_path / "out")
    said, ends = Said(), []
    with processes(tmp_path / "nodes", tls) as nodes:
        scheduler = nodes.scheduler()
        nodes.worker()

        def come_back():
            nodes.scheduler()
            nodes.worker(ready=False)

        def die(unit, verdict):
            ends.append(unit)
            if len(ends) == 5:
                scheduler.kill()
                scheduler.wait()
                threading.Thread(target=come_back, daemon=True).start()

        where = Address(nodes.address, **(mine.given if secured else {}))
        result = bkgflow.run(plan, Driven(where, ended=die), listeners=[said])
    assert result.counts == {"COMPLETE": 40}, result.stopped
    assert len(ends) == len(set(ends)) == 40
    assert any("went away" in text for text in said.notices)
    assert "there again" in said.notices[-1]
    complete = set()
    for event in said.events:
        if isinstance(event, UnitEnded):
            complete.add(event.unit)
        assert not (isinstance(event, UnitStarted) and event.unit in complete)


def test_a_worker_that_is_stopped_costs_no_more_than_half_a_minute(mine, authority, tmp_path):
    """From the moment in which it is stopped until the unit that it held has ended elsewhere.

    As without TLS, which tests/cases/test_clusters_in_trouble.py has.
    """
    tls = authority.issue("still")
    plan = bkgflow.plan(write_program(tmp_path / "program", targets=1), tmp_path / "out")
    stopped = []
    with processes(tmp_path / "nodes", tls) as nodes:
        nodes.scheduler()
        held = nodes.worker(nanny=True)
        [pid] = nodes.workers_of(held)

        def stop():
            nodes.worker(ready=False)
            stopped.append(time.monotonic())
            os.kill(pid, signal.SIGSTOP)

        with Address(nodes.address, **mine.given).open() as executor:
            executor.ready()
            executor.check(plan)
            heard = Heard(stop).execute(executor, Listed({"unit": partial(end_after, 1.0)}))
        cost = time.monotonic() - stopped[0]
    assert heard.states == {"COMPLETE": 1}
    assert [what for what, _ in heard.told].count("start") == 2
    assert any("has been silent" in text for text in heard.said)
    assert 15 < cost <= 30


# Secrets.


class Lookout:
    """Looks for a secret in the arguments of all processes, as long as it is open."""

    def __init__(self, *secrets):
        self.secrets = [each.encode() for each in secrets]
        self.found, self.looks, self.done = set(), 0, threading.Event()
        self.thread = threading.Thread(target=self.look)

    def look(self):
        while not self.done.wait(0.02):
            self.looks += 1
            for each in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    text = each.read_bytes()
                except OSError:
                    continue
                self.found |= {secret for secret in self.secrets if secret in text}

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()


def files_with(folder, secret, *others):
    """Files below a folder in which a secret stands, but for some."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and path not in others and secret.encode() in path.read_bytes()
    ]


def test_a_secret_that_stands_somewhere_is_found(tmp_path):
    (tmp_path / "a").write_text("x canary y")
    assert files_with(tmp_path, "canary") == [tmp_path / "a"]
    with Lookout("canary-in-arguments") as lookout:
        sleeper = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(60)", "canary-in-arguments"]
        )
        wait_until(lambda: lookout.found)
        sleeper.kill()
        sleeper.wait()


@pytest.mark.usefixtures("compiled")
def test_keys_are_in_no_plan_log_ledger_or_process_argument(nodes, mine, tmp_path, monkeypatch):
    """Run, submitted and retried by the command line; the plan is kept as well."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-of-a-store")
    nodes.scheduler()
    nodes.worker(nanny=True)
    program, out = write_crowd(tmp_path / "program", units=6, size=32), tmp_path / "out"
    given = [program, "--output", out, "--cluster", nodes.address, *mine.options]
    secrets = (mine.secret, nodes.tls.secret, "canary-of-a-store")
    with Lookout(*secrets) as lookout, no_driver_left(out):
        code, said, err = command("submit", *given)
        assert code == 0, err
        code, more, err = command("wait", out)
        assert code == 0, (err, (out / "bkgflow-driver.log").read_text())
        said += more + command("status", out, "--json")[1]
        said += command("retry", out)[1] + command("wait", out)[1]
        code, more, err = command("run", *given, "--fresh", "-v")
        assert code == 0, err
        said += more + err
        code, more, err = command("plan", program, "--save", tmp_path / "plan.json")
        assert code == 0, err
    assert lookout.looks > 50 and lookout.found == set()
    for secret in secrets:
        assert secret not in said
        assert files_with(tmp_path, secret) == []
    # The names of the files are there: that is how the campaign runs again.
    assert files_with(out, str(mine.key))


def environments():
    """What all processes that this one has started have in their environment and arguments."""
    return "\n".join(
        "\n".join([*each.cmdline(), *map(str, each.environ().items())])
        for each in psutil.Process().children(recursive=True)
    )


def test_temporary_keys_stay_in_memory(tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    plan = bkgflow.plan(write_program(tmp_path / "program"), tmp_path / "out")
    with Local(workers=2, tls=True).open() as executor:
        key = executor.client.security.tls_client_key.splitlines()[5]
        assert len(key) == 64
        with Lookout(key) as lookout:
            assert bkgflow.run(plan, Driven(Opened(executor))).ok
            assert key not in environments()
        assert files_with(tmp_path, key) == []
    assert lookout.found == set() and files_with(tmp_path, key) == []


def test_files_of_a_test_authority_are_what_they_say(mine):
    assert isinstance(mine, Files) and len(mine.secret) == 64


def test_passwords_of_notifications_are_handed_over_and_not_kept(tmp_path):
    plan = bkgflow.plan(write_program(tmp_path / "program", targets=1), tmp_path / "out")
    url = "https://ada:canary@127.0.0.1:1/hook"
    request = Request.of_plan(plan, {}, notify=url, only=["t*"], max_retries=2)
    assert request.options["notify"] == url
    assert request.asked.options == {
        "notify": "https://ada@127.0.0.1:1/hook", "only": ["t*"], "max_retries": 2,
    }  # fmt: skip


def test_the_command_line_asks_for_certificates(mine, tmp_path, monkeypatch, bkgflow_):
    monkeypatch.chdir(tmp_path)
    write_program(tmp_path / "program", targets=1)
    code, out, err = bkgflow_("run", "program", "--output=out", f"--cluster={NOBODY}")
    assert (code, out) == (2, "")
    assert "--tls-ca-file" in err and "--tls-key" in err
    code, _, err = bkgflow_("run", "program", "--output=out", "--tls", "--cluster=threads")
    assert code == 2 and "tls=True" in err
    assert bkgflow.plan("program", "out").output.path == tmp_path / "out"
    assert not (tmp_path / "out").exists()
