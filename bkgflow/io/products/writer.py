"""The boundary to products: where they are written, and how, is the writer's affair alone."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.products.changes import Arrays, Changes
from bkgflow.io.storage.location import Location
from bkgflow.record import Record
from bkgflow.verdict import Verdict

__all__ = ["OpenTarget", "Prepared", "ProductWriter"]


class Prepared(Protocol):
    """A product that is whole, but not at its location yet; a `Draft` is one.

    It holds nothing of the exposure that it was made of.
    """

    @property
    def location(self) -> Location:
        """Where it is to appear."""

    def publish(self) -> Location:
        """Make it appear; return where."""

    def discard(self) -> None:
        """Leave nothing behind. What was published stays."""


class OpenTarget(Protocol):
    """An exposure of which products are made."""

    def product(
        self, changes: Changes, verdict: Verdict, to: Location, threads: int = 1
    ) -> Prepared:
        """Prepare the exposure, changed and described, for a location.

        Parameters
        ----------
        verdict : Verdict
            What the product says of itself.
        threads : int
            So many arrays are written at a time.

        Raises
        ------
        FileError
            If the exposure cannot be read on, or lacks an array that is to be changed.
        OutputError
            If nothing can be written there.
        """

    def combined(self, arrays: Arrays, record: Record, to: Location) -> Prepared:
        """Prepare a combined background, with the metadata of the exposure that it is for.

        The record says what it was made of.

        Raises
        ------
        OutputError
            If nothing can be written there.
        """


class ProductWriter(Protocol):
    """Makes products of exposures."""

    def open(self, target: ExposureFacts) -> AbstractContextManager[OpenTarget]:
        """Open an exposure.

        Raises
        ------
        FileError
            If nothing can be made of it.
        """
