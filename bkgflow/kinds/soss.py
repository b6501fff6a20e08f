"""SOSS time series: one fit for the segments of an exposure, subtracted from each of them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from numpy.typing import NDArray

from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.products.changes import Changes, Edit
from bkgflow.io.references.find import find_reference
from bkgflow.io.references.folder import ReferenceFolder
from bkgflow.io.storage.location import Location
from bkgflow.kinds.base import Assignment, Change, Piece
from bkgflow.kinds.references import NO_REFERENCE, chosen
from bkgflow.kinds.soss_fit import SegmentFits, fit_exposure
from bkgflow.methods.soss import FittedSky, SossFit
from bkgflow.planning.keys import Key
from bkgflow.planning.kind import Facts, Members, Prepared, SharedCost, Sharing
from bkgflow.planning.unit import Shared
from bkgflow.record import SossFound
from bkgflow.settings import StepSettings
from bkgflow.verdict import State, Verdict

__all__ = ["SEGMENT", "SossKind"]

SEGMENT = re.compile(r"-seg(\d+)")
"""How the pipeline numbers the files of one long exposure."""

WITHOUT_REFERENCE = "F277W"
"""The SOSS filter that lets no usable sky through: there is no reference background for it."""

NOT_USED = "background exposures are not used: a reference is scaled instead"

STREAMED_BYTES = 3 * (2 << 20)
"""A part of the target as it is stored, as it is changed, and as it is stored again."""

TEMPLATE_BYTES = 14
"""Of a pixel: the template that is subtracted, and what the fit found of it."""


@dataclass(frozen=True, slots=True)
class SossKind:
    """Single-object slitless spectroscopy: a template of a sky library is scaled."""

    name: ClassVar[str] = "soss"
    version: ClassVar[int] = 1
    verb: ClassVar[str] = "fit"
    noun: ClassVar[str] = "fit"
    shares_backgrounds: ClassVar[bool] = False
    arguments: ClassVar[tuple[str, ...]] = (
        "soss_source_percentile",
        "soss_bkg_percentile",
        "soss_fit",
        "override_bkg",
    )
    reads: ClassVar[frozenset[str]] = frozenset()

    def prepare(
        self,
        target: ExposureFacts,
        members: Members,
        settings: StepSettings,
        references: ReferenceFolder | None,
    ) -> Prepared:
        """Find the sky library."""
        notes = (NOT_USED,) if members.backgrounds else ()
        keywords = dict(target.keywords)
        if keywords.get("FILTER") == WITHOUT_REFERENCE and settings.override_bkg is None:
            reason = f"there is no reference background for {WITHOUT_REFERENCE} exposures"
            return Prepared(target, Verdict.skipped(reason), notes=notes)
        found = find_reference("bkg", keywords, override=settings.override_bkg, folder=references)
        if not found.applicable:
            return Prepared(target, Verdict.skipped(NO_REFERENCE), notes=notes)
        return Prepared(target, Verdict.planned(), references=chosen([found]), notes=notes)

    def share(self, prepared: Sequence[Prepared], settings: StepSettings) -> list[Sharing]:
        """The segments of an exposure share one fit; with ``soss_fit="file"`` each has its own."""
        groups: dict[Any, dict[Location, Prepared]] = defaultdict(dict)
        for each in prepared:
            groups[_exposure(each, settings)][each.target.location] = each
        sharing = {name: self._fit(group, settings) for name, group in groups.items()}
        return [sharing[_exposure(each, settings)] for each in prepared]

    def _fit(self, group: dict[Location, Prepared], settings: StepSettings) -> Sharing:
        """Describe the fit of an exposure's segments, in the order of time."""
        members = tuple(sorted(group))
        segments = [group[member].target for member in members]
        references = group[members[0]].references
        assert references is not None
        parts = [
            ("method", f"{self.name} {self.version}"),
            *settings.only(self.arguments).items(),
            *(("segment", segment.identity) for segment in segments),
            *references.identities,
        ]
        window = segments[0].window
        fit = Shared(self.name, Key.of(parts), window, members, references.background)
        return Sharing(fit, tuple(filter(None, [_missing(members)])))

    def companions(self, prepared: Prepared, settings: StepSettings) -> tuple[str, ...]:
        """Nothing is written beside the product."""
        return ()

    def shared_cost(
        self, shared: Sequence[Shared], facts: Facts, settings: StepSettings, memory: int
    ) -> SharedCost:
        """The segments stream; the library is small."""
        return SharedCost()

    def held(self, target: ExposureFacts) -> int:
        """The template; the target's pixels stream."""
        return target.window.nx * target.window.ny * TEMPLATE_BYTES + STREAMED_BYTES

    def pieces(
        self,
        shared: Sequence[Shared],
        facts: Facts,
        settings: StepSettings,
        memory: int,
        threads: int,
    ) -> Iterator[Piece]:
        """The fit of an exposure is one task."""
        for each in shared:
            segments = tuple(facts[member] for member in each.members)
            [library] = each.references[:1]
            compute = partial(_fit_one, segments, library, settings, threads)
            yield Piece(compute, (each.digest,))

    def change(self, work: Assignment, shared: Sequence[SegmentFits]) -> Change:
        """Subtract the fitted sky, in SCI alone."""
        [fits] = shared
        location = work.target.location
        if location in fits.errors:
            raise fits.errors[location]
        if location in fits.skipped:
            return Change.ended(work, State.SKIPPED, reason=fits.skipped[location])
        fit, sky = fits.found[location]
        if sky is None:
            return Change.ended(
                work, State.SKIPPED, SossFound(fit_notes=fit.notes), reason=fit.reason
            )
        return Change.ended(work, State.COMPLETE, _found(fit, fits), Changes(_edits(sky)))


def _fit_one(
    segments: Sequence[ExposureFacts], library: Location, settings: StepSettings, threads: int
) -> list[SegmentFits]:
    return [fit_exposure(segments, library, settings.soss_rule, threads)]


def _edits(sky: FittedSky) -> dict[str, Edit]:
    def subtract(sci: NDArray[Any], integration: int, rows: slice) -> None:
        sky.subtract(sci[None], integration, rows)

    return {"SCI": subtract}


def _exposure(prepared: Prepared, settings: StepSettings) -> Any:
    """Return what the segments of one exposure have in common."""
    location = prepared.target.location
    name = location.name
    if settings.soss_fit != "file":
        name = SEGMENT.sub("", name)
    return location.parent, name, prepared.references and prepared.references.background


def _missing(members: Sequence[Location]) -> str:
    """Name the segments that are not there although a later one is."""
    found = [SEGMENT.search(member.name) for member in members]
    numbers = {int(match[1]) for match in found if match}
    missing = [n for n in range(1, max(numbers, default=0)) if n not in numbers]
    if not missing or len(members) < 2:
        return ""
    names = ", ".join(f"{number:03d}" for number in missing)
    return f"segment {names} of the exposure is not in the fit"


def _found(fit: SossFit, fits: SegmentFits) -> SossFound:
    """Return what the product says of the fit: plain numbers, inf where a template has no rms."""
    without = [member.name for member in (*fits.skipped, *fits.errors)]
    (left, right), (left_error, right_error), (left_random, right_random) = (
        _sides(each.tolist()) for each in (fit.scales, fit.errors, fit.random_errors)
    )
    return SossFound(
        template=fit.template,
        left_scale=left,
        right_scale=right,
        left_scale_error=left_error,
        right_scale_error=right_error,
        left_scale_random_error=left_random,
        right_scale_random_error=right_random,
        source_threshold=fit.threshold,
        template_rms=tuple(map(tuple, fit.rms.tolist())),
        fit_pixels=tuple(fit.n_used.tolist()),
        fit_segments=len(fits.found),
        segments_left_out=tuple(without),
        fit_notes=fit.notes,
    )


def _sides(values: list[list[float]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return left and right: one value for an exposure, or one for each integration."""
    left, right = values
    return tuple(left), tuple(right)
