"""A checkout's contender of a case; run as a file by a process of that checkout.

What it imports by the name of ``benchmarks`` is the checkout's own. Where that lacks the case,
this file's neighbours are put in front of it and measure the checkout's bkgflow.
"""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any


def neighbours() -> None:
    """Have this file's folder, and nothing else beside it, imported as ``benchmarks``."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]:
        del sys.modules[name]
    folder = Path(tempfile.mkdtemp(prefix="bkgflow-benchmarks-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "benchmarks").symlink_to(Path(__file__).parent, target_is_directory=True)
    sys.path.insert(0, str(folder))


def knows(case: str) -> bool:
    """Whether the checkout's benchmarks have a case."""
    from benchmarks.cases import CASES

    return case in CASES


def work(pipe: Connection, case: str, data: str, scratch: str, size: int | None) -> None:
    """Serve bkgflow's side of a case."""
    if not knows(case):
        neighbours()
    from benchmarks.cases import CASES
    from benchmarks.inputs import Inputs

    inputs = Inputs(Path(data), lambda line: print(line, file=sys.stderr), size)
    serve_of()(pipe, CASES[case].contenders(inputs, Path(scratch))["ours"])


def serve_of() -> Any:
    """Return what serves a pipe, wherever the checkout has it."""
    try:
        from benchmarks.processes import serve
    except ImportError:  # older checkouts
        from benchmarks import pairs

        return pairs._serve  # type: ignore[attr-defined]
    return serve


if "pipe" in globals():
    work(**{name: globals()[name] for name in ("pipe", "case", "data", "scratch", "size")})
