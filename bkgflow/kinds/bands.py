"""The task that computes combined backgrounds, band by band.

One task computes a band of rows for a whole family (`bkgflow.kinds.families`), in strips that fit
the memory budget.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bkgflow.detector import Window
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.open_many import opened
from bkgflow.io.exposures.source import Expecting, Source
from bkgflow.kinds.adjust import Adjusted, Adjustments
from bkgflow.kinds.buffers import Buffers
from bkgflow.kinds.strips import Imprint, read_strip, strip_rows
from bkgflow.methods.clip import Combined, Packed, combine
from bkgflow.methods.levels import Levels, LevelsOfRows
from bkgflow.rules import StackRule
from bkgflow.scratch import Scratch
from bkgflow.verdict import Verdict

__all__ = [
    "Band",
    "Sources",
    "band_rows",
    "combine_band",
    "join",
]

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
    cubes = any(source.n_integrations is not None for source in sources)
    at_last = rule.of_means if cubes else rule
    # Flags that only join need not wait in memory for the others: half of what would be held.
    joined = at_last.usual and len(sets) == 1 and set(sets[0]) == set(range(len(sources)))
    rows = strip_rows(sources, band.nx, budget, errors=errors, imprints=imprints, joined=joined)
    strips = band.bands(rows)
    every = [*sources, *(imprint.source for imprint in imprints)]
    with Scratch() as scratch, opened(every) as readers:
        buffers = Buffers(["sci", "err", "dq"] if errors else ["sci", "dq"], scratch)
        shared = list(zip(imprints, readers[len(sources) :], strict=True))
        expecting = [each for each in readers if isinstance(each, Expecting)]
        for each in expecting:
            each.expect(buffers.layers, band)
        for strip in strips:
            sci, err, dq = read_strip(
                sources, readers, strip, rule, buffers, shared, joined=joined, hide=adjust.hide
            )
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
