"""What the graph asks of a kind of unit: what ends a unit, and a few words for it.

A kind is one file beside this one, and one line in `bkgflow.kinds.table`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.source import Source
from bkgflow.io.products.writer import Changes, Settle, unsettled
from bkgflow.io.storage.location import Location
from bkgflow.planning.kind import PlannedKind
from bkgflow.planning.unit import References
from bkgflow.record import Found, Record
from bkgflow.settings import StepSettings
from bkgflow.verdict import State, Verdict

if TYPE_CHECKING:
    from bkgflow.methods.clip import Combined

__all__ = ["Assignment", "Change", "Kind"]


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the last task of a unit needs to know.

    Attributes
    ----------
    output, companions : Location, tuple of Location
        Of the product, and of what is written beside it.
    verdict : Verdict
        PLANNED, or SKIPPED where the headers decided it.
    record : Record
        What the product will say, as far as the plan knows it.
    members : tuple of Location
        The exposures that its shared result is made of.
    imprint : Source or None
        What is subtracted from the target first.
    imprint_state : State or None
        What its product says of that.
    keywords : tuple of (str, str)
        FITS keywords of the product that name what it is made with.
    """

    target: ExposureFacts
    output: Location
    settings: StepSettings
    verdict: Verdict
    record: Record
    companions: tuple[Location, ...] = ()
    members: tuple[Location, ...] = ()
    references: References | None = None
    imprint: Source | None = None
    imprint_state: State | None = None
    keywords: tuple[tuple[str, str], ...] = ()

    def __dask_tokenize__(self) -> str:
        """Its key says it all: dask would take every value of it apart, for every graph."""
        return self.record.key


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """How a unit ends, what becomes of its pixels, and what is written beside its product."""

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
        return cls(verdict, replace(changes or Changes(), keywords=work.keywords), combined)


class Kind(PlannedKind, Protocol):
    """How one kind of unit is planned, shared and changed."""

    verb: ClassVar[str]
    """What its shared tasks do, in their names on the dashboard."""

    noun: ClassVar[str]
    """What its units share, in a table."""

    beside: ClassVar[str] = ""
    """What it scales and subtracts beside references, in a table."""

    def foresee(self, work: Assignment) -> Change | None:
        """Return a change like the one to come, if the unit ends as most do; None if nobody knows.

        Its record fills as many cards, its edits are of the same arrays, and do nothing.
        """
        return None

    def change(self, work: Assignment, shared: Sequence[Any], settle: Settle = unsettled) -> Change:
        """Say how a unit that is to be done ends and what becomes of its pixels.

        Parameters
        ----------
        shared : sequence
            The parts of the result that it waits for, in order; empty where it waits for none.
        settle : callable
            May be told of edits and a mask before the rest is known.

        Raises
        ------
        InputError
            If an input is bad.
        """
