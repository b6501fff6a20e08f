"""Two versions of a product held against each other, a few rows at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.errors import FileError
from bkgflow.io.fits.hdus import ByteRange, Hdus
from bkgflow.io.fits.planes import planes, read_rows
from bkgflow.io.storage.location import Location
from bkgflow.io.zarr.stream import check_whole, open_product, walk_product

__all__ = ["PixelChange", "compare_pixels", "mean_image"]

Number = TypeVar("Number", np.float64, np.uint32)

BAND = 1 << 22
"""Bytes of rows that are read at a time from each file."""


@dataclass(frozen=True, slots=True)
class PixelChange:
    """How the pixels of two versions differ.

    Attributes
    ----------
    pixels, differ : int
        Pixels of SCI, and those whose values are not the same; NaN is the same as NaN.
    lost : int
        Of these, pixels that are finite in one of the two alone.
    largest, rms : float
        Of the differences of pixels that are finite in both, in the unit of SCI.
    dq : int
        Pixels whose DQ differs.
    shapes : str
        The shapes, where they are not the same: then nothing was compared.
    """

    pixels: int = 0
    differ: int = 0
    largest: float = 0.0
    rms: float = 0.0
    dq: int = 0
    shapes: str = ""
    lost: int = 0

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not (self.differ or self.dq or self.shapes)


def compare_pixels(one: Location, other: Location) -> PixelChange:
    """Compare SCI and DQ of two files; memory does not grow with their size.

    Raises
    ------
    FileError
        If one of them cannot be read, or has no SCI.
    """
    for each in (one, other):
        check_whole(each)
    first, second = walk_product(one), walk_product(other)
    a, b = _array(first, one, "SCI"), _array(second, other, "SCI")
    if a.shape != b.shape:
        return PixelChange(shapes=f"{_shape(a)} and {_shape(b)}")
    with ExitStack() as stack:
        streams = (stack.enter_context(open_product(one)), stack.enter_context(open_product(other)))
        differ, lost, largest, squares, finite = 0, 0, 0.0, 0.0, 0
        for left, right in _bands(streams, (a, b), np.float64):
            differs = ~((left == right) | (np.isnan(left) & np.isnan(right)))
            differ += int(np.count_nonzero(differs))
            lost += int(np.count_nonzero(np.isfinite(left) != np.isfinite(right)))
            with np.errstate(invalid="ignore"):  # infinite in both
                change = right - left
            valid = np.isfinite(change)
            finite += int(np.count_nonzero(valid))
            change = np.where(valid, change, 0.0)
            largest = max(largest, float(np.abs(change).max(initial=0.0)))
            squares += float(np.square(change).sum())
        dq = _dq_changes(streams, first, second)
    rms = math.sqrt(squares / finite) if finite else 0.0
    return PixelChange(math.prod(a.shape), differ, largest, rms, dq, lost=lost)


def _dq_changes(streams: tuple[BinaryIO, BinaryIO], first: Hdus, second: Hdus) -> int:
    """Count pixels whose DQ differs; one that has none counts as good everywhere."""
    ranges = [hdus["DQ"].data if "DQ" in hdus else None for hdus in (first, second)]
    match ranges:
        case [ByteRange() as a, ByteRange() as b] if a.shape == b.shape:
            bands = _bands(streams, (a, b), np.uint32)
            return sum(int(np.count_nonzero(left != right)) for left, right in bands)
        case [ByteRange() as a, _] | [_, ByteRange() as a]:
            stream = streams[0] if ranges[0] is not None else streams[1]
            bands = _bands((stream, stream), (a, a), np.uint32)
            return sum(int(np.count_nonzero(left)) for left, _ in bands)
    return 0


def _bands(
    streams: tuple[BinaryIO, BinaryIO],
    arrays: tuple[ByteRange, ByteRange],
    kind: type[Number],
) -> Iterator[tuple[NDArray[Number], NDArray[Number]]]:
    """Yield the same rows of two arrays of one shape, until all were there."""
    for pair in zip(planes(arrays[0]), planes(arrays[1]), strict=True):
        ny, nx = pair[0].shape[-2:]
        rows = max(1, BAND // max(1, nx * np.dtype(kind).itemsize))
        for y in range(0, ny, rows):
            window = Window(0, y, nx, min(rows, ny - y))
            read = [np.empty((window.ny, nx), kind) for _ in pair]
            for stream, array, out in zip(streams, pair, read, strict=True):
                read_rows(stream, array, window, out)
            yield read[0], read[1]


def mean_image(location: Location) -> tuple[NDArray[np.float64], str]:
    """Return the mean of SCI over its integrations, (ny, nx), NaN left out; and its unit.

    Raises
    ------
    FileError
        If the file cannot be read, or has no SCI.
    """
    hdus = walk_product(location)
    array = _array(hdus, location, "SCI")
    ny, nx = array.shape[-2:]
    total, number = np.zeros((ny, nx)), np.zeros((ny, nx), np.int64)
    with open_product(location) as stream:
        for plane in planes(array):
            image = np.empty((ny, nx))
            read_rows(stream, plane, Window(0, 0, nx, ny), image)
            valid = np.isfinite(image)
            total[valid] += image[valid]
            number += valid
    mean = np.divide(total, number, out=np.full((ny, nx), np.nan), where=number > 0)
    return mean, str(hdus["SCI"].header.get("BUNIT") or "").strip()


def _array(hdus: Hdus, location: Location, name: str) -> ByteRange:
    hdu = hdus.get(name)
    if hdu is None or len(hdu.data.shape) < 2 or hdu.kind == "COMPRESSED":
        raise FileError(
            "A product must have an image in SCI, not compressed",
            file=location,
            value="no such extension" if hdu is None else hdu.kind,
            cure="Give folders of products that bkgflow or the pipeline wrote",
        )
    return hdu.data


def _shape(array: ByteRange) -> str:
    return " × ".join(map(str, array.shape))
