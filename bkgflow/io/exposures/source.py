"""Where the pixels of a background come from: a file, or arrays in memory.

Both obey one Protocol, so that what is computed from them is written once. A source is what
a graph carries: a path, a window and byte offsets, never an open file. `Source.reader` opens it
where the task runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.fits.hdus import ByteRange
from bkgflow.io.fits.planes import plane, read_rows
from bkgflow.io.storage.location import Location

__all__ = ["ArraySource", "FileSource", "Layer", "Reader", "Source", "read_part"]

Layer = Literal["sci", "err", "dq"]

Pixels = NDArray[np.generic]


class Reader(Protocol):
    """An open source."""

    def read(self, layer: Layer, part: Window, out: Pixels) -> None:
        """Fill ``out`` (ny, nx) or (n_integrations, ny, nx) with a part of the window."""


class Source(Protocol):
    """One exposure's SCI, ERR and DQ, wherever they are."""

    @property
    def name(self) -> str:
        """How messages call it."""

    @property
    def window(self) -> Window:
        """Its place on the detector."""

    @property
    def n_integrations(self) -> int | None:
        """Integrations of a cube; None for an image."""

    def reader(self) -> AbstractContextManager[Reader]:
        """Open it."""


@dataclass(frozen=True, slots=True)
class FileSource:
    """An exposure in a FITS file, found by byte offsets."""

    path: str
    window: Window
    n_integrations: int | None
    sci: ByteRange
    err: ByteRange
    dq: ByteRange

    @classmethod
    def of(cls, facts: ExposureFacts) -> FileSource:
        """Keep of an exposure's facts what reading its pixels needs."""
        return cls(facts.path, facts.window, facts.n_integrations, facts.sci, facts.err, facts.dq)

    @property
    def name(self) -> str:
        """The path."""
        return self.path

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """Open the file."""
        with Location.of(self.path).open() as stream:
            yield _FileReader(self, stream)


@dataclass(frozen=True, slots=True)
class _FileReader:
    source: FileSource
    stream: BinaryIO

    def read(self, layer: Layer, part: Window, out: Pixels) -> None:
        place: ByteRange = getattr(self.source, layer)
        rows, columns = part.slices_in(self.source.window)
        local = Window(columns.start, rows.start, part.nx, part.ny)
        if self.source.n_integrations is None:
            read_rows(self.stream, place, local, out)
            return
        for integration in range(self.source.n_integrations):
            read_rows(self.stream, plane(place, integration), local, out[integration])


@dataclass(frozen=True, slots=True, eq=False)
class ArraySource:
    """An exposure in memory: (ny, nx) or (n_integrations, ny, nx) arrays of any byte order."""

    name: str
    window: Window
    sci: Pixels
    err: Pixels
    dq: Pixels

    @property
    def n_integrations(self) -> int | None:
        """Length of the first axis of a cube; None for an image."""
        return self.sci.shape[0] if self.sci.ndim == 3 else None

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """Nothing to open."""
        yield _ArrayReader(self)


@dataclass(frozen=True, slots=True)
class _ArrayReader:
    source: ArraySource

    def read(self, layer: Layer, part: Window, out: Pixels) -> None:
        array: Pixels = getattr(self.source, layer)
        np.copyto(out, array[(..., *part.slices_in(self.source.window))], casting="unsafe")


def read_part(
    source: Source, reader: Reader, layer: Layer, part: Window, out: Pixels
) -> Window | None:
    """Fill ``out`` with what a source holds of a part of the detector.

    Where the source holds nothing, SCI and ERR become NaN and DQ 0: clipping ignores them.

    Parameters
    ----------
    source, reader : Source, Reader
        The source and its open reader.
    layer : "sci", "err" or "dq"
        Which array.
    part : Window
        Detector pixels wanted.
    out : (part.ny, part.nx) or (n_integrations, part.ny, part.nx)
        Filled in place.

    Returns
    -------
    Window or None
        The pixels that the source holds.
    """
    held = source.window.overlap(part)
    if held != part:
        out[...] = 0 if layer == "dq" else np.nan
    if held is not None:
        reader.read(layer, held, out[(..., *held.slices_in(part))])
    return held
