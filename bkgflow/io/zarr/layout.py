"""How arrays are cut: chunks for cut-outs, shards so that a product is a few dozen objects."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec

__all__ = [
    "CHUNK_SIDE",
    "DIMENSIONS",
    "SHARD_BYTES",
    "SHARD_PIXELS",
    "WRITING_BYTES",
    "Cut",
    "array_name",
    "create",
    "cut_of",
    "encoding_of",
]

CHUNK_SIDE = 256
"""Rows and columns of a chunk, or nearly so many: a cut-out of 64 × 64 touches four at most, and
one of them is still large enough for a request to a bucket."""

SHARD_PIXELS = 1 << 22
"""Pixels of a shard, which is one object of a store: a full frame of 2048 × 2048."""

SHARD_BYTES = SHARD_PIXELS * 4
"""Bytes of a shard of float32 or uint32 before it is compressed."""

WRITING_BYTES = 4 * SHARD_BYTES
"""What a shard takes while it is written: its pixels, a copy of them, and its chunks compressed,
one by one and joined."""

DIMENSIONS = ("integration", "y", "x")
"""Names of the axes of pixels; an image has the last two."""

COMPRESSOR = BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle")
"""Measured in docs/zarr.md: higher levels cost time and save nothing, without a shuffle of the
bits noise is compressed half as well."""

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


def _side(length: int) -> int:
    """Divide a side into chunks that are as good as equal: the last one is not a sliver."""
    return math.ceil(length / max(1, round(length / CHUNK_SIDE)))


def array_name(extname: str) -> str:
    """Return what an array is called in its group; empty where the EXTNAME gives no name."""
    return extname.lower() if NAME.fullmatch(extname) else ""


def encoding_of(shape: tuple[int, ...]) -> dict[str, Any]:
    """Return how xarray is to write an array of pixels so that it is cut as products are.

    Dask's chunks must then be made of whole shards: xarray refuses others, which two tasks would
    write into at a time.
    """
    cut = cut_of(shape)
    return {"chunks": cut.chunks, "shards": cut.shards, "compressors": (COMPRESSOR,)}


def create(
    group: zarr.Group,
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    dimensions: tuple[str, ...],
    attributes: Mapping[str, Any],
    cut: Cut | None = None,
) -> zarr.Array[Any]:
    """Make an array; without a cut it is one chunk, for what is always read whole.

    Chunks of one value are written as well: a value that equals the fill value may be another
    one by its bits (-0.0, NaN), and a product gives back every bit.
    """
    whole = tuple(max(1, axis) for axis in shape)
    return group.create_array(
        name,
        shape=shape,
        dtype=dtype,
        chunks=whole if cut is None else cut.chunks,
        shards=None if cut is None else cut.shards,
        compressors=COMPRESSOR,
        fill_value=np.nan if dtype.kind == "f" else 0,
        dimension_names=dimensions,
        attributes=dict(attributes),
        config={"write_empty_chunks": True},
    )
