"""Arrays as products have them: made, and how xarray makes such ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec

from bkgflow.io.zarr.layout import Attributes, Cut, cut_of

__all__ = ["create", "encoding_of"]

COMPRESSOR = BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle")
"""Measured in docs/zarr.md: higher levels cost time and save nothing, without a shuffle of the
bits noise is compressed half as well."""


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
        compressors=COMPRESSOR,
        fill_value=np.nan if dtype.kind == "f" else 0,
        dimension_names=dimensions,
        attributes=dict(attributes),
        config={"write_empty_chunks": True},
    )
