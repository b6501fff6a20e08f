"""Tile-compressed images (fpack): unpacked by astropy, the tiles that are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.reading import understood

__all__ = ["RULE", "Tiles", "open_tiles", "read_tiles"]

RULE = "A compressed image must be one that can be unpacked"
CURE = "Fetch the file again, or unpack it (funpack)"


@dataclass(frozen=True, slots=True)
class Tiles:
    """Where a compressed image is.

    Attributes
    ----------
    index : int
        Number of its HDU in the file.
    shape : tuple of int
        Of the image, (ny, nx) or (n_integrations, ny, nx).
    """

    index: int
    shape: tuple[int, ...]


@contextmanager
def open_tiles(location: Location, stream: BinaryIO) -> Iterator[fits.HDUList]:
    """Have astropy open a file whose compressed images are to be read."""
    with understood(RULE, location, CURE):
        stream.seek(0)
        opened = fits.open(stream, memmap=False)
    yield opened


def read_tiles(
    location: Location, opened: fits.HDUList, tiles: Tiles, window: Window, first: int
) -> Iterator[NDArray[np.generic]]:
    """Yield a part of each plane from the first on; (window.ny, window.nx) each.

    Raises
    ------
    FileError
        If the image cannot be unpacked.
    """
    rows, columns = slice(window.y0, window.y1), slice(window.x0, window.x1)
    for plane in range(first, (1, *tiles.shape)[-3]):
        with understood(RULE, location, CURE):
            section = opened[tiles.index].section
            where = (rows, columns) if len(tiles.shape) == 2 else (plane, rows, columns)
            part: NDArray[np.generic] = np.asarray(section[where])
        yield part
