"""How arrays are cut: chunks for cut-outs, shards so that a product is a few dozen objects."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from numpy.typing import NDArray

from bkgflow.io.storage.many_files import PARTS

__all__ = [
    "CHUNK_SIDE",
    "DIMENSIONS",
    "FITS",
    "SHARD_BYTES",
    "SHARD_PIXELS",
    "Attributes",
    "Cut",
    "Pixels",
    "Untyped",
    "array_name",
    "cut_of",
    "writing_bytes",
]

CHUNK_SIDE = 256
"""Rows and columns of a chunk, or nearly so many: a cut-out of 64 × 64 touches four at most, and
one of them is still large enough for a request to a bucket."""

SHARD_PIXELS = 1 << 22
"""Pixels of a shard, which is one object of a store: a full frame of 2048 × 2048."""

SHARD_BYTES = SHARD_PIXELS * 4
"""Bytes of a shard of float32 or uint32 before it is compressed."""

COPIES = 4
"""Of a shard while it is written: its pixels, a copy of them, and its chunks compressed, one by
one and joined."""

Untyped = Any
"""What zarr gives, of which its types say too little; and what JSON can hold."""

Attributes = dict[str, Untyped]
"""Of a group or an array."""

Pixels = NDArray[Untyped]
"""Of any type."""

FITS = PARTS
"""Name of the group of all that is no pixel."""

DIMENSIONS = ("integration", "y", "x")
"""Names of the axes of pixels; an image has the last two."""

NAME = re.compile(r"[A-Z][A-Z0-9_]*")


@dataclass(frozen=True, slots=True)
class Cut:
    """How an array is cut: shapes of its chunks and of its shards, as long as its own."""

    chunks: tuple[int, ...]
    shards: tuple[int, ...]

    @property
    def step(self) -> tuple[int, int]:
        """Integrations (1 in an image) and rows of a shard; it has all columns."""
        return (1, *self.shards)[-3], self.shards[-2]


@lru_cache(maxsize=256)
def cut_of(shape: tuple[int, ...]) -> Cut:
    """Cut an image (ny, nx) or a cube (n_integrations, ny, nx).

    A shard holds whole rows, because a product is made of whole rows, and whole planes where
    they are small enough. Arrays of one shape are cut alike, whatever their types are.
    """
    ny, nx = shape[-2:]
    rows, columns = _side(ny), _side(nx)
    width = math.ceil(nx / columns) * columns
    height = min(math.ceil(ny / rows), max(1, SHARD_PIXELS // (width * rows))) * rows
    if len(shape) == 2:
        return Cut((rows, columns), (height, width))
    deep = max(1, min(shape[0], CHUNK_SIDE**2 // (rows * columns)))
    most = max(1, SHARD_PIXELS // (width * height * deep)) if height >= ny else 1
    depth = min(most, math.ceil(shape[0] / deep)) * deep
    return Cut((deep, rows, columns), (depth, height, width))


def writing_bytes(shape: tuple[int, ...]) -> int:
    """Return the bytes of memory that writing an array of four-byte pixels takes, at most."""
    return COPIES * 4 * math.prod(cut_of(shape).shards)


def _side(length: int) -> int:
    """Divide a side into chunks that are as good as equal: the last one is not a sliver."""
    return math.ceil(length / max(1, round(length / CHUNK_SIDE)))


def array_name(extname: str) -> str:
    """Return what an array is called in its group; empty where the EXTNAME gives no name."""
    return extname.lower() if NAME.fullmatch(extname) else ""
