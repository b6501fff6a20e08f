"""What dask logs of workers that die is in the log of the run, and not on a user's terminal."""

from __future__ import annotations

import io
import logging
import os
import signal
import subprocess
import sys
import time

import dask
import distributed  # noqa: F401 - its loggers are made when it is imported
import psutil
import pytest

from bkgflow.clusters.dask_log import quiet, quiet_from_now_on
from bkgflow.simulate import simulate_imaging

COMMAND = [sys.executable, "-c", "from bkgflow.cli import main; main()"]

DASK = logging.getLogger("distributed.core")
MEMORY = logging.getLogger("distributed.nanny.memory")


@pytest.fixture
def shown(monkeypatch):
    """What dask's handler writes, to standard error elsewhere."""
    logger, stream = logging.getLogger("distributed"), io.StringIO()
    monkeypatch.setattr(logger, "handlers", [logging.StreamHandler(stream)])
    return stream


@pytest.fixture
def kept(caplog):
    """Return what the log of a run has been given."""
    caplog.set_level(logging.INFO, logger="bkgflow.clusters")
    return lambda: [each.message for each in caplog.records if each.name == "bkgflow.clusters"]


def log_a_traceback():
    try:
        raise OSError("the stream is closed")
    except OSError:
        DASK.exception("Worker %s died\nduring communication", "tcp://x:1")


def test_tracebacks_are_a_line_in_the_log_of_the_run(shown, kept):
    with quiet():
        log_a_traceback()
    assert shown.getvalue() == ""
    # Once for each handler: those that pytest has added may be among them.
    assert set(kept()) == {"distributed.core: Worker tcp://x:1 died"}
    log_a_traceback()
    assert "Traceback" in shown.getvalue()


def test_what_a_user_can_do_something_about_is_shown(shown, kept):
    with quiet():
        MEMORY.warning("Worker exceeded 95% memory budget. Restarting...")
    assert "95% memory" in shown.getvalue()
    assert kept() == []


def test_runs_side_by_side_do_not_end_each_others_quiet(shown, kept):
    one, other = quiet(), quiet()
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    log_a_traceback()
    assert shown.getvalue() == ""
    other.__exit__(None, None, None)
    log_a_traceback()
    assert "Traceback" in shown.getvalue()


def test_a_record_that_cannot_be_written_harms_nobody(shown, kept):
    record = DASK.makeRecord(DASK.name, logging.ERROR, "x.py", 1, "%s and %s", ("one",), None)
    handler = logging.getLogger("distributed").handlers[0]
    with quiet():
        handler.handle(record)
    assert shown.getvalue() == ""


def test_who_asks_for_the_log_of_dask_has_it(shown, kept):
    with dask.config.set({"logging": {"distributed": "info"}}), quiet():
        log_a_traceback()
    assert "Traceback" in shown.getvalue()


def test_a_worker_process_stays_quiet(shown, kept):
    quiet_from_now_on()
    log_a_traceback()
    MEMORY.warning("Worker is at 81% memory usage. Pausing worker.")
    assert "Traceback" not in shown.getvalue()
    assert "81% memory" in shown.getvalue()
    assert kept() == []


@pytest.mark.slow
def test_a_user_sees_no_traceback_of_a_worker_that_was_killed(tmp_path):
    simulate_imaging(tmp_path / "in", targets=40, backgrounds=4, size=128)
    out = tmp_path / "out"
    given = ["run", "in", "--output", "out", "--cluster", "local", "--workers", "2"]
    with (tmp_path / "err").open("w") as err:
        running = subprocess.Popen(
            [*COMMAND, *given],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=err,
            env={**os.environ, "BKGFLOW_AMEND": "0", "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    try:
        killed = 0
        for products in (2, 8, 14):
            while (
                running.poll() is None and len(list((tmp_path / "out").glob("*.fits"))) < products
            ):
                time.sleep(0.02)
            for each in psutil.Process(running.pid).children(recursive=True):
                if "spawn_main" in " ".join(each.cmdline()):
                    each.send_signal(signal.SIGKILL)
                    killed += 1
                    break
        code = running.wait(200)
    finally:
        running.kill()
    said = (tmp_path / "err").read_text()
    assert (code, killed) == (0, 3)
    assert "Traceback" not in said
    assert "distributed." not in said
    assert "died: it is started again, and what was lost is done again" in said
    assert "distributed.nanny: Restarting worker" in (out / "bkgflow.log").read_text()
