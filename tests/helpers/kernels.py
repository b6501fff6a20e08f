"""Kernels of notebooks that run this very Python, whatever kernels are installed for whom."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["KERNEL", "own_kernel"]

KERNEL = "bkgflow-tests"


@contextmanager
def own_kernel(folder: Path) -> Iterator[dict[str, str]]:
    """Install a kernel in a folder and have Jupyter look there; give its environment."""
    here = folder / "kernels" / KERNEL
    here.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": KERNEL, "language": "python"}
    (here / "kernel.json").write_text(json.dumps(spec))
    before = dict(os.environ)
    os.environ |= {
        "JUPYTER_PATH": str(folder),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    try:
        yield dict(os.environ)
    finally:
        os.environ.clear()
        os.environ.update(before)
