"""Contenders in processes of their own, run in turns, and what their samples say.

A contender is a function that gives, as a context, the `Work` to be timed. It runs in a fresh
(spawned) process: set up, warmed up once, then run when its turn comes. Turns alternate, so
that whatever else the machine does falls on all sides alike, and ratios are taken between the
runs of one turn.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import statistics
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from benchmarks.memory import Watch

__all__ = ["Contender", "ContenderError", "Sample", "Spread", "Work", "ratios", "run_in_turns"]

PATIENCE = 600.0
"""Seconds that one run may take before it counts as hung."""

UNWANTED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""What a machine may have set for its linear algebra; neither side gets it."""

WANTED = {"STPIPE_DISABLE_CRDS_STEPPARS": "true"}
"""Without it the reference step asks a server for its arguments."""


def nothing() -> None:
    """Do nothing."""


def no_numbers() -> dict[str, float]:
    """Measure nothing."""
    return {}


@dataclass(frozen=True, slots=True)
class Work:
    """What a contender does.

    Attributes
    ----------
    run : callable
        The part that is timed.
    prepare : callable
        Done before each run, not timed; clears old products away.
    after : callable
        Done after each run, not timed; checks it and returns further numbers by name.
    warm_up : callable, optional
        Done once at first; by default all three of the above.
    """

    run: Callable[[], object]
    prepare: Callable[[], object] = nothing
    after: Callable[[], dict[str, float]] = no_numbers
    warm_up: Callable[[], object] | None = None


Contender = Callable[[], AbstractContextManager[Work]]
"""Module-level function, or a `functools.partial` of one, so that it can be sent to a process."""

Note = Callable[[str], None]


class ContenderError(RuntimeError):
    """A contender failed; the message is its traceback."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run.

    Attributes
    ----------
    seconds : float
        Wall time.
    peak : int
        Bytes of memory at the most, of all its processes (each one's own peak, added up).
    peak_one : int
        Bytes of the largest process.
    increase : int
        Bytes by which ``peak`` exceeds what was held before the run.
    numbers : dict
        What `Work.after` measured.
    """

    seconds: float
    peak: int
    peak_one: int
    increase: int
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and most of several runs."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise."""
        return cls(statistics.median(values), min(values), max(values))

    def to_dict(self, digits: int = 4) -> dict[str, float]:
        """Return plain numbers, for JSON."""
        return {
            "median": round(self.median, digits),
            "min": round(self.least, digits),
            "max": round(self.most, digits),
        }


def ratios(above: Sequence[Sample], below: Sequence[Sample]) -> Spread:
    """Return the ratio of the times of two contenders, taken turn by turn."""
    return Spread.of([a.seconds / b.seconds for a, b in zip(above, below, strict=True)])


def run_in_turns(
    contenders: Mapping[str, Contender], runs: int, note: Note
) -> dict[str, list[Sample]]:
    """Start all contenders, then let each run once in every turn.

    Raises
    ------
    ContenderError
        If one fails, or hangs.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in contenders}
    with ExitStack() as stack:
        children = {}
        for name, contender in contenders.items():
            note(f"starting {name}")
            children[name] = stack.enter_context(_child(name, contender))
        for turn in range(1, runs + 1):
            for name, child in children.items():
                samples[name].append(child.run())
            last = ", ".join(f"{name} {taken[-1].seconds:.3f} s" for name, taken in samples.items())
            note(f"run {turn} of {runs}: {last}")
    return samples


class _Child:
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
def _child(name: str, contender: Contender) -> Iterator[_Child]:
    """Start a contender's process, wait until it is warm, end it afterwards."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, contender), name=name)
    with _environment():
        process.start()
    theirs.close()
    try:
        child = _Child(name, ours)
        child.answer()
        yield child
    finally:
        ours.close()  # tells it to end
        process.join(30)
        if process.is_alive():
            process.terminate()
            process.join()


@contextmanager
def _environment() -> Iterator[None]:
    """Set the environment that children inherit, and put the old one back."""
    before = dict(os.environ)
    for name in UNWANTED:
        os.environ.pop(name, None)
    os.environ.update(WANTED)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _serve(pipe: Connection, contender: Contender) -> None:
    """Live as a contender: set up, warm up, then run whenever told to."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    try:
        with contender() as work:
            (work.warm_up or (lambda: _once(work)))()
            pipe.send("warm")
            while _told(pipe):
                pipe.send(_once(work))
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
