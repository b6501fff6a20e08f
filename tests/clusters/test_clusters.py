"""What every cluster keeps, whichever it is; and what each one has of its own."""

import socket
import threading
import time
from contextlib import contextmanager
from functools import partial

import distributed
import pytest
from distributed import Client, LocalCluster

import bkgflow
from bkgflow.campaign.runner import check_memory, task_memory
from bkgflow.clusters.address import Address, Attached, Connected
from bkgflow.clusters.base import Cluster
from bkgflow.clusters.choose import CLUSTERS, all_options, choose
from bkgflow.clusters.executor import LOST, Executor
from bkgflow.clusters.gateway import Gateway
from bkgflow.clusters.listening import Endpoint
from bkgflow.clusters.local import Local, Threads
from bkgflow.clusters.on_worker import MOST_BESIDE
from bkgflow.errors import InputError, SettingsError, UsageError
from bkgflow.graph.build import Graph
from bkgflow.graph.finish import Finished
from bkgflow.kinds.warm import warm_up
from bkgflow.planning.planner import DEFAULT_MEMORY
from bkgflow.verdict import State, Verdict
from tests.helpers.exposures import write_association

GIB = 1 << 30
COMPLETE = Verdict(State.COMPLETE)
BAD = InputError("A rule", file="b.fits", value=1, cure="Mend it")


# What every cluster keeps


@contextmanager
def threads(_):
    yield Threads(workers=2)


@contextmanager
def local(_):
    yield Local(workers=1, memory="1GiB")


@contextmanager
def address(request):
    yield Address(request.getfixturevalue("cluster"))


@contextmanager
def connected(request):
    with Client(request.getfixturevalue("cluster"), set_as_default=False) as client:
        yield Connected(client)


@pytest.fixture(scope="module", params=[threads, local, address, connected])
def opened(request):
    """A cluster, and its executor while it is open."""
    with request.param(request) as cluster, cluster.open() as executor:
        yield cluster, executor


def add(*numbers):
    return sum(numbers)


def end(verdict, *upstream, wanted=None):
    assert wanted is None or sum(upstream) == wanted
    return Finished(verdict, ())


def fails():
    raise BAD


class NoError(BaseException):
    """Nothing that a guard catches."""


def dies():
    raise NoError("not caught by any guard")


class Listener:
    """Keeps what an executor says, with the thread in which it says so."""

    def __init__(self):
        self.said = []
        self.threads = set()

    def start(self, unit):
        self.said.append((unit, None))
        self.threads.add(threading.current_thread())

    def end(self, unit, verdict):
        self.said.append((unit, verdict))
        self.threads.add(threading.current_thread())


def graph_of(units):
    """A graph of a shared task, and one end for each unit."""
    tasks = {("share", 0): (add,), ("share", 1): (partial(add, 2, 3), ("share", 0))}
    tasks |= {f"subtract-{unit}": task for unit, task in units.items()}
    return Graph(tasks, {f"subtract-{unit}": unit for unit in units})


def left_to_compile():
    return warm_up(["slitless"]).compiled


@pytest.mark.slow
def test_workers_compile_before_a_run(opened):
    _, executor = opened
    executor.compile(["slitless"])
    client = getattr(executor, "client", None)
    left = [left_to_compile()] if client is None else client.run(left_to_compile).values()
    assert set(left) == {()}


@pytest.mark.slow
def test_a_cluster_is_one(opened):
    cluster, executor = opened
    assert isinstance(cluster, Cluster)
    assert choose(cluster) is cluster
    assert executor.where
    assert executor.worker_memory is None or executor.worker_memory >= GIB


@pytest.mark.slow
def test_every_unit_starts_and_ends_in_the_callers_thread(opened):
    _, executor = opened
    shared = ("share", 1)
    units = {f"{i:032d}": (partial(end, COMPLETE, wanted=5), shared) for i in range(9)}
    listener = Listener()
    executor.execute(graph_of(units), listener.start, listener.end)
    for unit in units:
        assert [verdict for who, verdict in listener.said if who == unit] == [None, COMPLETE]
    assert listener.threads == {threading.current_thread()}


def test_failures_are_verdicts_and_neighbours_go_on(opened):
    _, executor = opened
    units = {
        "bad": (fails,),
        "good": (partial(end, COMPLETE, wanted=0),),
        "failed": (partial(end, Verdict(State.FAILED, "no fit")),),
    }
    listener = Listener()
    executor.execute(graph_of(units), listener.start, listener.end)
    ends = {unit: verdict for unit, verdict in listener.said if verdict}
    assert ends == {
        "bad": Verdict.quarantined(BAD),
        "good": COMPLETE,
        "failed": Verdict(State.FAILED, "no fit"),
    }
    assert type(ends["bad"].error) is InputError


def test_a_listener_that_is_stopped_stops_the_execution(opened):
    """Ctrl-C arrives in the thread that listens; the cluster is of use afterwards."""
    _, executor = opened

    def stop(*_):
        raise KeyboardInterrupt

    units = {"stopped": (partial(end, COMPLETE),)}
    with pytest.raises(KeyboardInterrupt):
        executor.execute(graph_of(units), stop, stop)
    listener = Listener()
    executor.execute(graph_of({"again": units["stopped"]}), listener.start, listener.end)
    assert listener.said[-1] == ("again", COMPLETE)


# What workers do


@pytest.mark.slow
def test_an_error_that_no_guard_caught_is_a_verdict(cluster):
    listener = Listener()
    with Address(cluster).open() as executor:
        executor.execute(graph_of({"dies": (dies,)}), listener.start, listener.end)
    (verdict,) = (verdict for _, verdict in listener.said if verdict)
    assert verdict.state == State.QUARANTINED
    assert "not caught by any guard" in verdict.error.value
    assert verdict.error.retryable


@pytest.mark.slow
def test_what_is_lost_is_blocked():
    """The scheduler goes away while a unit is computed."""
    listener = Listener()
    own = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0", silence_logs=50)
    with Client(own, set_as_default=False) as client, Connected(client).open() as executor:

        def leave(unit):
            listener.start(unit)
            client.cancel([key for keys in client.has_what().values() for key in keys])
            threading.Thread(target=client.close).start()

        executor.execute(graph_of({"lost": (partial(time.sleep, 5),)}), leave, listener.end)
    own.close()
    assert listener.said == [("lost", None), ("lost", LOST)]
    assert LOST.state == State.BLOCKED


class Disk:
    """Ends a publication only when two are under way."""

    lock = threading.Condition()
    under_way = most = 0
    two = False

    @classmethod
    def sync(cls):
        with cls.lock:
            cls.under_way += 1
            cls.most, cls.two = max(cls.most, cls.under_way), cls.two or cls.under_way == 2
            cls.lock.notify_all()
            assert cls.lock.wait_for(lambda: cls.two, timeout=60)
            cls.under_way -= 1


class SlowDraft:
    """A product for that disk."""

    def publish(self):
        Disk.sync()
        return "p.fits"

    def discard(self):
        raise AssertionError("it can be published")


def write():
    return Finished(COMPLETE, (SlowDraft(),))


@pytest.mark.slow
def test_the_next_unit_begins_while_the_disk_keeps_the_last():
    """One thread, and a disk that is only content when two products wait for it."""
    own = LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0")
    listener = Listener()
    with own, Client(own, set_as_default=False) as client, Connected(client).open() as executor:
        units = {str(number): (write,) for number in range(5)}
        executor.execute(graph_of(units), listener.start, listener.end)
    ends = [verdict for _, verdict in listener.said if verdict]
    assert ends == [COMPLETE.published(("p.fits",))] * 5
    assert 2 <= Disk.most <= MOST_BESIDE


# Memory


def test_a_plan_asks_for_a_quarter_of_a_worker_at_most():
    assert task_memory(Threads()) == task_memory(Local()) == DEFAULT_MEMORY
    assert task_memory(Local(memory="auto")) == DEFAULT_MEMORY
    assert task_memory(Local(memory="256MiB")) == 64 << 20
    assert task_memory(Local(memory="64GiB")) == DEFAULT_MEMORY
    assert task_memory(Address("tcp://host:1")) == DEFAULT_MEMORY


def test_the_memory_of_real_workers_is_known(cluster):
    with Address(cluster).open() as executor:
        assert executor.worker_memory == 4 * GIB
    with Threads().open() as executor:
        assert executor.worker_memory is None


class Small(Executor):
    """An executor with workers of one kilobyte, which computes nothing."""

    where = "nowhere"
    worker_memory = 1024

    def execute(self, *_):
        raise AssertionError("nothing was to be computed")


class SmallCluster(Cluster):
    here = False
    worker_memory = None

    @contextmanager
    def open(self):
        yield Small()


def test_a_plan_that_does_not_fit_its_workers_is_refused(tmp_path, write_exposure):
    write_exposure("t_rate.fits", [[3.0] * 40] * 40)
    write_exposure("b_rate.fits", [[1.0] * 40] * 40)
    path = write_association(tmp_path / "x_asn.json", [("p", "t_rate.fits", ["b_rate.fits"])])
    plan = bkgflow.plan(path, tmp_path / "out")
    with pytest.raises(UsageError, match=r"memory of a worker.*64 MiB.*--memory; .*--memory-limit"):
        bkgflow.run(plan, SmallCluster())
    assert not (tmp_path / "out").exists()
    check_memory(plan, type("Unknown", (), {"worker_memory": None}))


# Choosing


def test_words_addresses_and_clients():
    assert choose("threads", workers=3) == Threads(3)
    assert choose("local", workers=2, memory="1GiB") == Local(2, "1GiB")
    assert choose("local", workers=None, memory=None) == Local()
    assert choose("tcp://host:8786") == Address("tcp://host:8786")
    assert list(CLUSTERS) == ["local", "threads"]
    assert set(all_options()) >= {"workers", "memory", "tls", "dashboard", "wait", "allow_skew"}


def test_a_client_and_a_cluster_object_are_waited_for_as_an_address_is(cluster):
    with Client(cluster, set_as_default=False) as client:
        assert choose(client, wait=7) == Connected(client, wait=7)
        assert choose(client) == Connected(client)
    own = type("Own", (), {"scheduler_address": cluster})()
    assert choose(own, wait=7) == Attached(own, wait=7)
    with pytest.raises(UsageError, match="Own has wait"):
        choose(own, memory="1GiB")


@pytest.mark.parametrize("cluster", ["slurmy", "host:8786", "", 3, None, LocalCluster])
def test_what_is_no_cluster(cluster):
    with pytest.raises(UsageError, match=r"local, threads, slurm.*the address.*tcp://"):
        choose(cluster)


@pytest.mark.parametrize(
    ("cluster", "words"),
    [("threads", "threads has workers"), ("tcp://h:1", "has wait"), (Threads(), "has none")],
)
def test_a_setting_that_a_cluster_does_not_have(cluster, words):
    with pytest.raises(UsageError, match=words):
        choose(cluster, memory="1GiB")


@pytest.mark.parametrize("kind", [Local, Threads])
def test_no_workers_are_no_cluster(kind):
    with pytest.raises(SettingsError, match=r"at least one worker.*workers=0"):
        kind(workers=0)


@pytest.mark.parametrize("memory", ["plenty", "1MB", "1e400GiB", ""])
def test_memory_that_cannot_be_meant(memory):
    with pytest.raises(SettingsError, match="at least 256 MiB"):
        Local(memory=memory)


def test_workers_that_cannot_start_name_the_cure():
    def fails(**_):
        raise RuntimeError("Nanny failed to start.")

    with pytest.raises(UsageError, match=r"threads") as caught, Local(start=fails).open():
        pass
    assert "Nanny" in caught.value.value


def test_a_taken_dashboard_port_is_no_matter():
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        assert Endpoint(host, port).free() == "127.0.0.1:0"
    assert Endpoint(host, port).free() == f"127.0.0.1:{port}"
    with pytest.raises(UsageError, match=r"an address of this machine.*192\.0\.2\.1"):
        Endpoint("192.0.2.1", port).free()


@pytest.mark.parametrize(
    ("text", "loopback"),
    [("8787", True), ("localhost:0", True), ("127.0.0.2:1", True), ("0.0.0.0:8787", False)],
)
def test_a_dashboard_that_others_can_reach_asks_nobody_who_they_are(text, loopback):
    endpoint = Endpoint.of(text)
    assert endpoint.is_loopback == loopback
    assert len(endpoint.remarks) == (not loopback)
    assert all("asks nobody who they are" in each for each in endpoint.remarks)


@pytest.mark.slow
def test_a_scheduler_that_is_not_there():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{nobody.getsockname()[1]}"
        start = time.monotonic()
        with (
            pytest.raises(UsageError, match=r"A scheduler must answer") as caught,
            Address(address, timeout=1).open(),
        ):
            pass
    assert time.monotonic() - start < 10
    assert address in caught.value.value


@pytest.mark.parametrize(
    "address", ["tcp://", "tcp://127.0.0.1", "tls://host:", "tcp://host:abc", "tcp://:8786",
                "ws://host:99999"],
)  # fmt: skip
def test_an_address_without_host_or_port_is_refused_at_once(address):
    with pytest.raises(UsageError, match="must name its host and its port") as caught:
        Address(address)
    assert caught.value.value == address
    Address("tcp://[::1]:8786")


@pytest.mark.parametrize(
    "told",
    [
        lambda: Address("tcp://ada:secret@host:8786"),
        lambda: Gateway(address="gateway://ada:p@secret@host:80"),
        lambda: Gateway(address="http://host", proxy="gateway://:secret@host:80"),
    ],
)
def test_an_address_with_a_password_is_refused_and_not_repeated(told):
    with pytest.raises(UsageError, match="must have no password in it") as caught:
        told()
    assert "secret" not in str(caught.value)


def test_something_that_is_no_scheduler():
    """A dashboard's address, given by mistake: what answers speaks HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 9)
                connection.close()

        threading.Thread(target=answer, daemon=True).start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(UsageError, match=address), Address(address, timeout=2).open():
            pass
        server.shutdown(socket.SHUT_RDWR)
    with pytest.raises(ValueError, match="No clients found"):  # nothing later waits for it
        distributed.default_client()
