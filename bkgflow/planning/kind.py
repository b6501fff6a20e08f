"""What the planner asks of a kind of unit. `bkgflow.kinds` has the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol

from bkgflow.errors import BkgflowError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.references.folder import ReferenceFolder
from bkgflow.io.references.masking import Masking
from bkgflow.io.storage.location import Location
from bkgflow.planning.unit import References, Shared
from bkgflow.settings import StepSettings
from bkgflow.verdict import State, Verdict

__all__ = [
    "Facts",
    "Piece",
    "PlannedKind",
    "PlannedKinds",
    "Prelude",
    "Prepared",
    "Request",
]

Facts = Mapping[Location, ExposureFacts]
"""Every exposure of a plan, by where it lies."""


@dataclass(frozen=True, slots=True)
class Request:
    """A target, and what an association or a call gives beside it.

    References are looked for in the folder; without one, in CRDS. An imprint that cannot be used
    is there as its error: it stops those alone who need it. No file may lie outside of ``confine``.
    """

    target: ExposureFacts
    backgrounds: tuple[ExposureFacts, ...] = ()
    catalogs: tuple[Location, ...] = ()
    folder: ReferenceFolder | None = None
    imprints: tuple[ExposureFacts | BkgflowError, ...] = ()
    confine: Location | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A target, and what its headers and members decide.

    Attributes
    ----------
    verdict : Verdict
        PLANNED, or SKIPPED with the reason.
    used : tuple of ExposureFacts
        The backgrounds that are used, each once.
    references : References or None
        What a fit reads beside the exposure.
    shared : Shared or None
        The result that it waits for.
    notes : tuple of str
        What a user should know about how the members are used.
    mismatches : tuple of str
        In what backgrounds differ from the target because it was allowed.
    imprint : ExposureFacts or None
        What is subtracted from the target first.
    imprint_state : State or None
        COMPLETE or SKIPPED: what the product says of its imprint; None where it says nothing new.
    imprints : mapping
        What is subtracted first from backgrounds that are used, by where these lie.
    keywords : tuple of (str, str)
        FITS keywords of the product that name what it is made with, beside the references.
    masking : Masking or None
        By what sources are masked in the backgrounds.
    """

    target: ExposureFacts
    verdict: Verdict
    used: tuple[ExposureFacts, ...] = ()
    references: References | None = None
    shared: Shared | None = None
    notes: tuple[str, ...] = ()
    mismatches: tuple[str, ...] = ()
    imprint: ExposureFacts | None = None
    imprint_state: State | None = None
    imprints: Facts = field(default_factory=dict)
    keywords: tuple[tuple[str, str], ...] = ()
    masking: Masking | None = None

    def noting(self, *notes: str) -> Prepared:
        """Return the same with more notes."""
        return replace(self, notes=(*self.notes, *notes))


@dataclass(frozen=True, slots=True, eq=False)
class Prelude:
    """A task whose result several pieces of a family take, such as the mask of an exposure.

    It is told from others by being itself: the pieces of a family hold the same ones.

    Attributes
    ----------
    verb : str
        What it does, in its name on the dashboard.
    compute : callable
        Takes the results of ``takes``, in order; holds locations and numbers, no arrays.
    takes : tuple of Prelude
        What comes before it.
    read, held : int
        As of a `Piece`.
    """

    verb: str
    compute: Callable[..., object]
    takes: tuple[Prelude, ...] = ()
    read: int = 0
    held: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """A task that computes a part of one or several shared results.

    Attributes
    ----------
    compute : callable
        Returns one part for each of the results, and takes those of ``takes``, in order; holds
        locations and numbers, no arrays.
    serves : tuple of str
        Digests of the results.
    read, held : int
        Bytes that it reads from exposures, and the most that it holds; 0 where they are few.
    takes : tuple of Prelude
        What is computed before it, once for all pieces that take it.
    """

    compute: Callable[..., Sequence[object]]
    serves: tuple[str, ...]
    read: int = 0
    held: int = 0
    takes: tuple[Prelude, ...] = ()


class PlannedKind(Protocol):
    """How one kind of unit is decided, shared and priced: all from headers.

    Kinds are subclasses. The answers that stand here are those of a kind that shares nothing.
    """

    name: ClassVar[str]
    """The word for it in plans."""

    version: ClassVar[int]
    """Of the method; raised when its numbers change, so that old results are not reused."""

    arguments: ClassVar[tuple[str, ...]]
    """Names of the step's arguments that it looks at."""

    def __dask_tokenize__(self) -> str:
        """Its name says it all."""
        return f"{self.name} {self.version}"

    reads: ClassVar[frozenset[str]] = frozenset()
    """Member types of associations that it reads, beside science and background."""

    shares_backgrounds: ClassVar[bool] = False
    """Whether the members of what its units share are background exposures."""

    names: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Member types that a product names, each with its FITS keyword; one is named only where those
    before it are there."""

    def wants(self, member: str, target: ExposureFacts, settings: StepSettings) -> bool:
        """Whether it reads members of a type for a target."""
        return member in self.reads

    def prepare(self, request: Request, settings: StepSettings) -> Prepared:
        """Decide what is done to a target.

        Raises
        ------
        InputError
            If a member or a reference is bad.
        """

    def share(self, prepared: Sequence[Prepared], settings: StepSettings) -> list[Prepared]:
        """Return targets that are to be done, each with what it shares with the others."""
        return list(prepared)

    def notes(
        self, shared: Sequence[Shared], facts: Facts, settings: StepSettings
    ) -> tuple[str, ...]:
        """Return what a user should know about all shared results of this kind together."""
        return ()

    def companions(self, prepared: Prepared, settings: StepSettings) -> tuple[str, ...]:
        """Return the file names of what is written beside a product."""
        return ()

    def pieces(
        self,
        shared: Sequence[Shared],
        facts: Facts,
        settings: StepSettings,
        memory: int,
        threads: int = 1,
    ) -> Iterator[Piece]:
        """Cut shared results of this kind into tasks.

        Parameters
        ----------
        facts : mapping
            Every exposure that they are made of.
        memory : int
            Bytes of pixels that a task may hold at a time.
        threads : int
            That a task may use; 1 where many tasks run side by side.
        """
        return iter(())

    def held(self, target: ExposureFacts, settings: StepSettings) -> int:
        """Return the bytes that the last task of a unit holds."""


class PlannedKinds(Protocol):
    """All kinds."""

    def of(self, exp_type: str, override_bkg: object = None) -> PlannedKind:
        """Return the kind for an exposure type (EXP_TYPE, in capitals), and for what the argument
        ``override_bkg`` is."""

    def named(self, name: str) -> PlannedKind:
        """Return the kind with a name."""
