"""What a product says of its combined background: where it has none, and what is odd about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import DO_NOT_USE, Window
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.source import Layer, Reader
from bkgflow.io.products.writer import Plane
from bkgflow.kinds.adjust import Adjusted
from bkgflow.kinds.bands import Band
from bkgflow.methods.arrays import Places
from bkgflow.methods.levels import Levels, constant, far, joined
from bkgflow.record import ImageFound, Scale

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
    masks = _masked([band.adjusted for band in bands])
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
        masked_fractions=masks,
        **_levels_of(bands[0].adjusted),
    )


def _masked(bands: Sequence[Adjusted]) -> tuple[float, ...] | None:
    """Return the share of each background's pixels that is masked; None where nothing is."""
    masked = [band.masked for band in bands if band.masked is not None]
    seen = [band.seen for band in bands if band.seen is not None]
    if not masked:
        return None
    shares = np.sum(masked, axis=0) / np.maximum(np.sum(seen, axis=0), 1)
    return tuple(round(float(each), 6) for each in shares)


class _Scaled(TypedDict, total=False):
    background_offsets: tuple[Scale, ...]
    background_factors: tuple[Scale, ...]
    background_scale_errors: tuple[Scale, ...]
    background_scale_pixels: tuple[Scale, ...]
    background_scale_regions: tuple[int, ...]


def _levels_of(adjusted: Adjusted) -> _Scaled:
    """Return what was done to the levels, as a record has it: of every band the same."""
    scales, regions = adjusted.scales, adjusted.regions
    if scales is None:
        return {}

    def told(values: NDArray[np.generic]) -> tuple[Scale, ...]:
        return tuple(tuple(row) if regions else row[0] for row in values.tolist())

    found: _Scaled = {
        "background_scale_errors": told(scales.error),
        "background_scale_pixels": told(scales.pixels),
    }
    if scales.mode == "offset":
        found["background_offsets"] = told(scales.values)
    else:
        found["background_factors"] = told(scales.values)
    if regions:
        found["background_scale_regions"] = regions
    return found


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
    missing = [(band.window, band.packed.n_used.places(0, slice(0, band.window.ny)))
               for band in bands]  # fmt: skip
    if not any(places.size for _, places in missing):
        return 0
    with target.source.reader() as reader:
        return sum(_valid(target, reader, *each) for each in missing)


def _valid(target: ExposureFacts, reader: Reader, band: Window, missing: Places) -> int:
    """Count the pixels of a band that are missing in the background and valid in the target.

    By their places: they are few, and nothing else of an exposure is looked at.
    """
    number = target.n_integrations or 1
    looked_at = max(1, min(number, MOST_BYTES // (4 * band.nx * target.window.ny)))
    # The pixels that no integration so far has shown to be valid, in the order of the rows.
    undecided = missing
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
    places: Places,
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
