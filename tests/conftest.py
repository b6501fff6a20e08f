"""What many tests need: exposures written to disk, and the real data's folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.helpers.exposures import make_model
from tests.helpers.pace import FAST
from tests.helpers.schemas import keep_parsed_schemas
from tests.helpers.warm import compile_kernels, drop_stale_code

# The peer asks a reference server for step parameters unless it is told not to.
os.environ["STPIPE_DISABLE_CRDS_STEPPARS"] = "true"

settings.register_profile(FAST)
keep_parsed_schemas()


def pytest_configure(config: pytest.Config) -> None:
    """Make the kernels ready before any worker of pytest-xdist starts."""
    if hasattr(config, "workerinput"):
        return
    drop_stale_code()
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


@pytest.fixture
def write_exposure(tmp_path: Path) -> Callable[..., Path]:
    """Write an exposure as `make_model` makes it, into the test's folder; return its path."""

    def write(name: str, *args: Any, **options: Any) -> Path:
        path = tmp_path / name
        with make_model(*args, **options) as model:
            model.save(str(path))
        return path

    return write
