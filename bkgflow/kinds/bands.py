"""Which combined backgrounds are computed together, and the task that does it, band by band.

A *family* draws on the same exposures: the sets of a nod pattern, or a single set that many
targets share. One task computes a band of rows for all of it, in strips that fit the memory budget.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.open_many import opened
from bkgflow.io.exposures.source import Layer, Reader, Source, read_window
from bkgflow.io.products.writer import Plane
from bkgflow.io.storage.location import Location
from bkgflow.methods.clip import Combined, collapse, combine
from bkgflow.planning.unit import Shared
from bkgflow.rules import ClipRule

__all__ = [
    "OUTPUT_BYTES_PER_PIXEL",
    "Band",
    "Family",
    "band_rows",
    "bytes_per_pixel",
    "combine_band",
    "families",
    "join",
]

CACHE_BYTES = 8 << 20
"""Bytes of a strip that stay in a core's share of the last cache between read and clip."""

SHORTEST_READ = 256 << 10
"""Bytes of one array of one exposure: below, the calls cost as much as the reads."""

OUTPUT_BYTES_PER_PIXEL = 14
"""SCI, ERR (float32), DQ (uint32) and the count (uint16) of a combined background."""

BAND_PIXELS = 1 << 20
"""Most pixels of a band: few enough that a full frame keeps several workers busy."""

BAND_VALUES = 1 << 23
"""Values that go into a band, all exposures and integrations: enough that its task is worth
tens of milliseconds."""

MOST_BANDS = 8
"""Beyond, deep stacks would only make the graph larger."""

FAMILY_BYTES = 2 << 30
"""Most bytes of combined backgrounds that one family may leave in memory."""


@dataclass(frozen=True, slots=True)
class Family:
    """Combined backgrounds of one window that draw on the same exposures, each listed once."""

    window: Window
    members: tuple[Location, ...]
    backgrounds: tuple[Shared, ...]

    @property
    def sets(self) -> list[tuple[int, ...]]:
        """For each background, the positions of its members in the family's."""
        position = {member: i for i, member in enumerate(self.members)}
        return [tuple(position[member] for member in b.members) for b in self.backgrounds]


def families(backgrounds: Iterable[Shared]) -> Iterator[Family]:
    """Group backgrounds of one window that share exposures.

    Two sets belong together if they share an exposure, directly or through others. A group
    whose results would fill more than 2 GiB is cut, in order; an exposure at the cut is then
    read once for each side.
    """
    by_window: dict[Window, list[Shared]] = defaultdict(list)
    for background in backgrounds:
        by_window[background.window].append(background)
    for window, group in by_window.items():
        most = max(1, FAMILY_BYTES // (window.nx * window.ny * OUTPUT_BYTES_PER_PIXEL))
        for connected in _connected(group):
            for start in range(0, len(connected), most):
                part = tuple(connected[start : start + most])
                members = dict.fromkeys(member for b in part for member in b.members)
                yield Family(window, tuple(members), part)


def _connected(backgrounds: Sequence[Shared]) -> list[list[Shared]]:
    """Split into groups that share no exposure with each other."""
    root = list(range(len(backgrounds)))

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    first_user: dict[Location, int] = {}
    for i, background in enumerate(backgrounds):
        for member in background.members:
            a, b = sorted((find(first_user.setdefault(member, i)), find(i)))
            root[b] = a
    groups: dict[int, list[Shared]] = defaultdict(list)
    for i, background in enumerate(backgrounds):
        groups[find(i)].append(background)
    return list(groups.values())


def band_rows(window: Window, exposures: Iterable[ExposureFacts]) -> int:
    """Return how many rows of a window make one task.

    Bands are of one height: as few as keep a task's work near its bounds, and an even number,
    so that two workers, or four, are done at the same time.
    """
    values = sum(facts.n_integrations or 1 for facts in exposures)
    pixels = window.nx * window.ny
    wanted = max(BAND_VALUES // values, pixels // MOST_BANDS)
    bands = -(-pixels // min(BAND_PIXELS, wanted))
    if bands > 1:
        bands = 2 * round(bands / 2)
    return -(-window.ny // bands)


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """A band of rows of a combined background.

    Attributes
    ----------
    pixels : Combined
        In the unit of the backgrounds; err has no rows where nobody asked for it.
    unused : tuple of str
        Exposures that had no valid pixel here.
    """

    window: Window
    pixels: Combined
    unused: tuple[str, ...]


def bytes_per_pixel(*, errors: bool) -> int:
    """Return the bytes of one pixel of one exposure: SCI, ERR (float32) and DQ (uint32)."""
    return 12 if errors else 8


def _strip_rows(
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
        The exposures; each strip of them is read once.
    sets : sequence of sequence of int
        For each combined background, which of the sources it is made of.
    budget : int
        Bytes that the strips of all sources may hold.
    errors : bool
        Whether ERR is wanted; without it a third less is read.
    """
    outputs = [_empty(band.shape, errors=errors) for _ in sets]
    valid = np.zeros(len(sources), bool)
    strips = band.bands(_strip_rows(sources, band.nx, budget, errors=errors))
    buffers = _Buffers(["sci", "err", "dq"] if errors else ["sci", "dq"])
    with opened(sources) as readers:
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
