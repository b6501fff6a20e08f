"""What many tests need: exposures written to disk, and the real data's folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stdatamodels.jwst import datamodels

from bkgflow import methods
from bkgflow.methods import soss

# The peer asks a reference server for step parameters unless it is told not to.
os.environ["STPIPE_DISABLE_CRDS_STEPPARS"] = "true"


def pytest_configure() -> None:
    """Drop machine code older than any of the sources: numba looks at the outermost one only."""
    folders = [Path(module.__file__).parent for module in (methods, soss)]
    newest = max(source.stat().st_mtime for f in folders for source in f.glob("_*.py"))
    for code in (each for f in folders for each in (f / "__pycache__").glob("*.nb[ic]")):
        if code.stat().st_mtime < newest:
            code.unlink(missing_ok=True)


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
    here = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(address_file)]
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


def make_model(
    sci: Any,
    err: Any = 0.5,
    dq: Any = 0,
    *,
    corner: tuple[int, int] | None = (1, 1),
    instrument: str = "MIRI",
    exp_type: str = "MIR_IMAGE",
    kind: str | None = None,
    gwa: tuple[float | None, float | None] = (None, None),
) -> Any:
    """Return a data model; ``err`` and ``dq`` may be numbers. ``corner`` is 1-based."""
    sci = np.asarray(sci, np.float32)
    default = "CubeModel" if sci.ndim == 3 else "ImageModel"
    model = getattr(datamodels, kind or default)(sci.shape)
    model.data = sci
    model.err = np.broadcast_to(np.asarray(err, np.float32), sci.shape).copy()
    model.dq = np.broadcast_to(np.asarray(dq, np.uint32), sci.shape).copy()
    model.meta.instrument.name = instrument
    model.meta.instrument.detector = {"MIRI": "MIRIMAGE", "NIRSPEC": "NRS1"}.get(
        instrument, "NRCA1"
    )
    model.meta.exposure.type = exp_type
    model.meta.observation.date = "2026-01-01"
    model.meta.observation.time = "12:00:00"
    model.meta.bunit_data = "DN/s"
    model.meta.instrument.gwa_xtilt, model.meta.instrument.gwa_ytilt = gwa
    if corner is not None:
        model.meta.subarray.xstart, model.meta.subarray.ystart = corner
        model.meta.subarray.xsize, model.meta.subarray.ysize = sci.shape[-1], sci.shape[-2]
    return model


@pytest.fixture
def write_exposure(tmp_path: Path) -> Callable[..., Path]:
    """Write an exposure as `make_model` makes it, into the test's folder; return its path."""

    def write(name: str, *args: Any, **options: Any) -> Path:
        path = tmp_path / name
        with make_model(*args, **options) as model:
            model.save(str(path))
        return path

    return write


def write_association(
    path: Path, products: Sequence[tuple[str, str, Sequence[str]]], extra: Sequence[Any] = ()
) -> Path:
    """Write an association of (name, science, backgrounds); ``extra`` are more members."""
    content = {
        "asn_type": "image2",
        "asn_rule": "Asn_Lv2Image",
        "program": "01000",
        "products": [
            {
                "name": name,
                "members": [
                    {"expname": science, "exptype": "science"},
                    *({"expname": each, "exptype": "background"} for each in backgrounds),
                    *({"expname": expname, "exptype": kind} for expname, kind in extra),
                ],
            }
            for name, science, backgrounds in products
        ],
    }
    path.write_text(json.dumps(content))
    return path
