"""JWST exposures for xarray: ``xr.open_dataset(…, engine="bkgflow")``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import xarray as xr
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.core import indexing

from bkgflow.detector import Window
from bkgflow.explore import accessor

if TYPE_CHECKING:
    from bkgflow.io.exposures.facts import ExposureFacts
    from bkgflow.io.exposures.source import Layer, Pixels, Source

__all__ = ["BkgflowBackend"]

ENDINGS = (".fits", ".fits.gz")

Given = Any
"""What xarray hands over: of its types nothing is promised."""

Key = tuple[Given, ...]

accessor.register()


class BkgflowBackend(BackendEntrypoint):
    """Opens exposures and products of JWST: lazy by rows, DQ uint32, with detector coordinates.

    Any image or cube with SCI will do, also one that lies on no detector, such as a mosaic; its
    coordinates then count the pixels of the array.
    """

    description: ClassVar[str] = "JWST exposures: SCI, ERR and DQ, lazy by rows"
    open_dataset_parameters: ClassVar[tuple[str, ...]] = (
        "filename_or_obj",
        "drop_variables",
        "memory",
    )

    def open_dataset(
        self,
        filename_or_obj: Given,
        *,
        drop_variables: str | Iterable[str] | None = None,
        memory: int | None = None,
    ) -> xr.Dataset:
        """Open one exposure; see `bkgflow.open_exposure` for what comes back.

        Parameters
        ----------
        filename_or_obj : path or URL
            Of a FITS file.
        drop_variables : str or list of str, optional
            Variables that are not wanted.
        memory : int, optional
            Bytes of a row band, which is a chunk with ``chunks={}``.

        Returns
        -------
        Dataset
            Lazily indexed arrays: what is selected is read when it is used.

        Raises
        ------
        InputError
            If the file is missing, or is no exposure.
        UsageError
            If it is not named by a path or a URL.
        """
        from bkgflow.explore.exposure import attributes, depth_of, layers_of
        from bkgflow.explore.lazy import (
            DEFAULT_CHUNK,
            DTYPES,
            about,
            detector_axes,
            rows_of_a_band,
            with_units,
        )

        facts, placed = _inspect(filename_or_obj)
        dropped = {drop_variables} if isinstance(drop_variables, str) else set(drop_variables or ())
        depth = depth_of(facts)
        rows = rows_of_a_band(facts.window, depth, memory or DEFAULT_CHUNK)
        chunks = {**depth, "y": rows, "x": facts.window.nx}
        variables = {}
        for layer in layers_of(facts):
            lazy = _Lazy(facts.source, layer, facts.shape, np.dtype[np.generic](DTYPES[layer]))
            data = indexing.LazilyIndexedArray(lazy)
            encoding = {"preferred_chunks": chunks, "source": str(facts.location)}
            variables[layer] = xr.Variable((*depth, "y", "x"), data, encoding=encoding)
        axes = detector_axes(facts.window, "detector " if placed else "")
        data_set = xr.Dataset(variables, {**axes, **about([facts])}, attributes(facts))
        return with_units(data_set, facts.bunit).drop_vars(dropped, errors="ignore")

    def guess_can_open(self, filename_or_obj: Given) -> bool:
        """Whether this is surely an exposure of JWST: by its name first, then by its headers."""
        from bkgflow.errors import BkgflowError
        from bkgflow.io.fits.hdus import walk
        from bkgflow.io.storage.location import Location

        if not isinstance(filename_or_obj, str | os.PathLike):
            return False
        if not os.fspath(filename_or_obj).lower().endswith(ENDINGS):
            return False
        try:
            hdus = walk(Location.of(filename_or_obj))
            primary = hdus["PRIMARY"].header
            jwst = str(primary.get("TELESCOP", "")).strip().upper() == "JWST"
            science = "SCI" in hdus and len(hdus["SCI"].data.shape) in (2, 3)
            return jwst and science and bool(primary.get("EXP_TYPE"))
        except (BkgflowError, OSError, ImportError):
            return False


def _inspect(given: Given) -> tuple[ExposureFacts, bool]:
    """Return what headers say, and whether they say where the array lies on its detector."""
    from bkgflow.errors import ShapeError, UsageError, WindowError
    from bkgflow.io.exposures.from_fits import inspect

    if not isinstance(given, str | os.PathLike):
        raise UsageError(
            "An exposure must be given by its path or its URL",
            value=repr(given)[:200],
            cure="Give the path: the rows that are wanted are read from there",
        )
    try:
        return inspect(given), True
    except (ShapeError, WindowError):
        return inspect(given, anywhere=True), False


class _Lazy(BackendArray):
    """An array of an exposure that reads the rows that are asked for."""

    def __init__(
        self, source: Source, layer: Layer, shape: tuple[int, ...], dtype: np.dtype[np.generic]
    ) -> None:
        self.source, self.layer, self.shape, self.dtype = source, layer, shape, dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Given:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key: Key) -> Pixels:
        """Read the smallest block that holds what an outer index wants, and take it out."""
        spans, inside = [], []
        for one, length in zip(key, self.shape, strict=True):
            first, stop, within = _span(one, length)
            spans.append((first, stop))
            inside.append(within)
        (y, y1), (x, x1) = spans[-2:]
        depth = [last - first for first, last in spans[:-2]]
        out = np.empty((*depth, y1 - y, x1 - x), self.dtype)
        if out.size:
            frame = self.source.window
            window = Window(frame.x0 + x, frame.y0 + y, x1 - x, y1 - y)
            with self.source.reader() as reader:
                reader.read(self.layer, window, out, spans[0][0] if depth else 0)
        for axis, within in reversed(list(enumerate(inside))):  # an axis that goes is a later one
            out = out[(slice(None),) * axis + (within,)]
        return np.asarray(out)


def _span(key: Given, length: int) -> tuple[int, int, int | slice | Pixels]:
    """Return first and last + 1 of what one index of a key wants, and where it is therein."""
    if isinstance(key, np.ndarray) and key.ndim:
        places = np.where(key < 0, key + length, key)
        first, stop = (int(places.min()), int(places.max()) + 1) if places.size else (0, 0)
        return first, stop, places - first
    if not isinstance(key, slice):
        place = int(key) + (length if key < 0 else 0)
        return place, place + 1, 0
    wanted = range(length)[key]
    if not wanted:
        return 0, 0, slice(0, 0)
    first, last = min(wanted[0], wanted[-1]), max(wanted[0], wanted[-1])
    step = wanted.step
    return first, last + 1, slice(None, None, step)
