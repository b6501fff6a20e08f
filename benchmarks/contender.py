"""What a contender is: something that is set up once and then run again and again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Checkout", "Contender", "ContenderError", "Sample", "Work"]


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


@dataclass(frozen=True, slots=True)
class Checkout:
    """A contender that another checkout of bkgflow brings along.

    Attributes
    ----------
    tree : Path
        The checkout: its modules, and none of this one's, are what the process imports.
    script : Path
        A file that is run in the process; it serves the ``pipe`` that it finds as a global.
    given : mapping
        Further globals of the script, of types that both checkouts know.
    """

    tree: Path
    script: Path
    given: Mapping[str, Any]


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
