"""What the graph asks of a kind of unit: which tasks make what units share, and what ends a unit.

A kind is one file beside this one, and one line in `bkgflow.kinds.table`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.products.changes import Changes
from bkgflow.io.storage.location import Location
from bkgflow.methods.clip import Combined
from bkgflow.planning.kind import Facts, PlannedKind
from bkgflow.planning.unit import References, Shared
from bkgflow.record import Found, Record
from bkgflow.settings import StepSettings
from bkgflow.verdict import State, Verdict

__all__ = ["Assignment", "Change", "Kind", "Piece"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A task that computes a part of one or several shared results.

    Attributes
    ----------
    compute : callable
        Returns one part for each of the results; holds locations and numbers, no arrays.
    serves : tuple of str
        Digests of the results.
    """

    compute: Callable[[], Sequence[Any]]
    serves: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the last task of a unit needs to know.

    Attributes
    ----------
    target : ExposureFacts
        The science exposure.
    output : Location
        Of the product.
    settings : StepSettings
        The step's arguments.
    verdict : Verdict
        PLANNED, or SKIPPED where the headers decided it.
    record : Record
        What the product will say, as far as the plan knows it.
    companions : tuple of Location
        What is written beside the product.
    members : tuple of Location
        The exposures that its shared result is made of.
    references : References or None
        What a fit reads beside the exposure.
    """

    target: ExposureFacts
    output: Location
    settings: StepSettings
    verdict: Verdict
    record: Record
    companions: tuple[Location, ...] = ()
    members: tuple[Location, ...] = ()
    references: References | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """How a unit ends, what becomes of its pixels, and what else is worth keeping.

    Attributes
    ----------
    verdict : Verdict
        Its record says what was found.
    changes : Changes
        What differs between the target and its product.
    combined : Combined or None
        A combined background to be written beside the product.
    """

    verdict: Verdict
    changes: Changes
    combined: Combined | None = None

    @classmethod
    def ended(
        cls,
        work: Assignment,
        state: State,
        found: Found | None = None,
        changes: Changes | None = None,
        *,
        reason: str = "",
        combined: Combined | None = None,
    ) -> Change:
        """Return a change whose verdict says what was found."""
        verdict = Verdict(state, reason, record=replace(work.record, found=found))
        return cls(verdict, changes or Changes(), combined)


class Kind(PlannedKind, Protocol):
    """How one kind of unit is planned, shared and changed."""

    @property
    def verb(self) -> str:
        """What its shared tasks do, in their names on the dashboard."""

    @property
    def noun(self) -> str:
        """What units of this kind share, in a table."""

    @property
    def shares_backgrounds(self) -> bool:
        """Whether the members of what its units share are background exposures."""

    def pieces(
        self,
        shared: Sequence[Shared],
        facts: Facts,
        settings: StepSettings,
        memory: int,
        threads: int,
    ) -> Iterator[Piece]:
        """Cut shared results into tasks, each within a budget of bytes.

        Parameters
        ----------
        shared : sequence of Shared
            Of this kind.
        facts : mapping
            Every exposure that they are made of.
        settings : StepSettings
            The step's arguments.
        memory : int
            Bytes of pixels that a task may hold at a time.
        threads : int
            That a task may use; 1 where many tasks run side by side.
        """

    def change(self, work: Assignment, shared: Sequence[Any]) -> Change:
        """Say how a unit ends and what becomes of its pixels.

        Parameters
        ----------
        work : Assignment
            A unit that is to be done.
        shared : sequence
            The parts of the result that it waits for, in order; empty where it waits for none.

        Raises
        ------
        InputError
            If an input is bad.
        """
