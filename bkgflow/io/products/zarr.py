"""Products as zarr groups: the FITS product's arrays and all else of it, shard by shard."""

from __future__ import annotations

import gzip
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar

from bkgflow.detector import Window
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.products.describe import save_combined
from bkgflow.io.products.fits import FitsWriter, OpenFile
from bkgflow.io.products.pieces import parts_of_file, pieces_of
from bkgflow.io.products.pixels import Part
from bkgflow.io.products.said import file_called
from bkgflow.io.products.writer import EXTRA, NO_EXTRAS, Arrays, Changes, Edit, check_arrays
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.publish import Draft, Publish, PublishAnywhere, writing
from bkgflow.io.storage.reading import reading
from bkgflow.io.zarr.layout import Pixels
from bkgflow.io.zarr.writing import Extra, write_group
from bkgflow.record import Record
from bkgflow.verdict import Verdict

__all__ = ["ZarrWriter", "to_group"]


@dataclass(frozen=True, slots=True)
class ZarrWriter:
    """Makes a group of each product; `bkgflow.export_fits` makes its FITS file of it.

    Attributes
    ----------
    fits : FitsWriter
        Says what headers and tree of the FITS file are.
    """

    summed: ClassVar[bool] = True

    publish: Publish = field(default_factory=PublishAnywhere)
    fits: FitsWriter = field(default_factory=FitsWriter)

    def __dask_tokenize__(self) -> tuple[str, FitsWriter]:
        """What tells it from another writer."""
        return type(self.publish).__name__, self.fits

    def open(self, target: ExposureFacts) -> _OpenZarr:
        """See `ProductWriter.open`."""
        return _OpenZarr(target, self.publish, self.fits.open(target))


@dataclass(frozen=True, slots=True, eq=False)
class _OpenZarr:
    """A file without its pixels, of which groups are made."""

    target: ExposureFacts
    publish: Publish
    fits: OpenFile

    def __enter__(self) -> _OpenZarr:
        self.fits.__enter__()
        return self

    def __exit__(self, *problem: object) -> None:
        self.fits.__exit__(*problem)

    def product(self, changes: Changes, verdict: Verdict, to: Location, threads: int = 1) -> Draft:
        """See `OpenTarget.product`; zarr packs the chunks of a shard side by side by itself."""
        draft = self.publish.prepare(to)
        with writing(draft) as path:
            parts = self.fits.parts(changes, verdict, file_called(path.name))
            shapes = {part.name: part.source.shape for part in parts if part.source is not None}
            check_arrays(self.target, changes, shapes)
            source = self.target.location
            window = self.target.window
            _write(path, to.name, parts, source, window, changes.edits, changes.extras)
        return draft

    def combined(
        self, arrays: Arrays, record: Record, to: Location, extras: Mapping[str, Edit] = NO_EXTRAS
    ) -> Draft:
        draft = self.publish.prepare(to)
        with writing(draft) as path:
            # The data model writes a file, beside the draft's folder, and it goes with that.
            file = path.with_name(file_called(path.name))
            save_combined(file, self.fits.model().model, arrays, record)
            parts, source = parts_of_file(Location.of(file)), Location.of(file)
            _write(path, to.name, parts, source, self.target.window, {}, extras)
        return draft


def to_group(file: Location, path: Path, window: Window, *, name: str) -> None:
    """Write a FITS file as it is into a new folder, as the group of a product.

    Raises
    ------
    FileError
        If it cannot be read.
    """
    _write(path, name, parts_of_file(file), file, window, {})


def _write(
    path: Path,
    name: str,
    parts: Sequence[Part],
    source: Location,
    window: Window,
    edits: Mapping[str, Edit],
    extras: Mapping[str, Edit] = NO_EXTRAS,
) -> None:
    made = [Extra(called, EXTRA[called], partial(_filled, edit)) for called, edit in extras.items()]
    with source.open() as stream:
        write_group(path, name, pieces_of(parts, stream, name, edits), window, made)
        if isinstance(stream, gzip.GzipFile):
            with reading(stream):
                stream.seek(0, os.SEEK_END)  # a gzip file's sum is at its end


def _filled(edit: Edit, _some: slice, rows: slice, out: Pixels) -> None:
    edit(out[0], 0, rows)
