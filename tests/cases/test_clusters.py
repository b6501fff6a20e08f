"""Clusters that nobody should trust unseen: asked before the first task, and as they come."""

import os
import re
import threading
import time
from pathlib import Path

import pytest

import bkgflow
from bkgflow.clusters.address import Address
from bkgflow.errors import RunError, SettingsError, UsageError
from bkgflow.version import VERSION
from tests.helpers.clusters import processes
from tests.helpers.programs import Said, another_version, blocker, write_program

HERE = "/proc/self/cwd"
"""The working folder of whoever looks: the same path, and another folder for each process."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path(HERE).exists(), reason="it needs the paths of Linux"),
]


@pytest.fixture
def program(tmp_path):
    return write_program(tmp_path / "program")


@pytest.fixture
def nodes(tmp_path):
    with processes(tmp_path / "nodes") as made:
        yield made


def left_in(folder):
    return sorted(path.name for path in folder.rglob("*")) if folder.exists() else None


# Before the first task.


def test_workers_without_bkgflow_are_refused_before_any_work(program, nodes, tmp_path):
    nodes.scheduler()
    nodes.worker("--preload", str(blocker(tmp_path)))
    plan = bkgflow.plan(program, tmp_path / "out")
    with pytest.raises(UsageError, match=r"import bkgflow.*tcp://127.*No module named") as caught:
        bkgflow.run(plan, nodes.address)
    assert f"Install bkgflow {VERSION}" in caught.value.cure
    assert not (tmp_path / "out").exists()


def test_a_scheduler_without_bkgflow_is_refused(program, nodes, tmp_path):
    nodes.scheduler(DASK_DISTRIBUTED__SCHEDULER__PRELOAD=str(blocker(tmp_path)))
    nodes.worker()
    with pytest.raises(UsageError, match=r"The scheduler must be able to import bkgflow"):
        bkgflow.run(bkgflow.plan(program, tmp_path / "out"), nodes.address)


def test_workers_with_another_bkgflow_are_refused(program, nodes, tmp_path):
    nodes.scheduler()
    nodes.worker()
    nodes.worker(PYTHONPATH=str(another_version(tmp_path)))
    with pytest.raises(UsageError, match=r"has bkgflow 0\.0\.1, the driver") as caught:
        bkgflow.run(bkgflow.plan(program, tmp_path / "out"), nodes.address)
    assert VERSION in caught.value.value
    assert "tcp://127.0.0.1:" in caught.value.value
    assert not (tmp_path / "out").exists()


def test_workers_that_do_not_see_the_inputs_are_the_clusters_fault(nodes, tmp_path, monkeypatch):
    write_program(tmp_path / "program")
    monkeypatch.chdir(tmp_path)
    nodes.scheduler()
    nodes.worker()
    plan = bkgflow.plan(f"{HERE}/program", tmp_path / "out")
    with pytest.raises(UsageError, match=r"see the inputs.*tcp://127.*No such file") as caught:
        bkgflow.run(plan, nodes.address)
    assert f"Share {HERE}/program with every worker" in caught.value.cure
    assert left_in(tmp_path / "out") is None


def test_workers_that_see_other_inputs_under_the_same_name(nodes, tmp_path, monkeypatch):
    write_program(tmp_path / "program")
    other = write_program(nodes.folder / "program").parent / "t0_rate.fits"
    for each in other.parent.glob("*_rate.fits"):
        with each.open("r+b") as stream:
            stream.seek(-2000, os.SEEK_END)
            stream.write(b"\1" * 100)
    monkeypatch.chdir(tmp_path)
    nodes.scheduler()
    nodes.worker()
    plan = bkgflow.plan(f"{HERE}/program", tmp_path / "out")
    with pytest.raises(UsageError, match=r"see the inputs.*another file"):
        bkgflow.run(plan, nodes.address)


@pytest.mark.parametrize("there", [False, True])
def test_a_worker_whose_output_folder_is_not_the_drivers(
    there, program, nodes, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    if there:
        (nodes.folder / "out").mkdir()
    nodes.scheduler()
    nodes.worker()
    plan = bkgflow.plan(program, f"{HERE}/out")
    with pytest.raises(UsageError, match=r"output folder that the driver sees.*tcp://") as caught:
        bkgflow.run(plan, nodes.address)
    assert "file system that all workers share" in caught.value.cure
    assert left_in(tmp_path / "out") is None
    assert left_in(nodes.folder / "out") == ([] if there else None)


def test_good_workers_are_trusted_and_nothing_of_the_trial_stays(program, nodes, tmp_path):
    nodes.scheduler()
    nodes.worker()
    nodes.worker()
    said = Said()
    result = bkgflow.run(bkgflow.plan(program, tmp_path / "out"), nodes.address, listeners=[said])
    assert result.counts == {"COMPLETE": 3}
    assert said.notices == []
    names = [
        "bkgflow-campaign.json",
        "bkgflow-events.jsonl",
        "bkgflow-facts.jsonl",
        "bkgflow-ledger.sqlite",
        "bkgflow-run.json",
        "bkgflow.log",
        *(f"t{n}_bsub.fits" for n in range(3)),
    ]
    assert left_in(tmp_path / "out") == names


# Waiting for workers.


def test_no_worker_at_all_is_said_and_ends(program, nodes, tmp_path):
    nodes.scheduler()
    said, began = Said(), time.monotonic()
    plan = bkgflow.plan(program, tmp_path / "out")
    with pytest.raises(RunError, match=r"must have a worker.*within 3 s.*--wait"):
        bkgflow.run(plan, nodes.address, wait=3, listeners=[said])
    assert time.monotonic() - began < 15
    assert [re.sub(r" \(.*", "", text) for text in said.notices] == ["waiting for workers"]
    assert not (tmp_path / "out").exists()


def test_workers_that_come_while_they_are_waited_for(program, nodes, tmp_path):
    nodes.scheduler()
    said = Said()
    late = threading.Timer(2, nodes.worker, kwargs={"ready": False})
    late.start()
    result = bkgflow.run(bkgflow.plan(program, tmp_path / "out"), nodes.address, listeners=[said])
    assert result.ok
    assert said.notices[0].startswith("waiting for workers")
    assert said.notices[-1] == "workers came: 1"


@pytest.mark.parametrize("wait", [0, -1, float("nan")])
def test_a_time_to_wait_that_is_none(wait):
    with pytest.raises(SettingsError, match="longer than nothing"):
        Address("tcp://127.0.0.1:1", wait=wait)
