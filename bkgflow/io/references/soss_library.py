"""The SOSS sky library, cut to an exposure; an exposure's integrations, a few at a time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle

import numpy as np
from numpy.typing import NDArray
from stdatamodels.jwst import datamodels

from bkgflow.errors import ShapeError
from bkgflow.io.exposures.source import Source
from bkgflow.io.references.images import ASDF_MAGIC, begins_with, find_image
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.reading import understood

__all__ = ["SourceSegment", "cut_library", "read_library"]

TALL, SHORT = 256, 96
"""Rows of SUBSTRIP256, which the library is made for, and of SUBSTRIP96."""

FIRST_SHORT_ROW = 10
"""Where SUBSTRIP96 begins in SUBSTRIP256, as the reference step has it."""

COLUMNS = 2048

WHAT = "A SOSS background reference"

CURE = "Name a reference of the type BKG made for NIS_SOSS, or one image of the sky"

CHUNK = 4
"""Integrations read at a time: 16 MB of SCI and DQ at SUBSTRIP256."""


def read_library(*where: PathLike) -> NDArray[np.float32]:
    """Read a SOSS sky library: a ``SossBkgModel`` reference file, or a sky of one's own.

    One image is a library of one template, whichever HDU it is in; a numpy file will do. Several
    files are one library: their templates follow each other.

    Returns
    -------
    (n_templates, ny, 2048) float32
        In the unit of the data; ny is 256 for the library as it is delivered.

    Raises
    ------
    FileError
        If the file cannot be read, or does not say which image is the sky.
    ShapeError
        If the templates are not 2048 columns wide, or not all of one height.
    """
    parts = [_read_one(Location.of(each)) for each in where]
    if len(parts) == 1:
        return parts[0]
    for name, part in zip(where, parts, strict=True):
        if part.shape[1:] != parts[0].shape[1:]:
            raise ShapeError(
                "SOSS background references that are given together must have one shape",
                file=Location.of(name),
                value=f"{part.shape[1:]}, {Location.of(where[0]).name} {parts[0].shape[1:]}",
                cure="Give references of one subarray in override_bkg",
            )
    return np.concatenate(parts)


def _read_one(location: Location) -> NDArray[np.float32]:
    if begins_with(location, ASDF_MAGIC, WHAT):
        with (
            location.as_file(WHAT) as file,
            understood(f"{WHAT} in ASDF must open as a SossBkgModel", location, CURE),
            datamodels.SossBkgModel(str(file)) as model,
        ):
            templates = np.array(model.data, np.float32)
    else:
        templates = find_image(location, ("SCI",), WHAT, CURE).read().astype(np.float32, copy=False)
    shape = templates.shape
    if templates.ndim != 3 or not shape[0] or shape[2] != COLUMNS:
        raise ShapeError(
            f"{WHAT} must hold templates, (n, {TALL}, {COLUMNS}), or one, ({TALL}, {COLUMNS}); "
            f"{SHORT} rows serve SUBSTRIP96",
            file=location,
            value=shape[1:] if shape[0] == 1 else shape,
            cure=CURE,
        )
    return templates


def cut_library(
    library: NDArray[np.float32], shape: tuple[int, ...]
) -> tuple[NDArray[np.float32] | None, str]:
    """Cut a library to an exposure's rows.

    Parameters
    ----------
    library : (n_templates, ny, 2048) float32
        As `read_library` gives it.
    shape : (rows, columns) or (n_integrations, rows, columns)
        The exposure's.

    Returns
    -------
    (array or None, str)
        A view of the rows that the exposure has. None, and the reason to skip it, where it
        has neither 256 rows nor 96, nor as many as the library.

    Raises
    ------
    ShapeError
        If the exposure has not as many columns as the library.
    """
    rows, columns = shape[-2:]
    if columns != library.shape[2]:
        raise ShapeError(
            "A SOSS exposure must have the columns of its background reference",
            value=f"{columns}, reference {library.shape[2]}",
            cure="Give the whole subarray as the pipeline wrote it",
        )
    if rows == library.shape[1]:
        return library, ""
    if (rows, library.shape[1]) == (SHORT, TALL):
        return library[:, FIRST_SHORT_ROW : FIRST_SHORT_ROW + SHORT], ""
    return None, f"the exposure has {rows} rows, the background reference {library.shape[1]}"


@dataclass(frozen=True, slots=True)
class SourceSegment:
    """A segment's integrations, read ``at_once`` at a time, as often as asked for."""

    source: Source
    at_once: int = CHUNK

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n_integrations, ny, nx); an image is one integration."""
        return self.source.n_integrations or 1, *self.source.window.shape

    def chunks(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint32]]]:
        """Yield SCI float32 and DQ uint32, (n, ny, nx): good until the next ones are asked for.

        `FileError` if the file is gone or was cut.
        """
        n, ny, nx = self.shape
        shape = (min(n, self.at_once), ny, nx)
        # Two sets of arrays: one is read into by a thread while the other is looked at.
        sets = cycle([(np.empty(shape, np.float32), np.empty(shape, np.uint32)) for _ in range(2)])
        with self.source.reader() as reader, ThreadPoolExecutor(1) as pool:

            def read(first: int) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
                whole, flags = next(sets)
                sci, dq = whole[: n - first], flags[: n - first]
                reader.read("sci", self.source.window, sci, first)
                reader.read("dq", self.source.window, dq, first)
                return sci, dq

            coming = pool.submit(read, 0)
            for first in range(self.at_once, n + self.at_once, self.at_once):
                chunk = coming.result()
                if first < n:
                    coming = pool.submit(read, first)
                yield chunk
