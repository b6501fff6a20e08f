"""Arrays as products have them: made, and how xarray makes such ones."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer

from bkgflow.io.zarr.layout import Attributes, Cut, cut_of

__all__ = ["create", "encoding_of", "in_batches"]

BATCH = 8
"""Chunks of a shard that are packed in one go by a thread."""


class _Blosc(BloscCodec):
    """Blosc, of which a thread packs many chunks: to hand over each of them takes as long."""

    async def encode(
        self, chunks_and_specs: Iterable[tuple[Buffer | None, ArraySpec]]
    ) -> Iterable[Buffer | None]:
        return await asyncio.to_thread(self._packed, list(chunks_and_specs))

    def _packed(self, given: list[tuple[Buffer | None, ArraySpec]]) -> list[Buffer | None]:
        return [None if each is None else self._encode_sync(each, spec) for each, spec in given]


COMPRESSOR = _Blosc(cname="lz4", clevel=9, shuffle="bitshuffle")
"""Measured in docs/zarr.md: noise does not become smaller by any other, and this one is fast;
without a shuffle of the bits noise is compressed half as well."""


SMALL = 64 << 10
"""Bytes of an array that is left as it is: unpacking it, in a thread of its own, would take longer
than reading it."""


def in_batches() -> AbstractContextManager[object]:
    """Have zarr hand over `BATCH` chunks at a time, as long as it is held."""
    held: AbstractContextManager[object] = zarr.config.set({"codec_pipeline.batch_size": BATCH})
    return held


def encoding_of(shape: tuple[int, ...]) -> Attributes:
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
    attributes: Attributes,
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
        compressors=None
        if cut is None and math.prod(whole) * dtype.itemsize <= SMALL
        else COMPRESSOR,
        fill_value=np.nan if dtype.kind == "f" else 0,
        dimension_names=dimensions,
        attributes=dict(attributes),
        config={"write_empty_chunks": True},
    )
