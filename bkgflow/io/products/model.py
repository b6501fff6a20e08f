"""Products in memory: a copy of a data model, changed by the same edits as a file's pixels."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.fits.checksums import check_checksums
from bkgflow.io.models import native, open_model
from bkgflow.io.products.describe import describe, draft_combined, with_dq
from bkgflow.io.products.writer import (
    ATTRIBUTES,
    EDITED,
    NO_EXTRAS,
    Arrays,
    Changes,
    Edit,
    Prepared,
    check_arrays,
)
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.publish import Publish, PublishAnywhere
from bkgflow.record import Record
from bkgflow.verdict import Verdict

if TYPE_CHECKING:
    from stdatamodels.jwst.datamodels import JwstDataModel

__all__ = ["ModelWriter"]


@dataclass(slots=True, eq=False)
class ModelWriter:
    """Makes a data model of an exposure instead of a file.

    Attributes
    ----------
    model : JwstDataModel or None
        The exposure; it is copied. Without one, the target's file is opened.
    publish : Publish
        How a combined background becomes a file.
    result : JwstDataModel or None
        The product that was published last; its reader closes it.
    """

    summed: ClassVar[bool] = False

    model: JwstDataModel | None = None
    publish: Publish = field(default_factory=PublishAnywhere)
    result: JwstDataModel | None = field(default=None, init=False)

    def open(self, target: ExposureFacts) -> AbstractContextManager[_OpenModel]:
        """See `ProductWriter.open`."""
        return nullcontext(_OpenModel(self, target))


@dataclass(frozen=True, slots=True, eq=False)
class _OpenModel:
    """An exposure that becomes a data model when a product is made of it."""

    writer: ModelWriter
    target: ExposureFacts

    def product(
        self, changes: Changes, verdict: Verdict, to: Location, threads: int = 1
    ) -> Prepared:
        given = self.writer.model
        if given is None:
            check_checksums(self.target.location)
        model = open_model(self.target.location) if given is None else given.copy()
        try:
            _change(model, changes, self.target)
            describe(model, verdict, changes)
        except BaseException:
            model.close()
            raise
        # A bare name, as models have: nobody is to look for a file there.
        return _ModelDraft(Location(to.name), model, self.writer)

    def combined(
        self, arrays: Arrays, record: Record, to: Location, extras: Mapping[str, Edit] = NO_EXTRAS
    ) -> Prepared:
        given = self.writer.model
        with open_model(self.target.location) if given is None else nullcontext(given) as model:
            return draft_combined(self.writer.publish, model, arrays, record, to)


def _change(model: JwstDataModel, changes: Changes, target: ExposureFacts) -> None:
    if "DQ" in changes.edits:
        with_dq(model)
    # No others: to ask a model for an array that it lacks would make one.
    names = [name for name in ATTRIBUTES if name == "SCI" or name in changes.edits]
    arrays = {name: getattr(model, ATTRIBUTES[name], None) for name in names}
    there = {name: array for name, array in arrays.items() if array is not None}
    check_arrays(target, changes, {name: array.shape for name, array in there.items()})
    for name, edit in changes.edits.items():
        array = native(there[name], EDITED[name])
        for integration, plane in enumerate(array.reshape(-1, *array.shape[-2:])):
            edit(plane, integration, slice(0, len(plane)))
        setattr(model, ATTRIBUTES[name], array)


@dataclass(frozen=True, slots=True, eq=False)
class _ModelDraft:
    """A product in memory that its writer has not handed over yet."""

    location: Location
    model: JwstDataModel
    writer: ModelWriter

    def publish(self) -> Location:
        self.writer.result = self.model
        return self.location

    def discard(self) -> None:
        self.model.close()
