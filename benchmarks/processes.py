"""Contenders in processes of their own.

A contender is a function that gives, as a context, the `Work` to be timed. It runs in a fresh
(spawned) process: set up, warmed up once, then run when its turn comes. One that is done within
`SHORT` seconds runs twice at each turn, and the second time counts: while the others had their
turns it has rested for longer than it works, and a virtual machine takes memory that rests for
seconds back, and gives it again page by page. In a program one unit follows the other.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from runpy import run_path

from benchmarks.contender import Checkout, Contender, ContenderError, Sample, Work
from benchmarks.memory import Watch

__all__ = ["SHORT", "Child", "child", "serve"]

PATIENCE = 600.0
"""Seconds that one run may take before it counts as hung."""

SHORT = 3.0
"""Seconds of a run below which it is done twice."""

UNWANTED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""What a machine may have set for its linear algebra; neither side gets it."""

WANTED = {"STPIPE_DISABLE_CRDS_STEPPARS": "true"}
"""Without it the reference step asks a server for its arguments."""


class Child:
    """The parent's end of a contender's process."""

    def __init__(self, name: str, pipe: Connection) -> None:
        self.name = name
        self.pipe = pipe

    def run(self) -> Sample:
        """Let it run once."""
        self.pipe.send("run")
        answer = self.answer()
        assert isinstance(answer, Sample)
        return answer

    def answer(self) -> Sample | str:
        """Wait for what it says."""
        try:
            if not self.pipe.poll(PATIENCE):
                raise ContenderError(f"{self.name}: no answer in {PATIENCE:.0f} s")
            answer: Sample | str | Exception = self.pipe.recv()
        except EOFError:
            raise ContenderError(f"{self.name}: its process ended") from None
        if isinstance(answer, Exception):
            raise ContenderError(f"{self.name}: {answer}")
        return answer


@contextmanager
def child(name: str, contender: Contender | Checkout) -> Iterator[Child]:
    """Start a contender's process, wait until it is warm, end it afterwards."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    if isinstance(contender, Checkout):
        given = {**contender.given, "pipe": theirs}
        process = context.Process(target=run_path, args=(str(contender.script), given), name=name)
    else:
        process = context.Process(target=serve, args=(theirs, contender), name=name)
    with _environment(contender.tree if isinstance(contender, Checkout) else None):
        process.start()
    theirs.close()
    try:
        started = Child(name, ours)
        started.answer()
        yield started
    finally:
        ours.close()  # tells it to end
        process.join(30)
        if process.is_alive():
            process.terminate()
            process.join()


@contextmanager
def _environment(tree: Path | None) -> Iterator[None]:
    """Set what children inherit, with a checkout first on the path, and put the old back."""
    before, path = dict(os.environ), list(sys.path)
    for name in UNWANTED:
        os.environ.pop(name, None)
    os.environ.update(WANTED)
    if tree is not None:
        # A spawned process gets its parent's path as it is now; its own children read PYTHONPATH.
        own = {"", str(Path.cwd()), str(Path(__file__).parents[1])}
        sys.path[:] = [str(tree), *(each for each in path if each not in own)]
        os.environ["PYTHONPATH"] = str(tree)
    try:
        yield
    finally:
        sys.path[:] = path
        os.environ.clear()
        os.environ.update(before)


def serve(pipe: Connection, contender: Contender) -> None:
    """Live as a contender: set up, warm up, then run whenever told to."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    try:
        with contender() as work:
            (work.warm_up or (lambda: _once(work)))()
            pipe.send("warm")
            while _told(pipe):
                sample = _once(work)
                pipe.send(_once(work) if sample.seconds < SHORT else sample)
    except (Exception, SystemExit):  # the reference step may want to leave altogether
        pipe.send(ContenderError(traceback.format_exc()))


def _told(pipe: Connection) -> bool:
    try:
        pipe.recv()
    except EOFError:
        return False
    return True


def _once(work: Work) -> Sample:
    work.prepare()
    os.sync()  # what another contender left unwritten is not this one's to wait for
    watch = Watch()
    started = time.perf_counter()
    work.run()
    seconds = time.perf_counter() - started
    peak = watch.peak()
    numbers = work.after()
    return Sample(seconds, peak.total, peak.largest, peak.increase, numbers)
