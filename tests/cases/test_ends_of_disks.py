"""What becomes of a run whose disk is full, read-only or gone; and of files that are not there."""

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import bkgflow
from benchmarks.fault_tools import bkgflow as command
from benchmarks.fault_tools import disk, ended, found_in
from bkgflow.campaign.compute import run_plan
from bkgflow.clusters.local import Threads
from bkgflow.clusters.threads import ThreadExecutor
from bkgflow.errors import OutputError, StorageError
from bkgflow.io.products.fits import FitsWriter
from bkgflow.io.storage.lock import hold
from bkgflow.io.storage.publish import LocalPublish
from tests.helpers.crowd import write_crowd
from tests.helpers.driving import Driven

pytestmark = pytest.mark.slow
"""Each of them computes a program."""

UNITS = 24


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    return write_crowd(tmp_path_factory.mktemp("crowd") / "program", UNITS)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of one MiB: five products of 205 kB do not fit."""
    with disk(tmp_path / "disk", size="1m") as folder:
        if folder is None:
            pytest.skip("this user may not mount a disk")
        yield folder


def arguments(program, out, *more):
    return ("run", program, "--output", out, "--cluster", "threads", "--workers", 2, *more)


def stopped_once(found, said):
    """What must be true of a run whose disk has ended it."""
    assert set(found.counts) <= {"COMPLETE", "BLOCKED"}  # no input is at fault
    assert sum(found.counts.values()) == UNITS
    assert found.missing == () and found.hidden == ()
    assert "Traceback" not in said and "Logging error" not in said
    failed = [unit for unit in found.result["units"] if unit["error"]]
    assert 1 <= len(failed) <= 4  # those that were under way; no other was tried
    before = [unit for unit in found.result["units"] if "before its turn" in unit["reason"]]
    assert len(before) == found.counts["BLOCKED"] - len(failed)


# Room.


def test_a_plan_that_does_not_fit_is_refused_with_both_figures(crowd, small_disk):
    out = small_disk / "out"
    plan = bkgflow.plan(crowd, out)
    with pytest.raises(StorageError, match=r"5\.\d MiB are to be written, 1\d+\.0 KiB are") as e:
        bkgflow.run(plan, "threads")
    assert "--no-check-space" in e.value.cure
    assert list(small_disk.iterdir()) == []
    code, said = ended(*arguments(crowd, out), out=out)
    assert code == 2 and "KiB are free" in said and "Traceback" not in said


def test_too_few_files_are_refused_with_both_figures(crowd, tmp_path):
    with disk(tmp_path / "disk", size="64m", files=20) as folder:
        if folder is None:
            pytest.skip("this user may not mount a disk")
        with pytest.raises(StorageError, match=r"32 files are to be written.*room for 1\d"):
            bkgflow.run(bkgflow.plan(crowd, folder / "out"), "threads")


def test_products_that_replace_older_ones_need_no_room_of_their_own(crowd, tmp_path):
    with disk(tmp_path / "disk", size="8m") as folder:
        if folder is None:
            pytest.skip("this user may not mount a disk")
        out = folder / "out"
        plan = bkgflow.plan(crowd, out)
        assert bkgflow.run(plan, "threads", workers=1).notes == ()
        (folder / "more").write_bytes(bytes(1_000_000))
        result = bkgflow.run(plan, "threads", workers=1, fresh=True)
        assert result.ok and result.in_place
        assert "older products are replaced" in result.notes[0]


@pytest.mark.parametrize("full", ["bytes", "files"])
def test_a_disk_that_fills_stops_the_run_once_with_a_whole_result(full, crowd, tmp_path):
    options = {"size": "1m"} if full == "bytes" else {"size": "64m", "files": 18}
    with disk(tmp_path / "disk", **options) as folder:
        if folder is None:
            pytest.skip("this user may not mount a disk")
        out = folder / "out"
        code, said = ended(*arguments(crowd, out, "--no-check-space"), out=out)
        assert code == 1
        found = found_in(out)
        stopped_once(found, said)
        assert found.counts["COMPLETE"] >= 1
        assert "No space left on device" in found.result["stopped"]
        assert said.count("It must be possible to write products to the output folder") <= 8
        assert "ended early: the output folder takes no more products" in said


def test_a_log_that_finds_no_room_says_so_once(crowd, small_disk):
    out = small_disk / "out"
    plan = bkgflow.plan(crowd, out)
    filled = []

    def fill(unit, verdict):
        if not filled:
            filled.append(small_disk / "filler")
            subprocess.run(["dd", "if=/dev/zero", f"of={filled[0]}"], check=False)

    result = bkgflow.run(plan, Driven(Threads(1), ended=fill), check_space=False)
    assert result.in_place and result.counts["BLOCKED"] >= UNITS - 2
    for file in ("the log", "bkgflow-events.jsonl"):
        assert [note for note in result.notes if f"{file} ends early: No space left" in note]
    lines = (out / "bkgflow-events.jsonl").read_text().splitlines(keepends=True)
    assert all(line.endswith("}\n") and json.loads(line) for line in lines)
    assert found_in(out).counts == result.counts


# A folder that goes away.


def test_an_output_folder_that_is_removed_leaves_nothing_complete(crowd, tmp_path):
    out = tmp_path / "out"
    with command(*arguments(crowd, out), out=out) as running:
        assert running.wait_for_products(3)
        out.rename(tmp_path / "away")
        shutil.rmtree(tmp_path / "away")
        code, said = running.end()
    assert code not in {0, None}
    found = found_in(out)
    assert found.counts == {"BLOCKED": UNITS} and found.missing == ()
    assert "Traceback" not in said
    assert "must be there" in said or "No such file" in said
    gone = [unit for unit in found.result["units"] if "there and is gone" in unit["reason"]]
    assert gone and all(unit["error"]["error"] == "OutputError" for unit in gone)


def test_a_product_that_is_removed_at_the_end_is_not_reported(crowd, tmp_path):
    plan = bkgflow.plan(crowd, tmp_path / "out")

    def remove(unit, verdict):
        if verdict.products[0].endswith("t3_bsub.fits"):
            Path(verdict.products[0]).unlink()

    result = bkgflow.run(plan, Driven(Threads(2), ended=remove))
    assert result.counts == {"COMPLETE": UNITS - 1, "BLOCKED": 1}
    (error,) = (verdict.error for verdict in result.verdicts if verdict.error)
    assert error.file.endswith("t3_bsub.fits") and "was there and is gone" in error.value
    assert found_in(tmp_path / "out").missing == ()


class Elsewhere(ThreadExecutor):
    """Publishes as a worker does whose folder of that name is not the driver's."""

    def __init__(self, spoil):
        super().__init__(2)
        self.spoil = spoil

    def execute(self, graph, on_start, on_end, *more):
        def seen_elsewhere(unit, verdict):
            self.spoil(Path(verdict.products[0]))
            on_end(unit, replace(verdict, worker="process 7 on node-1"))

        super().execute(graph, on_start, seen_elsewhere)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (Path.unlink, ["not there; process 7 on node-1 has written 2", "all workers"]),
        (lambda path: os.truncate(path, 100), ["100 bytes; process 7 on node-1", "other program"]),
    ],
)
def test_products_that_only_a_worker_sees_are_not_complete(spoil, words, crowd, tmp_path):
    plan = bkgflow.plan(crowd, tmp_path / "out")
    computed = run_plan_into(plan, Elsewhere(spoil))
    assert computed.counts == {"BLOCKED": UNITS} and not computed.ok
    for word in words:
        assert word in computed.verdicts[0].error.message


def run_plan_into(plan, executor, sync=None):
    """As a run does, without its log."""
    by = LocalPublish(run="0123abcd") if sync is None else LocalPublish(sync, "0123abcd")
    with hold(plan.output, "0123abcd"):
        return run_plan(plan, executor, writer=FitsWriter(by))


def test_workers_whose_output_folder_is_another_one_complete_nothing(crowd, cluster, tmp_path):
    """The workers of a cluster, in a space where another disk lies over the folder."""
    out = tmp_path / "out"
    out.mkdir()
    host = f"mount -t tmpfs none {out} && exec {sys.executable} -m dask worker "
    host += f"{cluster} --nthreads 1 --no-dashboard --no-nanny --resources elsewhere=1"
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a disk")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    from distributed import Client

    with Client(cluster, set_as_default=False) as client:
        others = list(client.scheduler_info(n_workers=-1)["workers"])
        worker = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", host],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            client.wait_for_workers(len(others) + 1, timeout=60)
            try:
                result = bkgflow.run(bkgflow.plan(crowd, out), client)
            except bkgflow.BkgflowError as refused:
                assert "output folder" in str(refused)
                return
        finally:
            worker.kill()
            worker.wait(30)
    assert not result.ok
    found = found_in(out)
    assert found.missing == () and found.hidden == ()
    assert found.counts.get("COMPLETE", 0) == len(found.products) < UNITS


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EROFS, errno.EDQUOT])
def test_a_disk_that_fails_stops_the_run(number, crowd, tmp_path):
    synced = []

    def fails(path):
        synced.append(path)
        if len(synced) > 8:
            raise OSError(number, os.strerror(number))

    computed = run_plan_into(bkgflow.plan(crowd, tmp_path / "out"), ThreadExecutor(2), fails)
    assert set(computed.counts) == {"COMPLETE", "BLOCKED"}
    assert os.strerror(number) in computed.stopped
    assert sum(verdict.error is not None for verdict in computed.verdicts) <= 2


def test_an_output_folder_that_becomes_read_only_at_the_end(crowd, tmp_path):
    out = tmp_path / "out"
    plan = bkgflow.plan(crowd, out)

    def protect():
        done = subprocess.run(["chattr", "+i", out], check=False)
        if done.returncode:
            pytest.skip("this user may not make a folder read-only for itself")

    try:
        result = bkgflow.run(plan, Driven(Threads(2), last=protect))
    finally:
        subprocess.run(["chattr", "-i", out], check=False)
    kept = Path(result.file)
    try:
        assert result.counts == {"COMPLETE": UNITS} and not result.in_place
        assert found_in(out, kept).missing == ()
        assert found_in(out, kept).counts == result.counts
        (note,) = result.notes
        assert "Operation not permitted" in note and str(kept) in note
    finally:
        kept.unlink()


def test_a_result_that_cannot_be_kept_beside_the_products_is_exit_code_2(crowd, tmp_path):
    out = tmp_path / "out"
    (out / "bkgflow-run.json").mkdir(parents=True)
    elsewhere = {"TMPDIR": str(tmp_path)}
    code, said = ended(*arguments(crowd, out), out=out, environment=elsewhere)
    assert code == 2 and "Traceback" not in said
    assert f"{UNITS} units: {UNITS} COMPLETE" in said  # products are counted
    (kept,) = tmp_path.glob("bkgflow-run-*.json")
    assert str(kept) in said
    assert found_in(out, kept).counts == {"COMPLETE": UNITS}


# Open files.


@pytest.mark.parametrize("hard", [4096, 120])
def test_more_backgrounds_than_files_may_be_open(hard, tmp_path):
    """The limit is raised as far as it goes; beyond, files are opened for each read."""
    program = write_crowd(tmp_path / "program", units=2, size=16, backgrounds=300)
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (100, {hard}))\n"
    limited += "from bkgflow.cli import main; main()"
    out = tmp_path / "out"
    started = (sys.executable, "-c", limited)
    code, said = ended(*arguments(program, out), out=out, command=started)
    assert "Check the path" not in said
    assert code == 0, said
    assert found_in(out).counts == {"COMPLETE": 2}


def test_a_limit_that_is_too_low_for_anything_is_named(tmp_path, write_exposure):
    path = write_exposure("t_rate.fits", [[1.0] * 4] * 4)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    code = (
        "import resource, sys\n"
        "from bkgflow.io.storage.location import Location\n"
        "held = [open('/dev/null') for _ in range(20)]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (len(held), len(held)))\n"
        "with Location.of(sys.argv[1]).open(): pass\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code, path],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert "this process may have 20 open" in done.stderr and "ulimit -n" in done.stderr
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)


def test_what_is_wrong_with_one_product_alone_stops_no_run(crowd, tmp_path):
    plan = bkgflow.plan(crowd, tmp_path / "out")
    (tmp_path / "out" / "t3_bsub.fits").mkdir(parents=True)
    result = bkgflow.run(plan, "threads", workers=2)
    assert result.counts == {"COMPLETE": UNITS - 1, "BLOCKED": 1}
    (error,) = (verdict.error for verdict in result.verdicts if verdict.error)
    assert type(error) is OutputError and "t3_bsub.fits" in error.file
