"""What a whole exposure looks like, or a few rows of it, before any background is combined."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import DO_NOT_USE, Window
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.source import Reader, Source, read_window
from bkgflow.io.storage.location import Location
from bkgflow.kinds.imprints import without_imprint

__all__ = ["Look", "Mask", "look_at", "look_at_rows"]

STRIP_BYTES = 32 << 20
"""Of SCI and DQ that are read at a time, with all integrations of a cube."""

Image = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Look:
    """An exposure that is looked at, and what is subtracted from it first.

    Attributes
    ----------
    instrument : str
        INSTRUME.
    imprint : Source or None
        See `bkgflow.kinds.imprints`.
    """

    location: Location
    source: Source
    instrument: str
    imprint: Source | None = None

    @classmethod
    def of(cls, exposure: ExposureFacts, imprint: ExposureFacts | None = None) -> Look:
        """Take from the facts what a task needs."""
        leakage = None if imprint is None else imprint.source
        return cls(exposure.location, exposure.source, exposure.instrument, leakage)


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """The masked pixels of an exposure, eight in a byte: 512 KiB for a full frame.

    Attributes
    ----------
    window : Window
        Of the exposure.
    bits : (ny, ⌈nx / 8⌉) uint8
        Rows of bits, the first one the highest; 1 where a pixel is masked.
    """

    window: Window
    bits: NDArray[np.uint8]

    @classmethod
    def of(cls, window: Window, masked: NDArray[np.bool_]) -> Mask:
        """Pack (ny, nx) bool."""
        return cls(window, np.packbits(masked, axis=1))

    def over(self, window: Window) -> NDArray[np.bool_]:
        """Return which pixels of a window are masked: (ny, nx), False beyond the exposure."""
        out = np.zeros(window.shape, bool)
        if (held := self.window.overlap(window)) is not None:
            rows, columns = held.slices_in(self.window)
            part = np.unpackbits(self.bits[rows], axis=1, count=self.window.nx)
            out[held.slices_in(window)] = part[:, columns]
        return out


def look_at(look: Look) -> Image:
    """Return the image of an exposure, of a cube the mean of its integrations: (ny, nx).

    Pixels that are DO_NOT_USE, infinite or NaN do not count; where nothing does, NaN.
    """
    window = look.source.window
    per_row = 8 * window.nx * (look.source.n_integrations or 1)
    strips = window.bands(max(1, STRIP_BYTES // per_row))
    with ExitStack() as stack:
        readers = _opened(look, stack)
        return np.concatenate([_read(look, readers, strip) for strip in strips])


def look_at_rows(look: Look, rows: Sequence[int], window: Window) -> Image:
    """Return some detector rows of a window, as `look_at`: (rows, nx); NaN beyond the exposure."""
    out = np.full((len(rows), window.nx), np.nan, np.float32)
    with ExitStack() as stack:
        readers = _opened(look, stack)
        for line, y in zip(out, rows, strict=True):
            line[...] = _read(look, readers, Window(window.x0, y, window.nx, 1))[0]
    return out


Readers = tuple[Reader, Reader | None]


def _opened(look: Look, stack: ExitStack) -> Readers:
    reader = stack.enter_context(look.source.reader())
    return reader, None if look.imprint is None else stack.enter_context(look.imprint.reader())


def _read(look: Look, readers: Readers, window: Window) -> Image:
    source, imprint = look.source, look.imprint
    depth = () if source.n_integrations is None else (source.n_integrations,)
    sci, dq = _layers(source, readers[0], window, depth)
    if imprint is not None and readers[1] is not None:
        n = imprint.n_integrations
        first = _layers(imprint, readers[1], window, () if n is None else (n,))
        without_imprint(sci, first[0], "sci")
        without_imprint(dq, first[1], "dq")
    good = np.isfinite(sci) & (dq & np.uint32(DO_NOT_USE) == 0)
    if not depth:
        return np.where(good, sci, np.float32(np.nan))
    number = good.sum(axis=0)
    total = np.where(good, sci, 0).sum(axis=0, dtype=np.float64)
    nothing = np.full(total.shape, np.nan)
    np.divide(total, number, out=nothing, where=number > 0)
    return nothing.astype(np.float32)


def _layers(
    source: Source, reader: Reader, window: Window, depth: tuple[int, ...]
) -> tuple[Image, NDArray[np.uint32]]:
    sci = np.empty((*depth, *window.shape), np.float32)
    dq = np.empty(sci.shape, np.uint32)
    read_window(source, reader, "sci", window, sci)
    read_window(source, reader, "dq", window, dq)
    return sci, dq
