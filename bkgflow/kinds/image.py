"""Image from image: the background exposures are clipped, combined and subtracted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.errors import BackgroundError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.products.changes import Changes, Edit
from bkgflow.io.products.describe import COMBINED_SUFFIX, product_name
from bkgflow.io.references.folder import ReferenceFolder
from bkgflow.kinds.backgrounds import choose_backgrounds
from bkgflow.kinds.bands import Band, bytes_per_pixel, combine_band, join
from bkgflow.kinds.base import Assignment, Change, Piece
from bkgflow.kinds.families import OUTPUT_BYTES_PER_PIXEL, band_rows, families
from bkgflow.methods.clip import Combined
from bkgflow.methods.image import add_errors, subtract_background
from bkgflow.planning.keys import Key
from bkgflow.planning.kind import Facts, Members, Prepared, SharedCost, Sharing
from bkgflow.planning.unit import Shared
from bkgflow.record import ImageFound
from bkgflow.settings import StepSettings
from bkgflow.verdict import State

__all__ = ["ImageKind"]

STREAMED_BYTES = 3 * (2 << 20)
"""A part of the target as it is stored, as it is changed, and as it is stored again."""

Arithmetic = Callable[[NDArray[Any], Combined, slice], object]
"""Changes rows of a target by the rows of a band that a slice names."""


@dataclass(frozen=True, slots=True)
class ImageKind:
    """Imaging, spectroscopy and time series: other exposures are the background."""

    name: ClassVar[str] = "image"
    version: ClassVar[int] = 1
    verb: ClassVar[str] = "combine"
    noun: ClassVar[str] = "background"
    shares_backgrounds: ClassVar[bool] = True
    arguments: ClassVar[tuple[str, ...]] = (
        "sigma",
        "maxiters",
        "save_combined_background",
        "propagate_errors",
    )
    reads: ClassVar[frozenset[str]] = frozenset()

    def prepare(
        self,
        target: ExposureFacts,
        members: Members,
        settings: StepSettings,
        references: ReferenceFolder | None,
    ) -> Prepared:
        """Choose the backgrounds that can be used."""
        return choose_backgrounds(target, members.backgrounds)

    def share(self, prepared: Sequence[Prepared], settings: StepSettings) -> list[Sharing]:
        """Targets of one window with the same backgrounds share the combined one."""
        return [Sharing(self._combined(each, settings)) for each in prepared]

    def _combined(self, prepared: Prepared, settings: StepSettings) -> Shared:
        """Describe a combined background; one with ERR and one without are two."""
        used = sorted(prepared.used, key=lambda facts: facts.identity)
        clip = settings.clip_rule
        window = prepared.target.window
        parts = [
            ("method", f"{self.name} {self.version}"),
            ("sigma", clip.sigma),
            ("maxiters", clip.maxiters),
            ("with ERR", settings.with_errors),
            ("window", window),
            *(("background", facts.identity) for facts in used),
        ]
        members = tuple(sorted(facts.location for facts in used))
        return Shared(self.name, Key.of(parts), window, members)

    def companions(self, prepared: Prepared, settings: StepSettings) -> tuple[str, ...]:
        """A combined background, where it is to be saved and there is one."""
        if not (settings.save_combined_background and prepared.used):
            return ()
        return (product_name(prepared.target.location, COMBINED_SUFFIX),)

    def shared_cost(
        self, shared: Sequence[Shared], facts: Facts, settings: StepSettings, memory: int
    ) -> SharedCost:
        """A background's overlap with the window is read once for each family that uses it."""
        read, held = 0, 0
        per_pixel = bytes_per_pixel(errors=settings.with_errors)
        for family in families(shared):
            for member in family.members:
                exposure = facts[member]
                part = exposure.window.overlap(family.window)
                rows = part.ny * exposure.window.nx if part else 0
                read += rows * (exposure.n_integrations or 1) * per_pixel
            rows = band_rows(family.window, (facts[member] for member in family.members))
            results = rows * family.window.nx * OUTPUT_BYTES_PER_PIXEL * len(family.backgrounds)
            held = max(held, memory + results)
        return SharedCost(read, held)

    def held(self, target: ExposureFacts) -> int:
        """The combined background; the target's pixels stream."""
        return target.window.nx * target.window.ny * OUTPUT_BYTES_PER_PIXEL + STREAMED_BYTES

    def pieces(
        self,
        shared: Sequence[Shared],
        facts: Facts,
        settings: StepSettings,
        memory: int,
        threads: int,
    ) -> Iterator[Piece]:
        """A band of rows of a whole family is one task: it reads each exposure's rows once."""
        for family in families(shared):
            exposures = [facts[member] for member in family.members]
            sources = tuple(exposure.source for exposure in exposures)
            digests = tuple(background.digest for background in family.backgrounds)
            for band in family.window.bands(band_rows(family.window, exposures)):
                compute = partial(
                    combine_band,
                    sources,
                    family.sets,
                    band,
                    rule=settings.clip_rule,
                    errors=settings.with_errors,
                    budget=memory,
                )
                yield Piece(compute, digests)

    def change(self, work: Assignment, shared: Sequence[Band]) -> Change:
        """Subtract the combined background; a pixel without any stays as it is."""
        window = work.target.window
        unsubtracted = int(sum(np.count_nonzero(band.pixels.n_used == 0) for band in shared))
        if unsubtracted == window.nx * window.ny:
            raise _nothing_valid(work)
        found = ImageFound(unsubtracted, _unused_everywhere(shared))
        edits = _edits(window, shared, propagate_errors=work.settings.propagate_errors)
        combined = join(shared) if work.companions else None
        return Change.ended(work, State.COMPLETE, found, Changes(edits), combined=combined)


def _edits(window: Window, bands: Sequence[Band], *, propagate_errors: bool) -> dict[str, Edit]:
    """Return what a combined background does to SCI, DQ and, if asked for, ERR of a target."""
    edits = {"SCI": _over(window, bands, _subtract), "DQ": _over(window, bands, _join)}
    if propagate_errors:
        edits["ERR"] = _over(window, bands, _add_errors)
    return edits


def _over(window: Window, bands: Sequence[Band], change: Arithmetic) -> Edit:
    """Apply a change with each band that holds some of the rows at hand."""
    held = [(band.window.slices_in(window)[0], band.pixels) for band in bands]

    def edit(pixels: NDArray[Any], _integration: int, rows: slice) -> None:
        for span, combined in held:
            start, stop = max(rows.start, span.start), min(rows.stop, span.stop)
            if start < stop:
                part = pixels[start - rows.start : stop - rows.start]
                change(part, combined, slice(start - span.start, stop - span.start))

    return edit


def _subtract(sci: NDArray[Any], background: Combined, rows: slice) -> None:
    subtract_background(sci, background.sci[rows], background.n_used[rows])


def _join(dq: NDArray[Any], background: Combined, rows: slice) -> None:
    np.bitwise_or(dq, background.dq[rows], out=dq)


def _add_errors(err: NDArray[Any], background: Combined, rows: slice) -> None:
    add_errors(err, background.err[rows], background.n_used[rows])


def _unused_everywhere(bands: Sequence[Band]) -> tuple[str, ...]:
    """Name the exposures that had no valid pixel in any band."""
    if not bands:
        return ()
    rest = bands[1:]
    unused = (name for name in bands[0].unused if all(name in band.unused for band in rest))
    return tuple(Path(name).name for name in unused)


def _nothing_valid(work: Assignment) -> BackgroundError:
    files = ", ".join(member.name for member in work.members)
    return BackgroundError(
        "At least one pixel of the target must have a valid background",
        file=work.members[0] if len(work.members) == 1 else work.target.location,
        value=f"every pixel of {files} in {work.target.window} is NaN or infinite",
        cure="Check the backgrounds, or take them out of the association",
    )
