"""Products in memory: a copy of a data model, changed by the same edits as a file's pixels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stdatamodels.jwst.datamodels import JwstDataModel

from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.models import native, open_model
from bkgflow.io.products.changes import EDITED, Changes, check_arrays, edit_planes
from bkgflow.io.products.describe import describe, draft_combined, set_background
from bkgflow.io.products.writer import Prepared
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.publish import LocalPublish, Publish
from bkgflow.record import Record
from bkgflow.verdict import Verdict

__all__ = ["ModelWriter"]

ATTRIBUTES = {"SCI": "data", "ERR": "err", "DQ": "dq"}
"""What a data model calls the arrays of `EDITED`."""


@dataclass(slots=True, eq=False)
class ModelWriter:
    """Makes a data model of an exposure instead of a file.

    Attributes
    ----------
    model : JwstDataModel or None
        The exposure; it is copied. Without one, the target's file is opened.
    publish : Publish
        How a combined background becomes a file: it has no other place.
    result : JwstDataModel or None
        The product that was published last; its reader closes it.
    """

    model: JwstDataModel | None = None
    publish: Publish = field(default_factory=LocalPublish)
    result: JwstDataModel | None = field(default=None, init=False)

    @contextmanager
    def open(self, target: ExposureFacts) -> Iterator[_OpenModel]:
        """See `ProductWriter.open`."""
        yield _OpenModel(self, target)


@dataclass(frozen=True, slots=True, eq=False)
class _OpenModel:
    """An exposure that becomes a data model when a product is made of it."""

    writer: ModelWriter
    target: ExposureFacts

    def product(
        self, changes: Changes, verdict: Verdict, to: Location, threads: int = 1
    ) -> Prepared:
        model = self._copy()
        try:
            _change(model, changes, self.target)
            describe(model, verdict)
        except BaseException:
            model.close()
            raise
        return _ModelDraft(to, model, self.writer)

    def combined(
        self,
        sci: NDArray[np.float32],
        err: NDArray[np.float32],
        dq: NDArray[np.uint32],
        record: Record,
        to: Location,
    ) -> Prepared:
        if self.writer.model is not None:
            return draft_combined(self.writer.publish, self.writer.model, sci, err, dq, record, to)
        with open_model(self.target.location) as model:
            return draft_combined(self.writer.publish, model, sci, err, dq, record, to)

    def _copy(self) -> JwstDataModel:
        model = self.writer.model
        return open_model(self.target.location) if model is None else model.copy()


def _change(model: Any, changes: Changes, target: ExposureFacts) -> None:
    arrays = {name: getattr(model, attribute, None) for name, attribute in ATTRIBUTES.items()}
    there = {name: array for name, array in arrays.items() if array is not None}
    check_arrays(target, changes, {name: array.shape for name, array in there.items()})
    for name, edit in changes.edits.items():
        array = native(there[name], EDITED[name])
        edit_planes(array, edit)
        setattr(model, ATTRIBUTES[name], array)
    set_background(model, changes)


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
