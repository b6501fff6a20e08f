"""The kernels compiled once, before several processes would do so at the same time."""

from __future__ import annotations

import importlib
import itertools
from pathlib import Path

import numpy as np

from bkgflow import methods

__all__ = ["compile_kernels", "drop_stale_code"]


def drop_stale_code() -> None:
    """Drop machine code older than any of the sources: numba looks at the outermost one only."""
    folder = Path(methods.__file__).parent
    newest = max(source.stat().st_mtime for source in folder.rglob("_*.py"))
    for code in folder.rglob("*.nb[ic]"):
        if code.stat().st_mtime < newest:
            code.unlink(missing_ok=True)


def compile_kernels() -> None:
    """Have numba put its machine code into its cache: all of it where the product offers that.

    Else that of the clip, the longest to compile.
    """
    try:
        warm = importlib.import_module("bkgflow.methods.warm")
    except ImportError:
        pass
    else:
        warm.warm_up()
        return
    clip = importlib.import_module("bkgflow.methods.clip")
    for kind, with_err in itertools.product((np.float32, np.float64), (True, False)):
        sci = np.random.default_rng(0).normal(size=(9, 4, 300)).astype(kind)
        sci[0, 0, ::3], sci[1, 1, ::7] = np.nan, 1e6
        arrays = sci, np.ones_like(sci) if with_err else None, np.zeros(sci.shape, np.uint32)
        for average in (clip.combine, clip.collapse):
            average(*arrays, sigma=2.0)
