"""What many tests need: exposures written to disk, and the real data's folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.helpers.exposures import make_model
from tests.helpers.pace import EVERY, FAST
from tests.helpers.schemas import keep_parsed_schemas
from tests.helpers.warm import compile_kernels

# Tables are as wide as they like, whatever the terminal is that the tests were started from.
os.environ.pop("COLUMNS", None)

# The peer asks a reference server for step parameters unless it is told not to.
os.environ["STPIPE_DISABLE_CRDS_STEPPARS"] = "true"

# How long an example takes is the machine's affair: others work beside it.
for profile in ("default", FAST, EVERY):
    settings.register_profile(profile, deadline=None)
settings.load_profile(settings.get_current_profile_name())
keep_parsed_schemas()


def pytest_configure(config: pytest.Config) -> None:
    """Make the kernels ready before any worker of pytest-xdist starts."""
    if hasattr(config, "workerinput"):
        return
    if config.getoption("numprocesses", None):
        # A core each is what the workers have: threads of a BLAS would only wait for each other.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        compile_kernels()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data; tests that need it are skipped where it is not named."""
    folder = os.environ.get("BKGFLOW_REAL_DATA")
    if not folder:
        pytest.skip("BKGFLOW_REAL_DATA does not name a folder of real data")
    return Path(folder)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A scheduler and two workers, each a process of its own, over TCP on this machine."""
    folder = tmp_path_factory.mktemp("cluster")
    address_file = folder / "scheduler.json"
    quiet: dict[str, Any] = {
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
        "cwd": folder,
    }
    dask = [sys.executable, "-m", "dask"]
    here = ["--host", "127.0.0.1", "--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
    here += ["--scheduler-file", str(address_file)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    scheduler = subprocess.Popen(
        [*dask, "scheduler", *here, "--port", "0"],
        env=environment,
        **quiet,
    )
    workers: list[subprocess.Popen[bytes]] = []
    try:
        deadline = time.monotonic() + 60
        while not address_file.exists():
            assert time.monotonic() < deadline, "the scheduler did not come up"
            time.sleep(0.1)
        for _ in range(2):
            workers.append(
                subprocess.Popen(
                    [*dask, "worker", *here, "--nthreads", "1", "--memory-limit", "4GiB"],
                    env=environment,
                    **quiet,
                )
            )
        address = json.loads(address_file.read_text())["address"]
        from distributed import Client

        with Client(address, timeout=60) as client:
            client.wait_for_workers(2, timeout=60)
        yield address
    finally:
        for process in [*workers, scheduler]:
            process.terminate()
        for process in [*workers, scheduler]:
            process.wait(30)


@pytest.fixture
def write_exposure(tmp_path: Path) -> Callable[..., Path]:
    """Write an exposure as `make_model` makes it, into the test's folder; return its path."""

    def write(name: str, *args: Any, **options: Any) -> Path:
        path = tmp_path / name
        with make_model(*args, **options) as model:
            model.save(str(path))
        return path

    return write
