"""What the planner asks of a kind of unit. `bkgflow.kinds` has the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.references.folder import ReferenceFolder
from bkgflow.io.storage.location import Location
from bkgflow.planning.unit import References, Shared
from bkgflow.settings import StepSettings
from bkgflow.verdict import Verdict

__all__ = ["Facts", "Members", "PlannedKind", "PlannedKinds", "Prepared", "SharedCost", "Sharing"]

Facts = Mapping[Location, ExposureFacts]
"""Every exposure of a plan, by where it lies."""


@dataclass(frozen=True, slots=True)
class Members:
    """What an association, or a call, gives beside the target.

    Attributes
    ----------
    backgrounds : tuple of ExposureFacts
        The background exposures.
    catalogs : tuple of Location
        The source catalogs.
    """

    backgrounds: tuple[ExposureFacts, ...] = ()
    catalogs: tuple[Location, ...] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A target, and what its headers and members decide.

    Attributes
    ----------
    target : ExposureFacts
        The exposure.
    verdict : Verdict
        PLANNED, or SKIPPED with the reason.
    used : tuple of ExposureFacts
        The backgrounds that are used, each once.
    references : References or None
        What a fit reads beside the exposure.
    notes : tuple of str
        What a user should know about how the members are used.
    """

    target: ExposureFacts
    verdict: Verdict
    used: tuple[ExposureFacts, ...] = ()
    references: References | None = None
    notes: tuple[str, ...] = ()

    def noting(self, *notes: str) -> Prepared:
        """Return the same with more notes."""
        return replace(self, notes=(*self.notes, *notes))


@dataclass(frozen=True, slots=True)
class Sharing:
    """What a unit shares with others, and what a user should know about that."""

    shared: Shared | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SharedCost:
    """What shared results cost: bytes read, and the most that one of their tasks holds."""

    read: int = 0
    held: int = 0


class PlannedKind(Protocol):
    """How one kind of unit is decided, shared and priced: all from headers."""

    @property
    def name(self) -> str:
        """The word for it in plans."""

    @property
    def version(self) -> int:
        """Of the method; raised when its numbers change, so that old results are not reused."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """Names of the step's arguments that it looks at."""

    @property
    def reads(self) -> frozenset[str]:
        """Member types of associations that it reads, beside science and background."""

    def prepare(
        self,
        target: ExposureFacts,
        members: Members,
        settings: StepSettings,
        references: ReferenceFolder | None,
    ) -> Prepared:
        """Decide what is done to a target.

        Raises
        ------
        InputError
            If a member or a reference is bad.
        """

    def share(self, prepared: Sequence[Prepared], settings: StepSettings) -> list[Sharing]:
        """Say for each target that is to be done what it shares with the others."""

    def companions(self, prepared: Prepared, settings: StepSettings) -> tuple[str, ...]:
        """Return the file names of what is written beside a product."""

    def shared_cost(
        self, shared: Sequence[Shared], facts: Facts, settings: StepSettings, memory: int
    ) -> SharedCost:
        """Say what shared results cost within a budget of bytes."""

    def held(self, target: ExposureFacts) -> int:
        """Return the bytes that the last task of a unit holds."""


class PlannedKinds(Protocol):
    """All kinds."""

    def of(self, exp_type: str) -> PlannedKind:
        """Return the kind for an exposure type (EXP_TYPE, in capitals)."""

    def named(self, name: str) -> PlannedKind:
        """Return the kind with a name."""
