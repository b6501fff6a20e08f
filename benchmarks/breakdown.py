"""What the time of a run is made of, in one thread of one process.

The stages are timed where the product calls them; a stage within another counts for itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import bkgflow
from benchmarks.files import empty
from benchmarks.inputs import Inputs
from bkgflow.graph import finish
from bkgflow.io.fits import hdus as fits
from bkgflow.io.products import fits as outline
from bkgflow.io.storage import publish as whole
from bkgflow.methods import clip
from bkgflow.planning import planner

__all__ = ["REST", "STAGES", "breakdown"]

STAGES = ("headers", "read", "swap", "clip and combine", "open", "headers out", "write", "sync")

REST = "dask and the rest"

RUNS = 5

Milliseconds = dict[str, float]


class _Clock:
    """Adds up the time of each stage, without that of the stages inside it."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._inside = [0.0]

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside."""
        self._inside.append(0.0)
        started = time.perf_counter()
        yield
        elapsed = time.perf_counter() - started
        self.seconds[name] += elapsed - self._inside.pop()
        self._inside[-1] += elapsed

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function whose calls are timed."""

        def call(*arguments: Any, **options: Any) -> Any:
            with self.stage(name):
                return function(*arguments, **options)

        return call

    def opened(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a context manager whose entry is timed."""

        @contextmanager
        def call(*arguments: Any) -> Iterator[Any]:
            with ExitStack() as stack:
                with self.stage("open"):
                    found = stack.enter_context(function(*arguments))
                yield found

        return call


def breakdown(inputs: Inputs, scratch: Path) -> dict[str, dict[str, Any]]:
    """Return the stages of three programs: milliseconds for a target, medians of five runs."""
    [target], sky = inputs.image(1), inputs.sky(8)
    cube, *cubes = inputs.cubes(20, inputs.size or 512, 3)
    programs = {
        "one full frame, 8 backgrounds": inputs.program("stages-frame", 1, [target], sky, 1),
        "20 integrations, 3 backgrounds": inputs.program("stages-cube", 1, [cube], cubes, 1),
        "9 nods of 64 rows": inputs.nods(9),
    }
    return {title: _stages(folder, scratch) for title, folder in programs.items()}


def _stages(program: Path, output: Path) -> dict[str, Any]:
    _run(program, output, _Clock())
    taken = [_run(program, output, _Clock()) for _ in range(RUNS)]
    return {name: round(median(each[name] for each in taken), 2) for name in taken[0]}


def _run(program: Path, output: Path, clock: _Clock) -> Milliseconds:
    """Run a program once; return the stages for one of its targets, and what is left over."""
    empty(output)
    with ExitStack() as stack:
        for place, name, stage in (
            (planner, "inspect", "headers"),
            (fits, "_read_into", "read"),
            (fits, "_convert", "swap"),
            (clip, "average", "clip and combine"),
            (outline, "_parts", "headers out"),
            (outline, "write_parts", "write"),
            (whole, "_sync", "sync"),
        ):
            stack.enter_context(patch.object(place, name, clock.timed(stage, getattr(place, name))))
        stack.enter_context(
            patch.object(finish, "open_outline", clock.opened(outline.open_outline))
        )
        started = time.perf_counter()
        result = bkgflow.run(bkgflow.plan(program, output), "threads", workers=1)
        total = time.perf_counter() - started
    found: Mapping[str, float] = {
        **clock.seconds,
        REST: total - sum(clock.seconds.values()),
        "total": total,
    }
    return {name: 1000 * seconds / len(result.verdicts) for name, seconds in found.items()}
