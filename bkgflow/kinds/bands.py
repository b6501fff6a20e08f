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

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.io.exposures.source import Layer, Reader, Source, read_window
from bkgflow.io.products.changes import Plane
from bkgflow.methods.clip import Combined, collapse, combine
from bkgflow.rules import ClipRule

__all__ = ["Band", "bytes_per_pixel", "combine_band", "join", "strip_rows"]

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
        sci (ny, nx) float32 in the unit of the backgrounds; dq uint32; n_used uint16; err
        float32, without rows where nobody asked for it.
    unused : tuple of str
        Exposures that had no valid pixel here.
    """

    window: Window
    pixels: Combined
    unused: tuple[str, ...]


def bytes_per_pixel(*, errors: bool) -> int:
    """Return the bytes of one pixel of one exposure: SCI, ERR (float32) and DQ (uint32)."""
    return 12 if errors else 8


def strip_rows(
    sources: Sequence[Source], n_columns: int, budget: int, *, errors: bool = True
) -> int:
    """Return how many rows of all the sources make a strip (at least one).

    A strip fits the budget, and the cache where that does not make its reads too short.
    Images hold 12 bytes a pixel, 8 without ERR. A cube is read with all its integrations at
    once, one exposure after the other, and leaves its means behind, twice as wide but for DQ.
    """
    deepest = max(source.n_integrations or 0 for source in sources)
    single = bytes_per_pixel(errors=errors)
    per_column = len(sources) * single
    if deepest:
        per_column = deepest * single + len(sources) * (2 * single - 4)
    per_row = per_column * n_columns
    wanted = max(CACHE_BYTES // per_row, SHORTEST_READ // (4 * n_columns))
    return max(1, min(budget // per_row, wanted))


def combine_band(
    sources: Sequence[Source],
    sets: Sequence[Sequence[int]],
    band: Window,
    *,
    rule: ClipRule,
    budget: int,
    errors: bool = True,
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
    budget : int
        Bytes that the strips of all sources may hold.
    errors : bool
        Whether ERR is wanted; without it a third less is read.

    Returns
    -------
    list of Band
        One for each set.
    """
    outputs = [_empty(band.shape, errors=errors) for _ in sets]
    valid = np.zeros(len(sources), bool)
    strips = band.bands(strip_rows(sources, band.nx, budget, errors=errors))
    layers: list[Layer] = ["sci", "err", "dq"] if errors else ["sci", "dq"]
    buffers = _Buffers(layers)
    with ExitStack() as stack:
        readers = [stack.enter_context(source.reader()) for source in sources]
        for strip in strips:
            sci, err, dq = _read_strip(sources, readers, strip, rule, buffers)
            valid |= _any_finite(sci)
            rows, _ = strip.slices_in(band)
            for output, members in zip(outputs, sets, strict=True):
                combine(sci, err, dq, rule, members=members, out=output.rows(rows))
    return [
        Band(band, output, tuple(sources[i].name for i in members if not valid[i]))
        for output, members in zip(outputs, sets, strict=True)
    ]


def join(bands: Sequence[Band]) -> Combined:
    """Put the bands of a combined background together, first row first."""
    ordered = [band.pixels for band in sorted(bands, key=lambda band: band.window.y0)]
    layers = ("sci", "err", "dq", "n_used")
    return Combined(*(np.concatenate([getattr(each, n) for each in ordered]) for n in layers))


class _Buffers:
    """Memory for one strip after the other: new pages cost more than what is done with them."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers
        self._held: dict[str, Plane] = {}

    def take(
        self, name: str, shape: tuple[int, ...], real: type[np.floating]
    ) -> dict[Layer, Plane]:
        """Return arrays for the time of one strip; they hold what was there before."""
        size, taken = math.prod(shape), dict[Layer, Plane]()
        for layer in self._layers:
            held = self._held.get(key := f"{name} {layer}")
            if held is None or held.size < size:
                held = self._held[key] = np.empty(size, np.uint32 if layer == "dq" else real)
            taken[layer] = held[:size].reshape(shape)
        return taken


def _empty(shape: tuple[int, int], *, errors: bool) -> Combined:
    return Combined(
        np.empty(shape, np.float32),
        np.empty(shape if errors else (0, shape[1]), np.float32),
        np.empty(shape, np.uint32),
        np.empty(shape, np.uint16),
    )


def _read_strip(
    sources: Sequence[Source],
    readers: Sequence[Reader],
    strip: Window,
    rule: ClipRule,
    buffers: _Buffers,
) -> tuple[Plane, Plane | None, Plane]:
    """Read SCI, ERR where it is wanted, and DQ of a strip of all exposures.

    A cube is collapsed to its clipped mean on the way. The means of cubes stay float64, so that
    the second clip decides as if it had the truth.
    """
    cubes = any(source.n_integrations is not None for source in sources)
    shape = (len(sources), *strip.shape)
    stack = buffers.take("stack", shape, np.float64 if cubes else np.float32)
    for i, (source, reader) in enumerate(zip(sources, readers, strict=True)):
        if source.n_integrations is None:
            for layer, array in stack.items():
                read_window(source, reader, layer, strip, array[i])
            continue
        cube = buffers.take("cube", (source.n_integrations or 1, *strip.shape), np.float32)
        for layer, array in cube.items():
            read_window(source, reader, layer, strip, array)
        mean = collapse(cube["sci"], cube.get("err"), cube["dq"], rule)
        for layer, array in stack.items():
            array[i] = getattr(mean, layer)
    return stack["sci"], stack.get("err"), stack["dq"]


def _any_finite(sci: NDArray[np.floating]) -> NDArray[np.bool_]:
    """For each exposure, whether any pixel is finite; a sparse look is mostly enough."""
    sparse = np.isfinite(sci[:, ::16, ::16]).any(axis=(1, 2))
    for i in np.flatnonzero(~sparse):
        sparse[i] = np.isfinite(sci[i]).any()
    return np.asarray(sparse, bool)
