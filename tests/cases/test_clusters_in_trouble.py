"""Workers and schedulers that come late, fall silent, run out of memory or die during a run."""

import os
import signal
import threading
import time
from collections import Counter
from dataclasses import replace
from functools import partial

import pytest
from distributed import Client, LocalCluster

import bkgflow
from bkgflow.clusters.address import Address, Connected
from bkgflow.clusters.crew import Limits
from bkgflow.clusters.local import Local, Threads
from bkgflow.errors import UsageError
from bkgflow.graph.build import Graph
from tests.helpers.clusters import ROOT, processes, wait_until
from tests.helpers.programs import Said, another_version, blocker, write_program
from tests.helpers.tasks import ballast, dies_once, end_on_worker, kills, too_large
from tests.helpers.workloads import account_of

pytestmark = pytest.mark.slow


@pytest.fixture
def nodes(tmp_path):
    with processes(tmp_path / "nodes") as made:
        yield made


# Late workers.


def graph_of(tasks):
    return Graph(
        {f"subtract-{unit}": task for unit, task in tasks.items()},
        {f"subtract-{unit}": unit for unit in tasks},
    )


class Heard:
    """Keeps what an executor says, and does something when the first unit begins."""

    def __init__(self, at_first=lambda: None, say=lambda text: None):
        self.ends, self.begun, self.said = {}, [], []
        self.at_first, self.also_say = at_first, say

    def start(self, unit):
        self.begun.append(unit)
        if len(self.begun) == 1:
            self.at_first()

    def end(self, unit, verdict):
        assert unit not in self.ends
        self.ends[unit] = verdict

    def say(self, text):
        self.said.append(text)
        self.also_say(text)

    @property
    def states(self):
        return Counter(verdict.state.value for verdict in self.ends.values())


def execute(address, plan, tasks, at_first=lambda: None, say=lambda text: None, **limits):
    """Compute tasks on a cluster as a run does; return what was heard."""
    heard = Heard(at_first, say)
    with Address(address).open() as executor:
        executor.limits = replace(executor.limits, **limits)
        executor.ready(heard.say)
        executor.check(plan, heard.say)
        executor.execute(graph_of(tasks), heard.start, heard.end, heard.say)
    return heard


@pytest.fixture
def plan(tmp_path):
    return bkgflow.plan(write_program(tmp_path / "program", targets=1), tmp_path / "out")


@pytest.mark.parametrize("bad", ["another version", "no bkgflow", "nothing"])
def test_a_worker_that_comes_late_is_asked_before_it_computes(bad, plan, nodes, tmp_path):
    nodes.scheduler()
    nodes.worker()

    def come():
        match bad:
            case "another version":
                path = os.pathsep.join([str(another_version(tmp_path)), str(ROOT)])
                nodes.worker(PYTHONPATH=path, ready=False)
            case "no bkgflow":
                nodes.worker("--preload", str(blocker(tmp_path)), ready=False)
            case _:
                nodes.worker(ready=False)

    tasks = {str(number): (partial(end_on_worker, 0.3),) for number in range(50)}
    heard = execute(nodes.address, plan, tasks, come)
    assert heard.states == {"COMPLETE": 50}
    computed = {verdict.reason for verdict in heard.ends.values()}
    match bad:
        case "another version":
            [word] = heard.said
            assert "came late and is sent away" in word
            assert "bkgflow 0.0.1" in word
            assert len(computed) == 1
        case "no bkgflow":  # it dies of its first task
            assert all("went away before it could be asked" in each for each in heard.said)
            assert len(computed) == 1
        case _:
            assert heard.said == []
            assert len(computed) == 2


# Silent workers.


@pytest.mark.parametrize("nanny", [False, True])
def test_a_worker_that_is_stopped_for_ever_costs_half_a_minute(nanny, nodes, tmp_path):
    program = write_program(tmp_path / "program", targets=2)
    nodes.scheduler()
    nodes.worker()
    stopped = nodes.worker(nanny=nanny)
    [pid] = nodes.workers_of(stopped)
    plan, said = bkgflow.plan(program, tmp_path / "out"), Said()
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    result = bkgflow.run(plan, nodes.address, listeners=[said])
    assert result.counts == {"COMPLETE": 2}
    assert time.monotonic() - began < 45


# Memory.


def fill(nodes, worker, mib):
    """Let a worker's process hold memory that is none of its tasks'."""
    [pid] = nodes.workers_of(worker)
    with Client(nodes.address, set_as_default=False) as client:
        [address] = [each for each, its in client.run(os.getpid).items() if its == pid]
        client.run(ballast, mib, workers=[address])

        def paused():
            workers = client.scheduler_info(n_workers=-1)["workers"]
            return workers[address]["status"] == "paused"

        wait_until(paused)


def test_every_worker_paused_for_ever_is_said_and_ends(plan, nodes):
    nodes.scheduler()
    fill(nodes, nodes.worker("--memory-limit", "256MiB"), 300)
    began, said = time.monotonic(), []
    tasks = {str(number): (partial(end_on_worker, 0.1),) for number in range(2)}
    heard = execute(
        nodes.address,
        plan,
        tasks,
        say=lambda text: said.append(time.monotonic() - began),
        all_paused=15,
    )
    assert heard.states == {"BLOCKED": 2}
    assert said[0] < 30
    assert time.monotonic() - began < 60
    assert Limits().all_paused <= 60
    for verdict in heard.ends.values():
        assert "paused" in verdict.reason
        assert "256 MiB" in verdict.reason
        assert "--memory" in verdict.error.cure


FILLS = """
def dask_setup(worker):
    worker.ballast = bytearray(b"1") * (300 << 20)
"""
"""Memory that a worker has from its start, however often it is started."""


def test_workers_that_are_paused_whenever_they_are_started_end_the_run(plan, nodes, tmp_path):
    (tmp_path / "fills.py").write_text(FILLS)
    nodes.scheduler()
    given = ["--memory-limit", "256MiB", "--preload", str(tmp_path / "fills.py")]
    nodes.worker(*given, nanny=True, DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE="False")
    heard = execute(
        nodes.address,
        plan,
        {"one": (partial(end_on_worker, 120),)},  # it may begin before its worker is paused
        paused=2,
        all_paused=12,
    )
    assert heard.states == {"BLOCKED": 1}
    assert "all workers are paused" in heard.ends["one"].reason
    assert sum("is started again" in each for each in heard.said) == 2


def test_a_paused_worker_loses_its_tasks_to_others(plan, nodes):
    nodes.scheduler()
    paused = nodes.worker("--memory-limit", "1GiB")
    nodes.worker()
    tasks = {str(number): (partial(end_on_worker, 0.2),) for number in range(12)}
    heard = execute(nodes.address, plan, tasks, lambda: fill(nodes, paused, 900))
    assert heard.states == {"COMPLETE": 12}


def test_memory_that_a_task_does_not_find_is_no_fault_of_its_input():
    with Threads(1).open() as executor:
        heard = Heard()
        executor.execute(graph_of({"large": (too_large,)}), heard.start, heard.end)
    [verdict] = heard.ends.values()
    assert verdict.state == "BLOCKED"
    assert "memory" in verdict.error.rule


def test_what_kills_workers_is_quarantined_and_takes_nothing_with_it(plan, tmp_path):
    """One unit kills whoever computes it; others wait on the same worker, and are blamed."""
    with Local(workers=2).open() as executor:
        heard = Heard()
        tasks = {str(number): (partial(end_on_worker, 0.05),) for number in range(10)}
        tasks |= {"killer": (kills,), "once": (partial(dies_once, str(tmp_path / "mark")),)}
        executor.execute(graph_of(tasks), heard.start, heard.end, heard.say)
    assert heard.states == {"COMPLETE": 11, "QUARANTINED": 1}, account_of(heard)
    killer = heard.ends["killer"]
    assert "Workers must live" in killer.error.rule
    assert "--memory" in killer.error.cure
    assert killer.error.retryable


# Schedulers that go away.


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_scheduler_that_dies_and_comes_back_is_found_again(how, plan, nodes):
    scheduler = nodes.scheduler()
    nodes.worker()

    def die():
        scheduler.send_signal(how)
        scheduler.wait()
        threading.Thread(target=come_back, daemon=True).start()

    def come_back():
        nodes.scheduler()
        nodes.worker(ready=False)

    tasks = {str(number): (partial(end_on_worker, 0.3),) for number in range(20)}
    heard = execute(nodes.address, plan, tasks, die)
    assert heard.states == {"COMPLETE": 20}
    assert "went away" in heard.said[0]
    assert "there again" in heard.said[-1]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_scheduler_that_dies_leaves_a_result_with_its_reason(how, nodes, tmp_path):
    program = write_program(tmp_path / "program", targets=40)
    scheduler = nodes.scheduler()
    nodes.worker()
    plan, said = bkgflow.plan(program, tmp_path / "out"), Said()

    def listen(event):
        said(event)
        if len(said.events) == 4:
            scheduler.send_signal(how)

    result = bkgflow.run(plan, nodes.address, listeners=[listen], wait=3)
    assert result.counts["BLOCKED"] > 0
    assert result.counts.keys() <= {"BLOCKED", "COMPLETE"}
    reasons = {verdict.reason for verdict in result.verdicts if verdict.state == "BLOCKED"}
    [reason] = reasons
    assert "The scheduler must" in reason
    assert nodes.address in reason
    assert (tmp_path / "out" / "bkgflow-run.json").exists()


# Clusters as objects.


class Bare:
    """A cluster object that has an address and nothing else, as some packages make them."""

    def __init__(self, address):
        self.scheduler_address = address


def test_cluster_objects_are_clusters(nodes, tmp_path):
    program = write_program(tmp_path / "program", targets=1)
    with LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as cluster:
        for number, each in enumerate([cluster, Bare(cluster.scheduler_address)]):
            plan = bkgflow.plan(program, tmp_path / f"out{number}")
            assert bkgflow.run(plan, each).ok
        assert cluster.status.name == "running"


def test_a_client_that_is_closed_or_asynchronous_is_refused(plan):
    with LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as cluster:
        client = Client(cluster, set_as_default=False)
        client.close()
        with pytest.raises(UsageError, match="must be connected"), Connected(client).open():
            pass
