"""What the time of a run is made of, in one thread of one process.

A sampler looks every half millisecond at what the other threads do, and the time since the last
look goes to the stage of the innermost frame that belongs to one. A stage is a room of bkgflow
(`STAGES`), so no function is named here, wrapped or slowed; a stage within another counts for
itself.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from types import FrameType
from typing import Any

import bkgflow
from benchmarks.files import empty
from benchmarks.inputs import Inputs

__all__ = ["REST", "ROOT", "STAGES", "breakdown"]

ROOT = Path(bkgflow.__file__).parent

STAGES: Mapping[str, tuple[str, ...]] = {
    "headers and planning": ("io/exposures", "io/fits/cards.py", "planning"),
    "read and swap": ("io/fits",),
    "clip and combine": ("methods",),
    "headers out": ("io/products",),
    "write": ("io/products/pixels.py", "io/products/sending.py"),
    "sync and publish": ("io/storage",),
}
"""The rooms and files of bkgflow that make a stage; the longest path that fits decides."""

REST = "dask and the rest"

RUNS = 5

PERIOD = 5e-4
"""Seconds between two looks."""

Milliseconds = dict[str, float]


class Sampler:
    """Adds up the time of each stage."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys([*STAGES, REST], 0.0)
        self._stages: dict[str, str | None] = {}
        self._rooms = sorted(
            ((str(ROOT / room), stage) for stage, rooms in STAGES.items() for room in rooms),
            key=lambda pair: -len(pair[0]),
        )

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Sample while something runs."""
        done = threading.Event()
        thread = threading.Thread(target=self._sample, args=(done,), daemon=True)
        interval = sys.getswitchinterval()
        sys.setswitchinterval(PERIOD / 5)  # else a look waits for Python code to let it in
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            sys.setswitchinterval(interval)

    def _sample(self, done: threading.Event) -> None:
        own, before = threading.get_ident(), time.perf_counter()
        while not done.wait(PERIOD):
            frames = [frame for key, frame in sys._current_frames().items() if key != own]
            found = (self._stage(frame) for frame in frames)
            stage = next((stage for stage in found if stage), REST)
            now = time.perf_counter()
            self.seconds[stage] += now - before
            before = now

    def _stage(self, frame: FrameType | None) -> str | None:
        """Return the stage of the innermost frame that has one."""
        while frame is not None:
            name = frame.f_code.co_filename
            if name not in self._stages:
                self._stages[name] = self._room(name)
            stage = self._stages[name]
            if stage is not None:
                return stage
            frame = frame.f_back
        return None

    def _room(self, file: str) -> str | None:
        return next((stage for room, stage in self._rooms if file.startswith(room)), None)


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
    _run(program, output)
    taken = [_run(program, output) for _ in range(RUNS)]
    return {name: round(median(each[name] for each in taken), 2) for name in taken[0]}


def _run(program: Path, output: Path) -> Milliseconds:
    """Run a program once; return the stages for one of its targets."""
    empty(output)
    sampler = Sampler()
    with sampler.watch():
        started = time.perf_counter()
        result = bkgflow.run(bkgflow.plan(program, output), "threads", workers=1)
        total = time.perf_counter() - started
    found = {**sampler.seconds, "total": total}
    return {name: 1000 * seconds / len(result.verdicts) for name, seconds in found.items()}
