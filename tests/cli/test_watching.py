"""What a user asks for to watch a run: notifications and metrics, on the command line."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import bkgflow
from bkgflow.campaign.events import UnitEnded
from bkgflow.errors import UsageError
from bkgflow.verdict import State
from tests.helpers.clusters import free_port

RUN = ("run", "program", "--output=out", "--cluster=threads")


def scraped(port):
    """The metrics of a run, by their names with labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    pairs = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--notify=gopher://x", "Notifications must go to a URL"),
        ("--notify=", "Notifications must go to a URL"),
        ("--metrics=0", "Metrics must be given a port"),
        ("--metrics=70000", "Metrics must be given a port"),
        ("--metrics=localhost", "Metrics must be given a port"),
        ("--metrics=localhost:", "Metrics must be given a port"),
        ("--metrics=", "Metrics must be given a port"),
        ("--metrics=no-such-host.invalid:9000", "at an address of this machine"),
        ("--metrics=192.0.2.1:9000", "at an address of this machine"),
    ],
)
def test_what_cannot_be_right_is_refused_before_anything_is_computed(
    option, words, folder, bkgflow_
):
    code, _, err = bkgflow_(*RUN, option)
    assert code == 2
    assert words in err.replace("\n", " ") and "Traceback" not in err
    assert not Path("out").exists()


def test_a_port_that_is_taken_is_refused_before_anything_is_computed(folder, bkgflow_):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = bkgflow_(*RUN, f"--metrics={port}")
    assert code == 2
    assert f"127.0.0.1:{port}: Address already in use" in err and "Give another port" in err
    assert not Path("out").exists()


def test_without_its_package_metrics_are_refused_with_what_to_install(
    folder, bkgflow_, monkeypatch
):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    code, _, err = bkgflow_(*RUN, "--metrics=9000")
    assert code == 2
    assert "prometheus_client must be installed" in err and "install prometheus_client" in err
    assert not Path("out").exists()


@pytest.mark.slow
def test_a_command_of_the_user_is_told_by_a_run(folder, bkgflow_):
    assert bkgflow_(*RUN, "--notify", "sh -c 'cat > told.json; echo \"$0\" > told.txt'")[0] == 0
    told = json.loads(Path("told.json").read_text())
    assert told["state"] == "complete" and told["counts"] == {"COMPLETE": 2}
    assert Path("told.txt").read_text() == told["text"] + "\n"


@pytest.mark.slow
def test_metrics_are_scraped_while_a_run_goes_on_and_gone_when_it_has_ended(folder):
    port, seen = free_port(), []

    def listen(event):
        if isinstance(event, UnitEnded):
            seen.append(scraped(port))

    plan = bkgflow.plan("program", "out")
    result = bkgflow.run(plan, "threads", listeners=[listen], metrics=port)
    assert result.ok and len(seen) == 2
    assert any(name.startswith("bkgflow_run_info{") for name in seen[0])
    with pytest.raises(urllib.error.URLError):
        scraped(port)
    # The port is free for the next run at once.
    last = []

    class Late:
        """Looks when the others have heard of the end, as far as can be told."""

        patience = 10.0

        def __call__(self, event):
            if type(event).__name__ == "RunEnded":
                until = time.monotonic() + 5
                while scraped(port)['bkgflow_units{state="COMPLETE"}'] < 2:
                    assert time.monotonic() < until
                last.append(scraped(port))

    where = f"127.0.0.1:{port}"
    result = bkgflow.run(plan, "threads", listeners=[Late()], metrics=where, fresh=True)
    [found] = last
    assert found['bkgflow_units{state="COMPLETE"}'] == 2
    assert found['bkgflow_units{state="PLANNED"}'] == 0
    assert {name for name in found if name.startswith("bkgflow_units{")} == {
        f'bkgflow_units{{state="{state}"}}' for state in State
    }
    assert found["bkgflow_attempts_total"] == 2 and found["bkgflow_retries_total"] == 0
    assert found["bkgflow_unit_seconds_count"] == 2 and found["bkgflow_unit_seconds_sum"] > 0
    sizes = sum(path.stat().st_size for path in result.products)
    assert found["bkgflow_bytes_written_total"] == sizes
    [info] = [name for name in found if name.startswith("bkgflow_run_info{")]
    assert f'run="{result.run}"' in info and "threads" in info


@pytest.mark.slow
def test_a_command_serves_its_metrics_to_another_process(folder):
    port = free_port()
    command = "from bkgflow.cli import main; main()"
    # The run lasts as long as somebody is told of its end.
    more = [f"--metrics={port}", "--notify", "sh -c 'while [ ! -e seen ]; do sleep 0.1; done'"]
    process = subprocess.Popen(
        [sys.executable, "-c", command, *RUN, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    found = {}
    while process.poll() is None and found.get('bkgflow_units{state="COMPLETE"}') != 2:
        try:
            found = scraped(port)
        except OSError:
            time.sleep(0.1)
    Path("seen").touch()
    said, _ = process.communicate(timeout=60)
    assert found['bkgflow_units{state="COMPLETE"}'] == 2
    assert process.returncode == 0 and "Traceback" not in said
    assert re.search(r"2 units: 2 COMPLETE", said)


def test_a_wrong_target_from_python_is_refused_before_a_port_is_opened(folder):
    plan = bkgflow.plan("program", "out")
    with pytest.raises(UsageError, match="Notifications must go"):
        bkgflow.run(plan, "threads", notify="", metrics=free_port())
    assert not Path("out").exists()
