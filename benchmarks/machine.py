"""What the figures were measured on, without names or places."""

from __future__ import annotations

import hashlib
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

import bkgflow

__all__ = ["facts", "today"]

PACKAGES = ("jwst", "astropy", "dask", "distributed", "numba", "numpy", "scipy", "stdatamodels")


def facts() -> dict[str, str | int]:
    """Return cores, processor, memory, and the versions of what runs."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": platform.system(),
        "python": platform.python_version(),
        "bkgflow": f"{bkgflow.__version__} ({_source()})",
        **{name: version(name) for name in PACKAGES},
    }


def today() -> str:
    """Return the date, UTC."""
    return datetime.now(UTC).date().isoformat()


def _source() -> str:
    """Return the first digits of a hash of bkgflow's source: a version is not yet a state."""
    digest = hashlib.sha256()
    for path in sorted(Path(bkgflow.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
