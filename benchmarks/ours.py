"""bkgflow's side of the cases in one process.

What is not public is imported where it is called: a checkout that has it elsewhere, or not yet,
can still do the other cases.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contender import Work
from benchmarks.files import empty, read_stacks
from benchmarks.memory import trim

__all__ = ["clip_kernel", "file_to_file", "slitless_scaling", "soss"]


@contextmanager
def file_to_file(
    target: Path,
    backgrounds: Sequence[Path],
    output: Path,
    *,
    lean: bool = False,
    **arguments: Any,
) -> Iterator[Work]:
    """Subtract from one exposure and write the product.

    ``lean``: give free memory back before each run, so that all a run needs shows.
    """
    from bkgflow.api import subtract_to_file

    def run() -> None:
        subtract_to_file(target, list(backgrounds), output_dir=output, **arguments)

    def prepare() -> None:
        empty(output)
        if lean:
            trim()

    yield Work(run, prepare)


@contextmanager
def clip_kernel(paths: Sequence[Path]) -> Iterator[Work]:
    """Clip and average stacks that are in memory."""
    from bkgflow.methods.clip import combine

    sci, err, dq = read_stacks(paths)
    out = combine(sci, err, dq)
    yield Work(lambda: combine(sci, err, dq, out=out))


@contextmanager
def soss(exposure: Path, library: Path) -> Iterator[Work]:
    """Fit and subtract a sky from a time series that is in memory, on a copy of it."""
    from bkgflow import open_exposure
    from bkgflow.io.references.soss_library import read_library
    from bkgflow.methods.soss import ArraySegment, fit_soss, subtract_soss
    from bkgflow.rules import SossRule

    series = open_exposure(exposure)
    sci, dq = series["sci"].values, series["dq"].values
    threads = os.cpu_count() or 1

    def run() -> None:
        templates = read_library(library)
        [fit] = fit_soss([ArraySegment(sci, dq)], templates, SossRule(), threads=threads)
        subtract_soss(sci.copy(), templates, fit, threads=threads)

    yield Work(run)


@contextmanager
def slitless_scaling(arrays: Path, maxiter: int) -> Iterator[Work]:
    """Fit a sky to the background pixels of a slitless exposure."""
    from bkgflow.methods.slitless import fit_scale
    from bkgflow.rules import ScaleRule

    with np.load(arrays) as held:
        sci, err, mask, sky = (held[name] for name in ("sci", "err", "mask", "sky"))
    factor, rule = 0.0, ScaleRule(maxiter=maxiter)

    def run() -> None:
        nonlocal factor
        factor = float(fit_scale(sci, err, mask, sky, rule).coefficients[0])

    yield Work(run, after=lambda: {"factor": factor})
