"""What a product says of its combined background: where it has none, and what is odd about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import DO_NOT_USE, Window
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.source import Layer, Reader
from bkgflow.io.products.writer import Plane
from bkgflow.kinds.bands import Band
from bkgflow.methods.levels import Levels, constant, far, joined
from bkgflow.record import ImageFound

__all__ = ["what_was_found"]

MOST_BYTES = 64 << 20
"""Of one array of a cube that are read to find out which of its pixels are valid at all."""


FEWEST = 100
"""Pixels of a window below which nothing is said of levels: such images are no pictures."""


def what_was_found(target: ExposureFacts, bands: Sequence[Band], outlier: float) -> ImageFound:
    """Return what a combined background leaves undone in its target, and what is odd about it.

    Parameters
    ----------
    outlier : float
        As the step's argument ``bkg_outlier``.
    """
    names = [PurePath(name).name for name in bands[0].members]
    levels = joined([band.levels for band in bands])
    unused = tuple(name for name, low in zip(names, levels.low, strict=True) if np.isnan(low))
    flat, outlying = constant(levels), far(levels, outlier)
    if target.window.nx * target.window.ny < FEWEST:
        flat, outlying = flat[:0], outlying[:0]
    unit = f" {target.bunit}" if target.bunit else ""
    said = [
        f"{names[i]} is {levels.low[i]:g}{unit} in every pixel: it holds no picture of the sky"
        for i in flat
    ]
    said += _outliers(names, levels, list(outlying), unit)
    return ImageFound(
        _unsubtracted(target, bands),
        unused,
        tuple(names[i] for i in flat) or None,
        tuple(names[i] for i in outlying) or None,
        tuple(said) or None,
    )


def _outliers(names: Sequence[str], levels: Levels, outlying: list[int], unit: str) -> list[str]:
    known = [i for i in range(len(names)) if np.isfinite(levels.median[i])]
    if len(known) == 2 and len(outlying) == 2:
        pair = [f"{names[i]} has {levels.median[i]:.4g}{unit}" for i in outlying]
        return [f"the two backgrounds are far from each other: {pair[0]}, {pair[1]} (medians)"]
    words = []
    for i in outlying:
        others = [levels.median[j] for j in known if j != i]
        words.append(
            f"{names[i]} is far from all other backgrounds: its median is "
            f"{levels.median[i]:.4g}{unit}, theirs are {min(others):.4g} to {max(others):.4g}"
        )
    return words


def _unsubtracted(target: ExposureFacts, bands: Sequence[Band]) -> int:
    """Count the pixels that are valid in the target and have no valid background.

    A pixel is valid where SCI is finite and DQ has no DO_NOT_USE; of a cube, in any integration.
    Only rows with pixels to be counted are read, just before they are read to be changed. Of a
    long cube, integrations at equal distances are looked at, 64 MiB of them: a pixel that is
    bad in all of these is bad.
    """
    wanted = [band for band in bands if band.packed.n_used.count(0)]
    if not wanted:
        return 0
    with target.source.reader() as reader:
        return sum(_valid(target, reader, band.window, band.pixels.n_used == 0) for band in wanted)


def _valid(target: ExposureFacts, reader: Reader, band: Window, missing: Plane) -> int:
    """Count the pixels of a band that are missing in the background and valid in the target.

    By their places: they are few, and nothing else of an exposure is looked at.
    """
    number = target.n_integrations or 1
    looked_at = max(1, min(number, MOST_BYTES // (4 * band.nx * target.window.ny)))
    # The pixels that no integration so far has shown to be valid, in the order of the rows.
    undecided = np.flatnonzero(missing)
    many = len(undecided)
    for i in range(looked_at):
        if not len(undecided):
            break
        first = i * number // looked_at
        bad = _at(target, reader, "dq", band, undecided, first) & np.uint32(DO_NOT_USE) != 0
        if bad.all():  # mostly: what is bad is bad in all exposures
            continue
        good = ~bad
        good[good] = np.isfinite(_at(target, reader, "sci", band, undecided[good], first))
        undecided = undecided[~good]
    return many - len(undecided)


def _at(
    target: ExposureFacts,
    reader: Reader,
    layer: Layer,
    band: Window,
    places: NDArray[np.int64],
    integration: int,
) -> NDArray[np.unsignedinteger]:
    """Read the pixels at some places of a band, in the order of its rows; all their rows are."""
    start, stop = int(places[0]) // band.nx, int(places[-1]) // band.nx + 1
    part = Window(band.x0, band.y0 + start, band.nx, stop - start)
    return _read(target, reader, layer, part, integration).reshape(-1)[places - start * band.nx]


def _read(
    target: ExposureFacts, reader: Reader, layer: Layer, window: Window, integration: int
) -> Plane:
    """Read a part of one integration."""
    depth = () if target.n_integrations is None else (1,)
    out = np.empty((*depth, *window.shape), np.uint32 if layer == "dq" else np.float32)
    reader.read(layer, window, out, integration)
    return out.reshape(window.shape)
