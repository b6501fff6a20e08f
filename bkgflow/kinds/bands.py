"""The task that computes combined backgrounds, band by band.

One task computes a band of rows for a whole family (`bkgflow.kinds.families`), in strips that fit
the memory budget.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bkgflow.detector import Window
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.open_many import opened
from bkgflow.io.exposures.source import Expecting, Layer, Reader, Source, read_window
from bkgflow.io.products.writer import Plane
from bkgflow.kinds.adjust import Adjusted, Adjustments
from bkgflow.kinds.buffers import Buffers
from bkgflow.kinds.imprints import without_imprint
from bkgflow.methods.clip import Combined, Packed, collapse, combine
from bkgflow.methods.levels import Levels, LevelsOfRows
from bkgflow.rules import StackRule
from bkgflow.scratch import Scratch
from bkgflow.verdict import Verdict

__all__ = [
    "Band",
    "Imprint",
    "Sources",
    "band_rows",
    "bytes_per_pixel",
    "combine_band",
    "join",
]

CACHE_BYTES = 8 << 20
"""Bytes of a strip that stay in a core's share of the last cache between read and clip."""

SHORTEST_READ = 256 << 10
"""Bytes of one array of one exposure: below, the calls cost as much as the reads."""

SUBTRACTED: tuple[Layer, ...] = ("sci", "dq")
"""What of an imprint is subtracted, or joined."""

Layers = dict[Layer, Plane]
"""Rows of an exposure's arrays."""

BAND_PIXELS = 1 << 20
"""Most pixels of a band: few enough that a full frame keeps several workers busy."""

BAND_VALUES = 1 << 23
"""Values that go into a band, all exposures and integrations of all sets: enough that its task is
worth tens of milliseconds."""

MOST_BANDS = 8
"""Beyond, deep stacks would only make the graph larger."""

MOST_OF_FAMILIES = 4
"""The same where one task serves several sets: each of them has a task more for every band."""


def band_rows(
    window: Window, exposures: Sequence[ExposureFacts], sets: Sequence[Sequence[int]]
) -> int:
    """Return how many rows of a window make one task, for sets of some exposures each.

    Bands are of one height: as few as keep a task's work near its bounds, and an even number,
    so that two workers, or four, are done at the same time.
    """
    depths = [facts.n_integrations or 1 for facts in exposures]
    values = sum(depths[i] for members in sets for i in members)
    pixels = window.nx * window.ny
    most = MOST_BANDS if len(sets) == 1 else MOST_OF_FAMILIES
    wanted = max(BAND_VALUES // values, pixels // most)
    bands = -(-pixels // min(BAND_PIXELS, wanted))
    if bands > 1:
        bands = 2 * round(bands / 2)
    return -(-window.ny // bands)


NOT_ADJUSTED = Adjusted()


class Sources(tuple[Source, ...]):
    """The exposures of a family, which are pickled once for all of its bands."""

    def __reduce__(self) -> tuple[Callable[[bytes], tuple[Source, ...]], tuple[bytes]]:
        """Return what makes a tuple of them again."""
        return pickle.loads, (self._pickled,)

    @cached_property
    def _pickled(self) -> bytes:
        return pickle.dumps(tuple(self))


@dataclass(frozen=True, slots=True)
class Imprint:
    """An imprint, and which of a family's sources it is subtracted from."""

    source: Source
    users: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """A band of rows of a combined background.

    Attributes
    ----------
    packed : Packed
        In the unit of the backgrounds; err has no rows where nobody asked for it.
    members : tuple of str
        The exposures that it is made of.
    levels : Levels
        How bright each of them is here.
    adjusted : Adjusted
        What was masked in them, and what was done to their levels.
    """

    window: Window
    packed: Packed
    members: tuple[str, ...]
    levels: Levels
    adjusted: Adjusted = NOT_ADJUSTED

    @property
    def pixels(self) -> Combined:
        """All of its pixels."""
        return self.packed.whole()


def bytes_per_pixel(*, errors: bool) -> int:
    """Return the bytes of one pixel of one exposure: SCI, ERR (float32) and DQ (uint32)."""
    return 12 if errors else 8


def _strip_rows(
    sources: Sequence[Source],
    n_columns: int,
    budget: int,
    *,
    errors: bool = True,
    imprints: Sequence[Imprint] = (),
) -> int:
    """Return how many rows of all the sources make a strip (at least one).

    A strip fits the budget, and the cache where that does not make its reads too short.
    Images hold 12 bytes a pixel, 8 without ERR. A cube is read with all its integrations at
    once, one exposure after the other, and leaves its means behind, twice as wide but for DQ.
    Imprints are held one after the other, without ERR.
    """
    deepest = max(source.n_integrations or 0 for source in sources)
    single = bytes_per_pixel(errors=errors)
    per_column = len(sources) * single
    if deepest:
        per_column = deepest * single + len(sources) * (2 * single - 4)
    if imprints:
        per_column += 8 * max(imprint.source.n_integrations or 1 for imprint in imprints)
    per_row = per_column * n_columns
    wanted = max(CACHE_BYTES // per_row, SHORTEST_READ // (4 * n_columns))
    return max(1, min(budget // per_row, wanted))


def combine_band(
    sources: Sequence[Source],
    sets: Sequence[Sequence[int]],
    band: Window,
    *,
    rule: StackRule,
    budget: int,
    errors: bool = True,
    imprints: Sequence[Imprint] = (),
    exptime: Sequence[float] | None = None,
    adjust: Adjustments | None = None,
) -> list[Band | Verdict]:
    """Combine a band of rows for every set of a family; or say why a set cannot be combined.

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
    imprints : sequence of Imprint
        What is subtracted from some of the sources first; each strip of them is read once, too.
    exptime : sequence of float, optional
        How long each of the sources was: for a rule that asks for it.
    adjust : Adjustments, optional
        What is done to the strips before they are combined.
    """
    adjust = adjust or Adjustments(band)
    outputs = [Packed.empty(band.shape, len(members), errors=errors) for members in sets]
    levels = LevelsOfRows(len(sources), band.shape)
    rows = _strip_rows(sources, band.nx, budget, errors=errors, imprints=imprints)
    strips = band.bands(rows)
    cubes = any(source.n_integrations is not None for source in sources)
    at_last = rule.of_means if cubes else rule
    every = [*sources, *(imprint.source for imprint in imprints)]
    with Scratch() as scratch, opened(every) as readers:
        buffers = Buffers(["sci", "err", "dq"] if errors else ["sci", "dq"], scratch)
        shared = list(zip(imprints, readers[len(sources) :], strict=True))
        expecting = [each for each in readers if isinstance(each, Expecting)]
        for each in expecting:
            each.expect(buffers.layers, band)
        for strip in strips:
            sci, err, dq = _read_strip(sources, readers, strip, rule, buffers, shared)
            adjust.hide(sci, sources, strip)
            levels.look(sci)
            at, _ = strip.slices_in(band)
            flags, counts = buffers.take_output(strip.shape)
            for number, (output, members) in enumerate(zip(outputs, sets, strict=True)):
                part = Combined(output.sci[at], output.err[at], flags, counts)
                own = adjust.levelled(number, members, sci, err, strip)
                combine(*own, dq, at_last, members=members, out=part, exptime=exptime)
                output.dq.add(flags)
                output.n_used.add(counts)
    found = levels.levels()
    parts = list[Band | Verdict]()
    for number, (output, members) in enumerate(zip(outputs, sets, strict=True)):
        if (refused := adjust.refused(number)) is not None:
            parts.append(Verdict.stopped_by(refused))
            continue
        names, done = tuple(sources[i].name for i in members), adjust.of(number, members)
        parts.append(Band(band, output, names, found.of(members), done))
    return parts


def join(bands: Sequence[Band]) -> Combined:
    """Put the bands of a combined background together, first row first."""
    ordered = [band.pixels for band in sorted(bands, key=lambda band: band.window.y0)]
    layers = ("sci", "err", "dq", "n_used")
    return Combined(*(np.concatenate([getattr(each, n) for each in ordered]) for n in layers))


def _read_strip(
    sources: Sequence[Source],
    readers: Sequence[Reader],
    strip: Window,
    rule: StackRule,
    buffers: Buffers,
    imprints: Sequence[tuple[Imprint, Reader]] = (),
) -> tuple[Plane, Plane | None, Plane]:
    """Read SCI, ERR where it is wanted, and DQ of a strip of all exposures, without imprints.

    A cube is collapsed to its clipped mean on the way. The means of cubes stay float64, so that
    the second clip decides as if it had the truth.
    """
    cubes = any(source.n_integrations is not None for source in sources)
    shape = (len(sources), *strip.shape)
    stack = buffers.take("stack", shape, np.float64 if cubes else np.float32)
    for i, imprint in _in_order(len(sources), imprints, strip, buffers):
        source, reader = sources[i], readers[i]
        if source.n_integrations is None:
            image = {layer: array[i] for layer, array in stack.items()}
            _read_exposure(source, reader, strip, image, imprint)
            if cubes and rule.bad_bits:  # as is done to the others before their means
                image["sci"][image["dq"] & np.uint32(rule.bad_bits) != 0] = np.nan
            continue
        cube = buffers.take("cube", (source.n_integrations or 1, *strip.shape), np.float32)
        _read_exposure(source, reader, strip, cube, imprint)
        mean = collapse(cube["sci"], cube.get("err"), cube["dq"], rule)
        for layer, array in stack.items():
            array[i] = getattr(mean, layer)
    return stack["sci"], stack.get("err"), stack["dq"]


def _in_order(
    number: int,
    imprints: Sequence[tuple[Imprint, Reader]],
    strip: Window,
    buffers: Buffers,
) -> Iterator[tuple[int, Layers]]:
    """Yield every exposure once, with its imprint: those that share one follow each other."""
    left = dict.fromkeys(range(number))
    for imprint, reader in imprints:
        depth = imprint.source.n_integrations
        shape = strip.shape if depth in (None, 1) else (depth or 1, *strip.shape)
        taken = buffers.take("imprint", shape, np.float32)
        held: Layers = {layer: taken[layer] for layer in SUBTRACTED}
        for layer, array in held.items():
            read_window(imprint.source, reader, layer, strip, array)
        for i in imprint.users:
            del left[i]
            yield i, held
    yield from ((i, {}) for i in left)


def _read_exposure(
    source: Source, reader: Reader, strip: Window, arrays: Layers, imprint: Layers
) -> None:
    """Fill the arrays with a strip of an exposure, without its imprint if it has one."""
    for layer, array in arrays.items():
        read_window(source, reader, layer, strip, array)
    for layer, array in imprint.items():
        without_imprint(arrays[layer], array, layer)
