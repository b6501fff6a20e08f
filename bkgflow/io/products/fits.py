"""Products as FITS files, whose pixels stream past their data model.

Headers, tables and ASDF tree are those of the target's file where they are as stdatamodels wrote
them, and else what its data model would save. The pixels go from file to file a few rows at a
time, and those that change are changed on the way.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, ClassVar

from bkgflow.errors import BkgflowError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.products.describe import draft_combined
from bkgflow.io.products.headers_from_file import (
    Written,
    as_written,
    parts_foreseen,
    parts_from_file,
)
from bkgflow.io.products.pixels import Part, There, copy_unchanged, write_parts, write_settled
from bkgflow.io.products.writer import NO_EXTRAS, Arrays, Changes, Edit, check_arrays
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.publish import Draft, Publish, PublishAnywhere, writing
from bkgflow.record import Record
from bkgflow.verdict import Verdict

if TYPE_CHECKING:
    from bkgflow.io.products.headers_from_model import EmptyModel

__all__ = ["FitsWriter", "OpenFile"]

log = logging.getLogger(__name__)

TESTED = ("6.0",)
"""Versions of stdatamodels whose files and hashes are known well enough to be changed in place."""


SWITCH = "BKGFLOW_AMEND"
"""Variable of the environment; with 0, every product is written through its data model."""


@dataclass(frozen=True, slots=True)
class FitsWriter:
    """Makes FITS files that open as what ``model.save`` would have written.

    Attributes
    ----------
    amend : bool
        Whether headers and tree are changed in place where they can be, which is much faster
        than a data model.
    version : str
        Of stdatamodels; nothing is changed in place unless it is among `TESTED`.
    """

    summed: ClassVar[bool] = True

    publish: Publish = field(default_factory=PublishAnywhere)
    amend: bool = field(default_factory=lambda: os.environ.get(SWITCH, "1") != "0")
    version: str = field(default_factory=lambda: version_of("stdatamodels"))

    def __dask_tokenize__(self) -> tuple[str, bool, str]:
        """What tells it from another writer."""
        return type(self.publish).__name__, self.amend, self.version

    def open(self, target: ExposureFacts) -> OpenFile:
        """See `ProductWriter.open`."""
        return OpenFile(target, self.publish, self.amend and _was_tested(self.version))


class OpenFile:
    """A file without its pixels: its own headers and tree, or those of its data model.

    See `OpenTarget`.

    Attributes
    ----------
    settled : callable
        Waits until all that another thread was asked to `settle` is.
    """

    def __init__(self, target: ExposureFacts, publish: Publish, amend: bool) -> None:
        self._target, self._publish, self._amend = target, publish, amend
        self._written: Written | None = None
        self._empty: EmptyModel | None = None
        self._draft: Draft | None = None
        self._parts: list[Part] = []
        self._there: There = {}
        self.settled: Callable[[], object] = lambda: None
        self._stack = ExitStack()

    def __enter__(self) -> OpenFile:
        """Look at the file's headers and tree."""
        if self._amend:
            self._written = as_written(self._target.location)
        if self._written is None:
            self.model()
        return self

    def __exit__(self, *_: object) -> None:
        """Hold nothing of it any more."""
        self.settled()
        self._forget()
        if self._draft is not None:  # nobody has asked for the product
            self._draft.discard()

    def begin(self, changes: Changes, verdict: Verdict, to: Location) -> None:
        """Begin a product that is to be `product` later: copy the arrays that will not change.

        What goes wrong here is met again, and said, where the product is made; nothing is begun
        where a folder would have to be made for it.

        Parameters
        ----------
        changes, verdict : Changes, Verdict
            Like those to come: the same arrays change, and the header says as much. A guess that
            is wrong costs the time of the copy.
        """
        written, source = self._written, self._target.location
        plain = written is not None and written.takes(changes) and source.suffix == ".fits"
        if not (plain and source.is_local and to.is_local and to.parent.is_dir()):
            return
        assert written is not None
        with suppress(BkgflowError, OSError):
            self._draft = self._publish.prepare(to)
            self._parts = parts_foreseen(written, self._draft.path.name, changes, verdict)
            self._there = copy_unchanged(self._parts, source, self._draft.path, changes.edits)

    def settle(self, changes: Changes, threads: int = 1) -> None:
        """Write edits and mask of a product that was begun: they are those of `product`.

        What goes wrong is met again there, as with `begin`. See `Settle`.
        """
        if self._draft is not None:
            path, source = self._draft.path, self._target.location
            with suppress(BkgflowError, OSError):
                there = write_settled(self._parts, source, path, changes, self._there, threads)
                self._there |= there

    def product(self, changes: Changes, verdict: Verdict, to: Location, threads: int = 1) -> Draft:
        """See `OpenTarget.product`."""
        begun = self._draft
        draft = begun or self._publish.prepare(to)
        with writing(draft) as path:
            try:
                parts = self.parts(changes, verdict, path.name)
                shapes = {part.name: part.source.shape for part in parts if part.source is not None}
                check_arrays(self._target, changes, shapes)
            finally:
                self.settled()  # another thread may write to the draft
                self._draft = None
            there = self._there if begun else None
            write_parts(parts, self._target.location, path, changes.edits, threads, there)
        return draft

    def combined(
        self, arrays: Arrays, record: Record, to: Location, extras: Mapping[str, Edit] = NO_EXTRAS
    ) -> Draft:
        """See `OpenTarget.combined`."""
        return draft_combined(self._publish, self.model().model, arrays, record, to)

    def parts(self, changes: Changes, verdict: Verdict, filename: str) -> list[Part]:
        """Return the parts of the product's FITS file, by which name ever it says it has."""
        try:
            if self._written is not None and self._written.takes(changes):
                return parts_from_file(self._written, filename, changes, verdict)
            from bkgflow.io.products.headers_from_model import parts_from_model

            return parts_from_model(self.model(), filename, changes, verdict)
        finally:
            self._forget()  # tree or model now are the product's; another product opens it again

    def model(self) -> EmptyModel:
        """Return the target as its data model, without pixels."""
        if self._empty is None:
            from bkgflow.io.products.headers_from_model import open_empty

            self._empty = self._stack.enter_context(open_empty(self._target.location))
        return self._empty

    def _forget(self) -> None:
        self._written = self._empty = None
        self._stack.close()


@cache
def _was_tested(version: str) -> bool:
    """Whether a version of stdatamodels is known; the log says once that it is not."""
    tested = ".".join(version.split(".")[:2]) in TESTED
    if not tested:
        log.warning(
            "stdatamodels %s: headers are changed in place only with %s; products are written "
            "through their data models, which takes longer",
            version,
            ", ".join(TESTED),
        )
    return tested
