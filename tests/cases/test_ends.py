"""How a run ends that is stopped: signals, a dead driver, two runs in one folder."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

import bkgflow
from benchmarks.fault_tools import bkgflow as command
from benchmarks.fault_tools import ended, found_in, processes_of
from bkgflow.campaign.signals import Stopped
from bkgflow.clusters.local import Local, Threads
from bkgflow.clusters.threads import ThreadExecutor
from bkgflow.errors import OutputError
from bkgflow.io.storage.holder import LOCK, Holder
from bkgflow.io.storage.owner import Owner
from tests.helpers.crowd import write_crowd
from tests.helpers.driving import Driven

pytestmark = pytest.mark.slow
"""Most of them start processes of their own."""

UNITS = 24
ENDS = [
    pytest.param("SIGTERM", 143, "threads"),
    pytest.param("SIGHUP", 129, "threads"),
    pytest.param("SIGINT", 130, "threads"),
    pytest.param("SIGTERM", 143, "local"),
    pytest.param("SIGINT", 130, "local"),
]


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    return write_crowd(tmp_path_factory.mktemp("crowd") / "program", UNITS)


def arguments(program, out, cluster="threads"):
    return ("run", program, "--output", out, "--cluster", cluster, "--workers", 2)


def is_in_order(out, said):
    """What must be true of every run that was stopped, whatever stopped it."""
    found = found_in(out)
    assert sum(found.counts.values()) == UNITS
    assert found.missing == ()
    assert found.hidden == ()
    reported = [path for unit in found.result["units"] for path in unit["products"]]
    assert sorted(map(str, found.products)) == sorted(reported)
    assert "Traceback" not in said
    return found


# Signals.


@pytest.mark.parametrize(("name", "code", "cluster"), ENDS)
def test_a_signal_ends_a_run_with_a_whole_result_and_no_hidden_folders(
    name, code, cluster, crowd, tmp_path
):
    out = tmp_path / "out"
    with command(*arguments(crowd, out, cluster), out=out) as running:
        assert running.wait_for_products(2)
        workers = processes_of(running)
        # A terminal sends Ctrl-C to every process of the group.
        running.signal(getattr(signal, name), group=name == "SIGINT")
        found_code, said = running.end()
    assert found_code == code
    assert not [each for each in workers if each.is_running()]
    found = is_in_order(out, said)
    assert found.counts["BLOCKED"] > 0 and found.counts["COMPLETE"] >= 2
    assert found.result["stopped"] == f"stopped by {name}"
    blocked = [unit["reason"] for unit in found.result["units"] if unit["state"] == "BLOCKED"]
    assert all(f"stopped by {name}" in reason for reason in blocked)
    assert f"{found.counts['BLOCKED']} BLOCKED; the result is in {out}" in said
    assert "products that were written are whole" in said
    log = (out / "bkgflow.log").read_text()
    assert f"the run ends early: stopped by {name}" in log and "the run ended after" in log


class StopsAt:
    """Is slow at one end, so that more come meanwhile, and stops the run at the next."""

    def __init__(self, number):
        self.number, self.ends = number, 0

    def __call__(self, unit, verdict):
        if verdict.state == "COMPLETE":
            self.ends += 1
            if self.ends == self.number:
                time.sleep(0.5)
            elif self.ends == self.number + 1:
                raise KeyboardInterrupt


@pytest.mark.parametrize("number", [1, 4])
def test_news_that_came_together_with_the_stop_is_not_lost(number, crowd, tmp_path):
    plan = bkgflow.plan(crowd, tmp_path / "out")
    cluster = Driven(Local(workers=2), ended=StopsAt(number))
    with pytest.raises(KeyboardInterrupt):
        bkgflow.run(plan, cluster, progress=False)
    found = is_in_order(tmp_path / "out", "")
    assert found.counts["COMPLETE"] > number
    assert found.counts["BLOCKED"] > 0


def test_a_second_signal_ends_a_run_at_once(crowd, tmp_path):
    out = tmp_path / "out"
    slow = "import time, bkgflow.campaign.result as r\n"
    slow += "r.RunResult.store = lambda *a: (print('keeping', flush=True), time.sleep(60))\n"
    slow += "from bkgflow.cli import main; main()"
    with command(*arguments(crowd, out), out=out, command=(sys.executable, "-c", slow)) as running:
        assert running.wait_for_products(1)
        running.signal(signal.SIGTERM)
        assert running.wait_for(lambda: "keeping" in running.files[0].read_text())
        running.signal(signal.SIGTERM)
        code, said = running.end(patience=20)
    assert code == 143
    assert "stopped at once" in said and "Traceback" not in said
    code, said = ended(*arguments(crowd, out), out=out)
    assert code == 0
    assert is_in_order(out, said).counts == {"COMPLETE": UNITS}


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_while_planning_leaves_nothing(name, code, crowd, tmp_path):
    waits = "import time, bkgflow.api.programs as api\n"
    waits += "api.plan = lambda *a, **o: (print('planning', flush=True), time.sleep(60))\n"
    waits += "from bkgflow.cli import main; main()"
    out = tmp_path / "out"
    started = (sys.executable, "-c", waits)
    with command(*arguments(crowd, out), out=out, command=started) as running:
        assert running.wait_for(lambda: "planning" in running.files[0].read_text())
        running.signal(getattr(signal, name))
        found, said = running.end(patience=30)
    assert found == code
    assert "bkgflow: stopped by" in said and "Traceback" not in said
    assert not out.exists()


def test_a_signal_while_worker_processes_start_blocks_every_unit(crowd, tmp_path):
    out = tmp_path / "out"
    with command(*arguments(crowd, out, "local"), out=out) as running:
        assert running.wait_for(lambda: bool(processes_of(running)))
        running.signal(signal.SIGTERM)
        code, said = running.end()
    assert code == 143
    assert is_in_order(out, said).counts == {"BLOCKED": UNITS}
    assert "ends before it began: stopped by SIGTERM" in (out / "bkgflow.log").read_text()
    [line] = (out / "bkgflow-events.jsonl").read_text().splitlines()
    assert json.loads(line)["reason"] == "stopped by SIGTERM"


def test_a_signal_that_is_ignored_stays_ignored(crowd, tmp_path):
    """As ``nohup`` has it."""
    out = tmp_path / "out"
    ignoring = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    ignoring += "from bkgflow.cli import main; main()"
    started = (sys.executable, "-c", ignoring)
    with command(*arguments(crowd, out), out=out, command=started) as running:
        assert running.wait_for_products(1)
        running.signal(signal.SIGHUP)
        code, said = running.end()
    assert code == 0
    assert is_in_order(out, said).counts == {"COMPLETE": UNITS}


class Sends:
    """Sends this process a signal when the first unit has ended."""

    def __init__(self, number):
        self.number = number

    def __call__(self, unit, verdict):
        if self.number:
            number, self.number = self.number, 0
            signal.raise_signal(number)


def test_ctrl_c_in_a_notebook_keeps_the_result_and_comes_back(crowd, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    plan = bkgflow.plan(crowd, tmp_path / "out")
    with pytest.raises(KeyboardInterrupt) as caught:
        bkgflow.run(plan, Driven(Threads(2), ended=Sends(signal.SIGINT)))
    assert isinstance(caught.value, Stopped)
    assert caught.value.result.counts["BLOCKED"] > 0
    assert any("BLOCKED; the result is in" in note for note in caught.value.__notes__)
    kept = is_in_order(tmp_path / "out", "").result
    assert kept["counts"] == caught.value.result.counts
    assert signal.getsignal(signal.SIGINT) == before


def test_sigterm_ends_a_script_when_all_is_kept(crowd, tmp_path):
    plan = bkgflow.plan(crowd, tmp_path / "out")
    with pytest.raises(SystemExit) as caught:
        bkgflow.run(plan, Driven(Threads(2), ended=Sends(signal.SIGTERM)))
    assert caught.value.code == 143
    assert is_in_order(tmp_path / "out", "").counts["BLOCKED"] > 0
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_run_in_a_thread_leaves_the_signals_alone(crowd, tmp_path):
    plan, seen = bkgflow.plan(crowd, tmp_path / "out"), []

    def run():
        handlers = [lambda event: seen.append(signal.getsignal(signal.SIGTERM))]
        seen.append(bkgflow.run(plan, "threads", workers=2, listeners=handlers))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen.pop().counts == {"COMPLETE": UNITS}
    assert set(seen) == {signal.SIG_DFL}


# A cluster that fails as a whole.


class Fails(ThreadExecutor):
    """Computes, and then fails as a client does whose scheduler has died."""

    def execute(self, graph, on_start, on_end, *more):
        super().execute(graph, on_start, on_end)
        raise OSError("Timed out trying to connect to tcp://127.0.0.1:8786")


class Mute(ThreadExecutor):
    """Does not even say how much memory its workers have."""

    @property
    def worker_memory(self):
        raise OSError("Stream is closed")


class Vanishes(ThreadExecutor):
    """Computes nothing any more."""

    def execute(self, *_):
        raise OSError("Stream is closed")


def cluster_of(executor, closing=None):
    class Own:
        here = True
        worker_memory = None

        def suited(self, plan):
            return self, ""

        @contextmanager
        def open(self):
            yield executor
            if closing:
                raise closing

    return Own()


@pytest.mark.parametrize("gone", [Vanishes, Mute])
def test_an_executor_that_fails_leaves_a_result_with_blocked_units(gone, crowd, tmp_path):
    plan = bkgflow.plan(crowd, tmp_path / "out")
    result = bkgflow.run(plan, cluster_of(gone(2)))
    assert result.counts == {"BLOCKED": UNITS}
    assert "the cluster failed (OSError: Stream is closed)" in result.stopped
    assert is_in_order(tmp_path / "out", "").result["stopped"] == result.stopped
    result = bkgflow.run(plan, cluster_of(Fails(2)))
    assert result.counts == {"COMPLETE": UNITS}
    assert "Timed out trying to connect" in str(result)


def test_a_cluster_that_does_not_close_takes_no_result_with_it(crowd, tmp_path):
    plan = bkgflow.plan(crowd, tmp_path / "out")
    result = bkgflow.run(plan, cluster_of(ThreadExecutor(2), TimeoutError("not closed")))
    assert result.ok and is_in_order(tmp_path / "out", "").counts == {"COMPLETE": UNITS}


# Drivers that were killed.


@pytest.mark.parametrize("cluster", ["threads", pytest.param("local")])
def test_the_next_run_clears_what_a_killed_driver_left_and_says_so(cluster, crowd, tmp_path):
    out = tmp_path / "out"
    with command(*arguments(crowd, out, cluster), out=out) as running:
        assert running.wait_for_products(2)
        running.signal(signal.SIGKILL)
        assert running.end()[0] == -signal.SIGKILL
    left = found_in(out).hidden
    assert LOCK in left and len(left) > 1
    code, said = ended(*arguments(crowd, out), out=out)
    assert code == 0
    found = is_in_order(out, said)
    assert found.counts == {"COMPLETE": UNITS}
    taken, removed = found.result["notes"]
    assert f"process {running.process.pid} on" in taken and "taken over" in taken
    assert "of dead runs removed" in removed
    assert taken in said and removed in (out / "bkgflow.log").read_text()


def test_what_may_belong_to_the_living_stays(crowd, tmp_path):
    """Another host's process cannot be asked; one of this host is there or is not."""
    out = tmp_path / "out"
    me, other = Owner.me(), Owner("another-host", 17, 5, 3)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead, young = Owner(me.host, gone.pid, 1, me.space), Owner(me.host, me.pid, 1, me.space)
    names = {who: out / f".bkgflow-{who}-abcd_123" for who in (me, other, dead, young, "1234abcd")}
    for path in (*names.values(), out / ".bkgflow-abcdefgh", out / ".bkgflow-old_name"):
        path.mkdir(parents=True)
        (path / "x.fits").write_text("half")
    os.utime(out / ".bkgflow-old_name", (1, 1))
    result = bkgflow.run(bkgflow.plan(crowd, out), "threads", workers=2)
    kept = [names[me].name, names[other].name, ".bkgflow-abcdefgh"]
    assert sorted(found_in(out).hidden) == sorted(kept)
    removed, *others = result.notes
    assert removed.startswith("4 unfinished files of dead runs")
    assert "process 17 on another-host, which cannot be asked from here" in " ".join(others)


# Two runs in one folder.


def test_a_second_run_into_a_folder_is_refused_and_told_who_holds_it(crowd, tmp_path):
    out = tmp_path / "out"
    plan = bkgflow.plan(crowd, out)
    refused = []

    def second():
        refused.append(ended(*arguments(crowd, out), out=out))

    result = bkgflow.run(plan, Driven(Threads(2), first=second))
    run, ((code, said),) = result.run, refused
    assert code == 2
    assert f"run {run}, process {os.getpid()} on {Owner.me().host}, user " in said
    assert "since 20" in said and "Traceback" not in said
    assert result.ok
    is_in_order(out, said)
    assert bkgflow.run(plan, "threads").ok


@pytest.mark.parametrize(
    ("who", "age", "held"),
    [
        (Owner("another-host", 17, 5, 3), 0, True),
        (Owner("another-host", 17, 5, 3), 3600, False),
        (Owner(Owner.me().host, os.getpid(), 1, Owner.me().space), 0, False),
    ],
)
def test_the_lock_of_another_host_counts_while_it_is_renewed(who, age, held, crowd, tmp_path):
    """As where a network disk locks within each host alone."""
    out = tmp_path / "out"
    out.mkdir()
    lock = out / LOCK
    lock.write_bytes(Holder("0123abcd", who, "somebody", "2026-01-01 00:00:00").to_json())
    past = lock.stat().st_mtime - age
    os.utime(lock, (past, past))
    plan = bkgflow.plan(crowd, out)
    if held:
        with pytest.raises(OutputError, match=r"one run at a time.*somebody.*try again in 60 s"):
            bkgflow.run(plan, "threads")
        assert json.loads(lock.read_text())["run"] == "0123abcd"
    else:
        result = bkgflow.run(plan, "threads", workers=2)
        assert "0123abcd" in result.notes[0]
        is_in_order(out, "")


def test_a_lock_without_a_word_in_it_is_taken(crowd, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / LOCK).write_text("{")
    assert bkgflow.run(bkgflow.plan(crowd, tmp_path / "out"), "threads").ok


def test_a_refused_run_leaves_no_folder(crowd, tmp_path):
    plan = bkgflow.plan(crowd, tmp_path / "a" / "b")
    with pytest.raises(bkgflow.BkgflowError):
        bkgflow.run(plan, "tcp://127.0.0.1:9")
    assert list(Path(tmp_path).iterdir()) == []
