"""What clusters of one's own are told is in force: asked of their scheduler and their workers."""

import os
from pathlib import Path

import dask
import numpy as np
import psutil
import pytest

import bkgflow
from bkgflow.clusters.defaults import DEFAULTS, LIBRARIES, settled
from bkgflow.clusters.local import Local
from bkgflow.kinds.warm import warm_up
from tests.helpers.driving import Driven, Opened
from tests.helpers.programs import Said, write_program

pytestmark = pytest.mark.slow

TOO_MANY = "7"
"""Threads that somebody has asked for, in the shell in which a run is started."""


@pytest.fixture(scope="module")
def executor():
    """An open local cluster, started in a shell that would give every library seven threads."""
    with pytest.MonkeyPatch.context() as shell:
        for name in LIBRARIES:
            shell.setenv(name, TOO_MANY)
        with Local(workers=2, memory="1GiB").open() as opened:
            opened.ready()
            assert {os.environ[name] for name in LIBRARIES} == {TOO_MANY}  # as it was
            yield opened


def on_every_worker(executor, function):
    found = executor.client.run(function)
    assert len(found) == 2
    return list(found.values())


# What dask is told.


def configuration():
    return {each.name: dask.config.get(each.name) for each in DEFAULTS}


def test_dasks_configuration_is_in_force_on_workers(executor):
    wanted = {each.name: each.value for each in DEFAULTS}
    assert all(each.why.endswith(".") for each in DEFAULTS)
    assert on_every_worker(executor, configuration) == [wanted] * 2


def of_the_scheduler(dask_scheduler):
    return dask_scheduler.worker_ttl, dask_scheduler.allowed_failures


def test_the_scheduler_gives_up_a_silent_worker_after_seconds_and_blames_slowly(executor):
    ttl, failures = executor.client.run_on_scheduler(of_the_scheduler)
    assert 20 < ttl <= 30  # the run itself notices after 20 s
    assert failures >= 10


def memory_of(dask_worker):
    manager = dask_worker.memory_manager
    kept = type(dask_worker.data).__name__
    return manager.memory_spill_fraction, manager.memory_target_fraction, kept, manager.memory_limit


def test_nothing_is_spilled_and_the_limit_is_what_was_given(executor):
    spill, target, kept, limit = on_every_worker(executor, memory_of)[0]
    assert (spill, target) == (False, False)
    assert "Spill" not in kept
    assert limit == 1 << 30


def test_what_somebody_has_configured_is_heeded():
    before = configuration()
    with dask.config.set({"distributed.scheduler.worker-ttl": "77 s"}), settled():
        now = configuration()
        assert now["distributed.scheduler.worker-ttl"] == "77 s"
        assert now["distributed.worker.memory.spill"] is False
    assert configuration() == before


# Processes, threads and kernels.


def libraries_of():
    import ctypes

    import numba

    maps = Path("/proc/self/maps").read_text().split()
    loaded = {each for each in maps if "openblas" in each}
    asked = ("scipy_openblas_get_num_threads64_", "scipy_openblas_get_num_threads")
    blas = {
        getattr(library, name)()
        for library in map(ctypes.CDLL, loaded)
        for name in asked
        if hasattr(library, name)
    }
    return [os.environ.get(name) for name in LIBRARIES], blas, numba.config.NUMBA_NUM_THREADS


def test_libraries_have_the_threads_of_their_worker_whatever_the_shell_says(executor):
    for said, blas, numba in on_every_worker(executor, libraries_of):
        assert said == ["1"] * len(LIBRARIES)
        assert blas == {1} and numba == 1


def nanny_of(dask_worker):
    return dask_worker.nanny, dask_worker.state.nthreads


def test_a_nanny_stands_behind_every_worker_and_it_has_one_thread(executor):
    for nanny, threads in on_every_worker(executor, nanny_of):
        assert nanny and threads == 1


def kernels():
    from bkgflow.methods._compiled import cache_folders
    from bkgflow.methods.clip import combine
    from bkgflow.methods.clip._kernels import average_stack

    stack = np.ones((8, 8, 16), np.float32)
    combine(stack, stack, np.zeros(stack.shape, np.uint32))
    misses = sum(average_stack.stats.cache_misses.values())
    return str(cache_folders(average_stack)[0]), misses, warm_up(["image"]).compiled


def test_kernels_are_compiled_once_and_shared(executor):
    warm_up(["image"])
    here = kernels()[0]
    assert on_every_worker(executor, kernels) == [(here, 0, ())] * 2


# Where they listen.


def listening():
    """Addresses at which this process, and all that it has started, listen."""
    me = psutil.Process()
    found = {}
    for process in [me, *me.children(recursive=True)]:
        for line in process.net_connections("inet"):
            if line.status == psutil.CONN_LISTEN:
                found.setdefault(process.pid, set()).add(line.laddr.ip)
    return found


@pytest.mark.parametrize("tls", [False, True])
def test_a_local_run_listens_on_loopback_alone(tls, tmp_path):
    """Scheduler, dashboard, nannies, workers, and the larger worker, in the midst of a run."""
    plan = bkgflow.plan(write_program(tmp_path / "program"), tmp_path / "out")
    seen = []
    with Local(workers=2, memory="512MiB", tls=tls).open() as opened:
        larger = opened.client.sync(opened.larger.start)

        def look(unit, verdict):
            seen.append(listening())

        assert bkgflow.run(plan, Driven(Opened(opened), ended=look)).ok
        workers = opened.client.scheduler_info(n_workers=-1)["workers"]
        assert larger in workers and len(workers) == 3
        pids = set(opened.client.run(os.getpid).values())
        dashboard = opened.client.cluster.dashboard_link
        assert opened.client.scheduler.address.startswith("tls://" if tls else "tcp://")
        assert {each.partition(":")[0] for each in workers} == {"tls" if tls else "tcp"}
    assert "127.0.0.1" in dashboard
    first = seen[0]
    assert pids <= first.keys() and os.getpid() in first
    assert set().union(*first.values()) == {"127.0.0.1"}


def test_a_dashboard_for_others_is_asked_for_and_warned_of(tmp_path):
    plan, said = bkgflow.plan(write_program(tmp_path / "program"), tmp_path / "out"), Said()
    seen = []

    def look(unit, verdict):
        seen.append(listening()[os.getpid()])

    given = Driven(Local(workers=1, dashboard="0.0.0.0:0"), ended=look)
    assert bkgflow.run(plan, given, listeners=[said]).ok
    [word] = said.notices
    assert "asks nobody who they are" in word and "0.0.0.0" in word
    assert seen[0] == {"127.0.0.1", "0.0.0.0"}
    assert "asks nobody who they are" in (tmp_path / "out" / "bkgflow.log").read_text()
