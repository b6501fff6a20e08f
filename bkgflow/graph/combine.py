"""The task that turns background exposures into combined backgrounds, band by band.

A *family* is a group of combined backgrounds that draw on the same exposures: the sets of a
nod pattern, or a single set that many targets share. One task computes a band of rows for a
whole family. It walks the band in strips that fit the memory budget, reads each exposure's
strip once, and combines it for every set of the family.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.io.sources import Reader, Source, read_part
from bkgflow.methods.clip import Combined, collapse, combine

__all__ = ["BYTES_PER_PIXEL", "Band", "combine_band", "strip_rows"]

BYTES_PER_PIXEL = 12
"""SCI and ERR (float32) and DQ (uint32) of one pixel of one exposure."""

COLLAPSED_BYTES = 20
"""Mean and its ERR (float64) and DQ (uint32) of one pixel of a collapsed exposure."""


CACHE_BYTES = 8 << 20
"""Bytes of a strip that stay in a core's share of the last cache between read and clip."""

SHORTEST_READ = 256 << 10
"""Bytes of one array of one exposure: below, the calls cost as much as the reads."""


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """A band of rows of a combined background.

    Attributes
    ----------
    window : Window
        The detector pixels it covers.
    pixels : Combined
        sci, err (ny, nx) float32 in the unit of the backgrounds; dq uint32; n_used uint16.
    unused : tuple of str
        Exposures that had no valid pixel here.
    """

    window: Window
    pixels: Combined
    unused: tuple[str, ...]


def strip_rows(sources: Sequence[Source], n_columns: int, budget: int) -> int:
    """Return how many rows of all the sources make a strip (at least one).

    A strip fits the budget, and the cache where that does not make its reads too short.
    Images hold 12 bytes a pixel. A cube is read with all its integrations at once, one
    exposure after the other, and leaves 20 bytes a pixel behind.
    """
    deepest = max(source.n_integrations or 0 for source in sources)
    if deepest:
        per_column = deepest * BYTES_PER_PIXEL + len(sources) * COLLAPSED_BYTES
    else:
        per_column = len(sources) * BYTES_PER_PIXEL
    per_row = per_column * n_columns
    wanted = max(CACHE_BYTES // per_row, SHORTEST_READ // (4 * n_columns))
    return max(1, min(budget // per_row, wanted))


def combine_band(
    sources: Sequence[Source],
    sets: Sequence[Sequence[int]],
    band: Window,
    *,
    sigma: float,
    maxiters: int | None,
    budget: int,
) -> list[Band]:
    """Combine a band of rows for every set of a family.

    Parameters
    ----------
    sources : sequence of Source
        The exposures, each read once.
    sets : sequence of sequence of int
        For each combined background, which of the sources it is made of.
    band : Window
        Detector pixels wanted.
    sigma, maxiters
        The clip.
    budget : int
        Bytes that the strips of all sources may hold.

    Returns
    -------
    list of Band
        One for each set.
    """
    outputs = [_empty(band.shape) for _ in sets]
    valid = np.zeros(len(sources), bool)
    strips = band.bands(strip_rows(sources, band.nx, budget))
    buffers = _Buffers()
    with ExitStack() as stack:
        readers = [stack.enter_context(source.reader()) for source in sources]
        for strip in strips:
            sci, err, dq = _read_strip(sources, readers, strip, sigma, maxiters, buffers)
            valid |= _any_finite(sci)
            rows, _ = strip.slices_in(band)
            for output, members in zip(outputs, sets, strict=True):
                combine(
                    sci,
                    err,
                    dq,
                    sigma=sigma,
                    maxiters=maxiters,
                    members=members,
                    out=output.rows(rows),
                )
    return [
        Band(band, output, tuple(sources[i].name for i in members if not valid[i]))
        for output, members in zip(outputs, sets, strict=True)
    ]


class _Buffers:
    """Memory for one strip after the other: new pages cost more than what is done with them."""

    def __init__(self) -> None:
        self._held: dict[str, NDArray[Any]] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any]:
        """Return an array for the time of one strip; what it holds is what was there before."""
        size = math.prod(shape)
        held = self._held.get(name)
        if held is None or held.size < size:
            held = self._held[name] = np.empty(size, dtype)
        return held[:size].reshape(shape)


def _empty(shape: tuple[int, int]) -> Combined:
    return Combined(
        np.empty(shape, np.float32),
        np.empty(shape, np.float32),
        np.empty(shape, np.uint32),
        np.empty(shape, np.uint16),
    )


def _read_strip(
    sources: Sequence[Source],
    readers: Sequence[Reader],
    strip: Window,
    sigma: float,
    maxiters: int | None,
    buffers: _Buffers,
) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.uint32]]:
    """Read a strip of all exposures; a cube is collapsed to its clipped mean on the way.

    The means of cubes stay float64, so that the second clip decides as if it had the truth.
    """
    shape = (len(sources), *strip.shape)
    cubes = any(source.n_integrations is not None for source in sources)
    kind = np.float64 if cubes else np.float32
    sci, err = buffers.take("sci", shape, kind), buffers.take("err", shape, kind)
    dq = buffers.take("dq", shape, np.uint32)
    for i, (source, reader) in enumerate(zip(sources, readers, strict=True)):
        if source.n_integrations is None:
            read_part(source, reader, "sci", strip, sci[i])
            read_part(source, reader, "err", strip, err[i])
            read_part(source, reader, "dq", strip, dq[i])
        else:
            mean = _collapse(source, reader, strip, sigma, maxiters, buffers)
            sci[i], err[i], dq[i] = mean
    return sci, err, dq


def _collapse(
    source: Source,
    reader: Reader,
    strip: Window,
    sigma: float,
    maxiters: int | None,
    buffers: _Buffers,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.uint32]]:
    shape = (source.n_integrations or 1, *strip.shape)
    sci = buffers.take("cube sci", shape, np.float32)
    err = buffers.take("cube err", shape, np.float32)
    dq = buffers.take("cube dq", shape, np.uint32)
    read_part(source, reader, "sci", strip, sci)
    read_part(source, reader, "err", strip, err)
    read_part(source, reader, "dq", strip, dq)
    mean = collapse(sci, err, dq, sigma=sigma, maxiters=maxiters)
    return mean.sci, mean.err, mean.dq


def _any_finite(sci: NDArray[np.floating]) -> NDArray[np.bool_]:
    """For each exposure, whether any pixel is finite; a sparse look is mostly enough."""
    sparse = np.isfinite(sci[:, ::16, ::16]).any(axis=(1, 2))
    for i in np.flatnonzero(~sparse):
        sparse[i] = np.isfinite(sci[i]).any()
    return np.asarray(sparse, bool)
