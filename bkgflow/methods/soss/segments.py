"""The segments of a time series as a fit sees them: integrations, a few at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bkgflow.detector import DO_NOT_USE
from bkgflow.errors import ShapeError
from bkgflow.methods._compiled import read_only
from bkgflow.methods.arrays import Flags, Reals, Words

__all__ = ["ArraySegment", "OnlyColumns", "Segment", "common_frame", "stream"]

Chunk = tuple[Reals, Flags]

AT_ONCE = 8
"""Integrations in memory that are looked at together: some for each thread, and few to convert."""


class Segment(Protocol):
    """A file's integrations, to be read more than once, a few at a time."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n_integrations, ny, nx)."""
        ...

    def chunks(self) -> Iterator[Chunk]:
        """Yield SCI (float) and DQ (uint32), both (n, ny, nx), until all integrations are seen.

        A chunk is done with before the next one is asked for.
        """
        ...


@dataclass(frozen=True, slots=True)
class ArraySegment:
    """Integrations in memory, (ny, nx) or (n_integrations, ny, nx), left as they are."""

    sci: Reals
    dq: Flags

    @property
    def shape(self) -> tuple[int, int, int]:
        """As of one integration where it is an image."""
        ny, nx = self.sci.shape[-2:]
        return (len(self.sci) if self.sci.ndim == 3 else 1), ny, nx

    def chunks(self) -> Iterator[Chunk]:
        """Yield some integrations at a time: views."""
        sci, dq = self.sci.reshape(self.shape), self.dq.reshape(self.shape)
        for i in range(0, len(sci), AT_ONCE):
            yield sci[i : i + AT_ONCE], dq[i : i + AT_ONCE]


@dataclass(frozen=True, slots=True)
class OnlyColumns:
    """A segment of which only some columns are good."""

    segment: Segment
    part: slice

    @property
    def shape(self) -> tuple[int, int, int]:
        """That of the whole segment."""
        return self.segment.shape

    def chunks(self) -> Iterator[Chunk]:
        """Yield all of SCI, and DQ with DO_NOT_USE in the other columns."""
        for sci, dq in self.segment.chunks():
            flags = np.full(dq.shape, DO_NOT_USE, np.uint32)
            if dq.shape == sci.shape:
                flags[..., self.part] = dq[..., self.part]
            yield sci, flags


def common_frame(segments: Sequence[Segment]) -> tuple[int, int]:
    """Return the rows and columns that all segments have; `ShapeError` if they differ."""
    frames = {segment.shape[1:] for segment in segments}
    if len(frames) != 1:
        raise ShapeError(
            "The segments of one time series must have the same rows and columns",
            value=sorted(frames),
            cure="Fit only segments of one exposure together",
        )
    return frames.pop()


def stream(segments: Sequence[Segment]) -> Iterator[tuple[int, Words, Words]]:
    """Yield chunks of all segments: the first integration's number, SCI's bits, DQ.

    `ShapeError` if a chunk is not as its segment said, or one is missing.
    """
    start = 0
    for segment in segments:
        stop, (n, *frame) = start, segment.shape
        for sci, dq in segment.chunks():
            if sci.shape != dq.shape or list(sci.shape[1:]) != frame:
                raise ShapeError(
                    "SCI and DQ must have one shape, that of their segment",
                    value=f"SCI {sci.shape}, DQ {dq.shape}",
                    cure=f"Give chunks of (n, {frame[0]}, {frame[1]})",
                )
            yield stop, read_only(sci, np.float32).view(np.uint32), read_only(dq, np.uint32)
            stop += len(sci)
        if stop - start != n:
            raise ShapeError(
                "The chunks of a segment must hold all of its integrations, each time it is read",
                value=f"{stop - start} of {n}",
                cure="Check the file: it changed or was cut",
            )
        start = stop
