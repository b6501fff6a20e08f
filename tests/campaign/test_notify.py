"""Notifications: what they say, to whom, and that they touch no run."""

import base64
import json
import socket
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import bkgflow
from bkgflow.campaign.events import RunEnded, RunStarted, UnitEnded
from bkgflow.campaign.messengers import Command, NotSentError, Post, messenger_of
from bkgflow.campaign.notify import Notifier
from bkgflow.errors import UsageError
from bkgflow.verdict import Verdict
from tests.helpers.programs import write_program

SECRET = "hunter2"


@contextmanager
def server(status=200, headers=()):
    """A real server that keeps what it is sent."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.path, dict(self.headers), json.loads(body)))
            self.send_response(status)
            for pair in headers:
                self.send_header(*pair)
            self.end_headers()

        def log_message(self, *_):
            """Say nothing."""

    here = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=here.serve_forever, daemon=True).start()
    try:
        yield here.server_address[1], got
    finally:
        here.shutdown()
        here.server_close()


@contextmanager
def mute_server(drip=b""):
    """A server that takes requests and never answers, or a byte at a time."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ends = threading.Event()

        def serve():
            while not ends.is_set():
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                while drip and not ends.wait(0.1):
                    try:
                        connection.sendall(drip)
                    except OSError:
                        break

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        ends.set()


@pytest.fixture
def plan(tmp_path):
    """Three good units, one without its background, and one whose target is not there."""
    program = tmp_path / "program"
    association = json.loads(write_program(program, targets=5).read_text())
    association["products"][1]["members"][1]["expname"] = "gone_rate.fits"
    (program / "x_asn.json").write_text(json.dumps(association))
    (program / "t3_rate.fits").unlink()
    return bkgflow.plan(program, tmp_path / "out")


@pytest.fixture
def log(tmp_path):
    return (tmp_path / "out" / "bkgflow.log").read_text


@pytest.mark.slow
def test_a_server_is_told_of_the_first_failure_and_of_the_end(plan, log):
    with server() as (port, got):
        url = f"http://me:{SECRET}@127.0.0.1:{port}/hook/{SECRET}?key={SECRET}"
        result = bkgflow.run(plan, "threads", notify=url)
    assert [path for path, _, _ in got] == [f"/hook/{SECRET}?key={SECRET}"] * 2
    assert {headers["Content-Type"] for _, headers, _ in got} == {"application/json"}
    pair = base64.b64encode(f"me:{SECRET}".encode()).decode()
    assert {headers["Authorization"] for _, headers, _ in got} == {f"Basic {pair}"}
    first, end = [message for _, _, message in got]
    assert first["event"] == "first_failure" and first["state"] == "running"
    assert first["counts"] == {"QUARANTINED": 1} and first["done"] == 1
    assert end["event"] == "end" and end["state"] == "incomplete"
    assert end["counts"] == result.counts == {"COMPLETE": 3, "QUARANTINED": 2}
    assert end["run"] == first["run"] == result.run
    assert end["output"] == str(plan.output) and end["units"] == end["done"] == 5
    assert end["bytes"] == sum(path.stat().st_size for path in result.products)
    assert 0 < end["seconds"] < 60 and end["started"].startswith("20")
    assert [each["unit"] for each in end["errors"]] == ["t1_rate.fits", "t3_rate.fits"]
    assert "gone_rate.fits" in end["errors"][0]["error"]["value"] + str(end["errors"][0])
    assert all(each["error"]["cure"] for each in end["errors"])
    assert result.run in end["text"] and "3 COMPLETE, 2 QUARANTINED" in end["text"]
    assert "not sent" not in log() and SECRET not in log()


@pytest.mark.slow
def test_a_good_run_is_told_of_once_with_the_labels(tmp_path):
    plan = bkgflow.plan(write_program(tmp_path / "p", targets=1), tmp_path / "out")
    sent = []

    class Here:
        name = "here"

        def send(self, message, summary, seconds):
            sent.append((json.loads(message), summary))

        def stop(self):
            """Has nothing under way."""

    notifier = Notifier(Here(), plan, {"program": "1234"})
    assert bkgflow.run(plan, "threads", listeners=[notifier]).ok
    [(message, summary)] = sent
    assert message["state"] == "complete" and message["errors"] == []
    assert message["labels"] == {"program": "1234"}
    assert summary == message["text"] and "program=1234" in summary and "\n" not in summary


@pytest.mark.slow
def test_a_run_that_is_stopped_says_why_and_not_each_unit_that_was_left(plan):
    sent = []

    class Here:
        name = "here"

        def send(self, message, summary, seconds):
            sent.append(json.loads(message))

    notifier = Notifier(Here(), plan)
    notifier(RunStarted("r", 5, "here"))
    for unit in plan.units:
        notifier(UnitEnded("r", unit.digest, Verdict.blocked("the run ended before its turn")))
    notifier(RunEnded("r", 3.0, "stopped by SIGTERM"))
    [message] = sent
    assert message["event"] == "end" and message["state"] == "stopped"
    assert message["stopped"] == "stopped by SIGTERM" and "SIGTERM" in message["text"]
    assert len(message["errors"]) == 1  # one reason


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (404, (), "the server answers 404"),
        (500, (), "the server answers 500"),
        (302, (("Location", "http://127.0.0.1:9/"),), "the server answers 302"),
        (307, (("Location", "file:///etc/passwd"),), "the server answers 307"),
    ],
)
def test_a_server_that_refuses_is_a_line_in_the_log(status, headers, words, plan, log):
    with server(status, headers) as (port, _):
        result = bkgflow.run(plan, "threads", notify=f"http://x:{SECRET}@127.0.0.1:{port}/{SECRET}")
    assert result.counts["COMPLETE"] == 3
    lines = [line for line in log().splitlines() if "a notification was not sent" in line]
    assert len(lines) == 2
    assert all(f"by http://127.0.0.1:{port}: {words}" in line for line in lines)
    assert SECRET not in log()


@pytest.mark.slow
def test_no_server_at_all_is_a_line_in_the_log(plan, log):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert bkgflow.run(plan, "threads", notify=f"http://127.0.0.1:{port}/x").counts["COMPLETE"] == 3
    assert log().count(f"not sent by http://127.0.0.1:{port}: Connection refused") == 2


@pytest.mark.slow
@pytest.mark.parametrize("drip", [b"", b"H"])
def test_a_server_that_hangs_costs_a_message_its_time_and_no_more(drip, plan):
    with mute_server(drip) as port:
        began = time.monotonic()
        with pytest.raises(NotSentError, match="no answer within 1 s"):
            Post(f"http://127.0.0.1:{port}/").send(b"{}", "summary", 1)
        assert time.monotonic() - began < 3


@pytest.mark.slow
def test_a_run_whose_server_hangs_ends_when_it_has_waited_for_a_while(plan, tmp_path, log):
    with mute_server() as port:
        notifier = Notifier(Post(f"http://127.0.0.1:{port}/{SECRET}"), plan, patience=1)
        began = time.monotonic()
        result = bkgflow.run(plan, "threads", listeners=[notifier])
        seconds = time.monotonic() - began
    assert result.counts["COMPLETE"] == 3 and result.seconds < seconds - 0.5
    assert seconds < 20
    assert "is given up" in log() and f"notifications by http://127.0.0.1:{port}" in log()
    assert SECRET not in log()


# Commands.


def script(folder, text):
    path = folder / "tell.py"
    path.write_text(f"#!{sys.executable}\nimport json, os, sys, time\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.slow
def test_a_command_gets_json_on_its_input_and_a_summary_as_its_last_argument(plan, tmp_path, log):
    out = tmp_path / "told"
    tell = script(
        tmp_path,
        f"with open({str(out)!r}, 'a') as file:\n"
        "    print(json.dumps([sys.argv[1:], json.load(sys.stdin)]), file=file)",
    )
    result = bkgflow.run(plan, "threads", notify=f"'{tell}' --to 'a b; $HOME'")
    first, end = [json.loads(line) for line in out.read_text().splitlines()]
    assert first[0][:2] == end[0][:2] == ["--to", "a b; $HOME"]  # no shell has seen it
    assert end[0][2] == end[1]["text"] and len(end[0]) == 3
    assert end[1]["counts"] == result.counts and first[1]["event"] == "first_failure"
    assert "not sent" not in log()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sys.exit('no such mailbox')", "exit code 1: no such mailbox"),
        ("os.kill(os.getpid(), 9)", "exit code -9"),
        ("sys.stderr.write('x' * 50_000_000 + ' too much'); sys.exit(2)", "too much"),
    ],
)
def test_a_command_that_fails_is_a_line_in_the_log(text, words, plan, tmp_path, log):
    assert bkgflow.run(plan, "threads", notify=[str(script(tmp_path, text)), SECRET]).counts[
        "COMPLETE"] == 3  # fmt: skip
    lines = [line for line in log().splitlines() if "a notification was not sent" in line]
    assert len(lines) == 2 and all(words in line and len(line) < 900 for line in lines)
    assert SECRET not in log()


def test_a_command_that_writes_much_and_reads_nothing_is_no_trouble(tmp_path):
    tell = script(tmp_path, "sys.stdout.write('x' * 20_000_000)")
    Command([str(tell)]).send(b" " * 5_000_000, "summary", 30)


@pytest.mark.slow
def test_a_command_that_hangs_is_killed_with_what_it_has_started(tmp_path):
    pids = tmp_path / "pids"
    tell = script(
        tmp_path,
        f"open({str(pids)!r}, 'a').write(f'{{os.getpid()}} ')\n"
        "os.fork() or open(sys.argv[1], 'a').write(f'{os.getpid()} ')\n"
        "time.sleep(60)",
    )
    with pytest.raises(NotSentError, match="did not end within 2 s"):
        Command([str(tell), str(pids)]).send(b"{}", "summary", 2)
    found = [int(pid) for pid in pids.read_text().split()]
    assert len(found) == 2
    time.sleep(0.2)
    for pid in found:
        stat = Path(f"/proc/{pid}/stat")
        assert not stat.exists() or " Z " in stat.read_text()


@pytest.mark.slow
def test_what_is_under_way_at_the_end_is_killed(plan, tmp_path, log):
    tell = script(tmp_path, f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
                            "time.sleep(60)")  # fmt: skip
    notifier = Notifier(Command([str(tell)]), plan, patience=3)
    assert bkgflow.run(plan, "threads", listeners=[notifier]).counts["COMPLETE"] == 3
    notifier.close()
    pid = int((tmp_path / "pid").read_text())
    assert not Path(f"/proc/{pid}").exists()
    assert "is given up" in log()


# Targets.


@pytest.mark.parametrize(
    "target",
    ["", "   ", "ftp://host/x", "http://", "https:///path", f"http://me:{SECRET}@h:notaport/",
     f"http://me:{SECRET}@[::1/", f"https://h/{SECRET} x", "mail 'open", "/no/such/command",
     "no-such-command-anywhere -x", [], 7, None, ["mail", 3], f"HTTP://me:{SECRET}@h:99999/"],
)  # fmt: skip
def test_a_target_that_cannot_be_right_is_refused_with_the_cure_and_no_secret(target):
    with pytest.raises(UsageError, match=r"Notifications must go to a URL.*--notify") as caught:
        messenger_of(target)
    assert SECRET not in str(caught.value)


def test_urls_of_any_server_are_taken():
    for url, name in (
        ("https://user@host.example/x", "https://host.example"),
        ("HTTPS://Host:8443", "https://host:8443"),
        ("http://[::1]:80/?a=b#c", "http://[::1]:80"),
    ):
        assert messenger_of(url).name == name
    assert messenger_of(f"{sys.executable} -c pass").name == sys.executable
