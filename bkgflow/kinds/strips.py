"""A strip of rows of all the exposures that make a band: how high it is, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bkgflow.detector import Window
from bkgflow.io.exposures.source import Layer, Reader, Source, read_window
from bkgflow.io.products.writer import Plane
from bkgflow.kinds.buffers import Buffers
from bkgflow.kinds.imprints import without_imprint
from bkgflow.methods.clip import collapse
from bkgflow.rules import StackRule

__all__ = ["Imprint", "bytes_per_pixel", "read_strip", "strip_rows"]

CACHE_BYTES = 8 << 20
"""Bytes of a strip that stay in a core's share of the last cache between read and clip."""

SHORTEST_READ = 256 << 10
"""Bytes of one array of one exposure: below, the calls cost as much as the reads."""

SUBTRACTED: tuple[Layer, ...] = ("sci", "dq")
"""What of an imprint is subtracted, or joined."""

Layers = dict[Layer, Plane]
"""Rows of an exposure's arrays."""

Hide = Callable[[int, Source, Plane, Window], object]
"""Makes what is masked in an exposure's strip NaN: its number, the exposure, SCI, the strip."""


@dataclass(frozen=True, slots=True)
class Imprint:
    """An imprint, and which of a family's sources it is subtracted from."""

    source: Source
    users: tuple[int, ...]


def bytes_per_pixel(*, errors: bool) -> int:
    """Return the bytes of one pixel of one exposure: SCI, ERR (float32) and DQ (uint32)."""
    return 12 if errors else 8


def strip_rows(
    sources: Sequence[Source],
    n_columns: int,
    budget: int,
    *,
    errors: bool = True,
    imprints: Sequence[Imprint] = (),
    joined: bool = False,
) -> int:
    """Return how many rows of all the sources make a strip (at least one).

    A strip fits the budget, and the cache where that does not make its reads too short.
    Images hold 12 bytes a pixel, 8 without ERR, 4 less where DQ is joined as it is read. A cube
    is read with all its integrations at once, one exposure after the other, and leaves its means
    behind, twice as wide but for DQ. Imprints are held one after the other, without ERR.
    """
    deepest = max(source.n_integrations or 0 for source in sources)
    single = bytes_per_pixel(errors=errors)
    per_column = len(sources) * (single - 4) + 8 if joined else len(sources) * single
    if deepest:
        per_column = deepest * single + len(sources) * (2 * single - 4)
    if imprints:
        per_column += 8 * max(imprint.source.n_integrations or 1 for imprint in imprints)
    per_row = per_column * n_columns
    wanted = max(CACHE_BYTES // per_row, SHORTEST_READ // (4 * n_columns))
    return max(1, min(budget // per_row, wanted))


def read_strip(
    sources: Sequence[Source],
    readers: Sequence[Reader],
    strip: Window,
    rule: StackRule,
    buffers: Buffers,
    imprints: Sequence[tuple[Imprint, Reader]] = (),
    *,
    joined: bool = False,
    hide: Hide = lambda *_: None,
) -> tuple[Plane, Plane | None, Plane]:
    """Read SCI, ERR where it is wanted, and DQ of a strip of all exposures, without imprints.

    What is masked is hidden; then a cube is collapsed to its clipped mean. The means of cubes stay
    float64, so that the second clip decides as if it had the truth. DQ is (1, ny, nx) if it is to
    be ``joined``.
    """
    cubes = any(source.n_integrations is not None for source in sources)
    shape = (len(sources), *strip.shape)
    stack = buffers.take(
        "stack", shape, np.float64 if cubes else np.float32, flags=2 if joined else None
    )
    dq = stack["dq"]  # if joined, of all, and of one exposure after the other
    if joined:
        dq[0] = 0
    for i, imprint in _in_order(len(sources), imprints, strip, buffers):
        source, reader = sources[i], readers[i]
        image = {
            layer: array[1 if joined and layer == "dq" else i] for layer, array in stack.items()
        }
        if source.n_integrations is None:
            _read_exposure(source, reader, strip, image, imprint)
            hide(i, source, image["sci"], strip)
            if cubes and rule.bad_bits:  # as is done to the others before their means
                image["sci"][image["dq"] & np.uint32(rule.bad_bits) != 0] = np.nan
        else:
            cube = buffers.take("cube", (source.n_integrations, *strip.shape), np.float32)
            _read_exposure(source, reader, strip, cube, imprint)
            hide(i, source, cube["sci"], strip)
            mean = collapse(cube["sci"], cube.get("err"), cube["dq"], rule)
            for layer, array in image.items():
                array[...] = getattr(mean, layer)
        if joined:
            dq[0] |= dq[1]
    return stack["sci"], stack.get("err"), dq[:1] if joined else dq


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
