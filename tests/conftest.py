"""What many tests need: exposures written to disk, and the real data's folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bkgflow import methods
from bkgflow.methods import soss
from tests.helpers.exposures import make_model

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


@pytest.fixture
def write_exposure(tmp_path: Path) -> Callable[..., Path]:
    """Write an exposure as `make_model` makes it, into the test's folder; return its path."""

    def write(name: str, *args: Any, **options: Any) -> Path:
        path = tmp_path / name
        with make_model(*args, **options) as model:
            model.save(str(path))
        return path

    return write
