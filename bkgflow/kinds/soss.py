"""SOSS time series: one fit for the segments of an exposure, subtracted from each of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bkgflow.errors import InputError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.products.sending import STREAMED_BYTES
from bkgflow.io.products.writer import Changes, Plane, Settle, unedited, unsettled
from bkgflow.io.references.soss_library import SourceSegment, cut_library, read_library
from bkgflow.io.storage.location import Location
from bkgflow.kinds.base import Assignment, Change, Kind
from bkgflow.kinds.references import chosen, find_sky, skipped, to_be_fitted
from bkgflow.kinds.segments import exposures_of, missing_segments, number_of
from bkgflow.kinds.soss_found import LIKELY, found_by, sides_of
from bkgflow.kinds.thin import too_uncertain
from bkgflow.matching import normal
from bkgflow.methods.soss import FittedSky, Segment, SossFit, fit_soss
from bkgflow.planning.keys import Key
from bkgflow.planning.kind import Facts, Piece, Prepared, Request
from bkgflow.planning.unit import Shared
from bkgflow.record import SossFound
from bkgflow.rules import SossRule
from bkgflow.settings import StepSettings
from bkgflow.verdict import State

__all__ = ["SegmentFits", "SossKind", "fit_exposure"]

WITHOUT_REFERENCE = "F277W"
"""The SOSS filter that lets no usable sky through: there is no reference background for it."""

TEMPLATE_BYTES = 14
"""Of a pixel: the template that is subtracted, and what the fit found of it."""


@dataclass(slots=True, eq=False)
class SegmentFits:
    """What was found for each segment of an exposure, why it has no fit, or what is wrong with it.

    With a fit comes the sky to be subtracted: None where no template fits.
    """

    found: dict[Location, tuple[SossFit, FittedSky | None]] = field(default_factory=dict)
    skipped: dict[Location, str] = field(default_factory=dict)
    errors: dict[Location, InputError] = field(default_factory=dict)


class SossKind(Kind):
    """Single-object slitless spectroscopy: a template of a sky library is scaled."""

    name = "soss"
    version = 2
    verb = "fit"
    noun = "fit"
    arguments = (
        "soss_source_percentile",
        "soss_bkg_percentile",
        "soss_fit",
        "soss_max_error",
        "override_bkg",
        "allow_subtracted",
    )

    def prepare(self, request: Request, settings: StepSettings) -> Prepared:
        """Find the sky library."""
        named = settings.override_bkg is not None
        if normal(request.target.keyword("FILTER")) == WITHOUT_REFERENCE and not named:
            reason = (
                f"there is no reference background for {WITHOUT_REFERENCE} exposures: name one "
                "with override_bkg, and give soss_source_percentile=80"
            )
            return skipped(request, reason)
        found = find_sky(request, settings)
        if not found.applicable:
            return skipped(request)
        return to_be_fitted(request, chosen([found]))

    def share(self, prepared: Sequence[Prepared], settings: StepSettings) -> list[Prepared]:
        """The segments of an exposure share one fit; with ``soss_fit="file"`` each has its own."""
        apart = settings.soss_fit == "file"
        names = exposures_of(prepared, apart=apart)
        groups: dict[Hashable, dict[Location, Prepared]] = defaultdict(dict)
        for name, each in zip(names, prepared, strict=True):
            groups[name][each.target.location] = each
        fits = {name: self._fit(group, settings) for name, group in groups.items()}
        notes = {
            name: [] if apart else missing_segments(group.values())
            for name, group in groups.items()
        }
        return [
            replace(each, shared=fits[name]).noting(*notes[name])
            for name, each in zip(names, prepared, strict=True)
        ]

    def _fit(self, group: dict[Location, Prepared], settings: StepSettings) -> Shared:
        """Describe the fit of an exposure's segments, in the order of time."""
        members = tuple(sorted(group, key=lambda each: (number_of(group[each].target), each)))
        first = group[members[0]]
        assert first.references is not None
        parts = [
            ("method", f"{self.name} {self.version}"),
            *settings.only(self.arguments).items(),
            *(("segment", group[member].target.identity) for member in members),
            *first.references.identities,
        ]
        library = first.references.background
        if len(library) > 1:  # of several, version 2 once took the first alone
            parts.append(("library files", len(library)))
        return Shared(self.name, Key.of(parts), first.target.window, members, library)

    def held(self, target: ExposureFacts, settings: StepSettings) -> int:
        """The template; the target's pixels stream."""
        return target.window.nx * target.window.ny * TEMPLATE_BYTES + STREAMED_BYTES

    def pieces(
        self,
        shared: Sequence[Shared],
        facts: Facts,
        settings: StepSettings,
        memory: int,
        threads: int = 1,
    ) -> Iterator[Piece]:
        """The fit of an exposure is one task: the segments stream, the library is small."""
        for each in shared:
            segments = tuple(facts[member] for member in each.members)
            compute = partial(fit_exposure, segments, each.references, settings.soss_rule, threads)
            yield Piece(compute, (each.digest,))

    def foresee(self, work: Assignment) -> Change | None:
        """One template fits, one scale on either side; only SCI changes."""
        if work.settings.soss_fit == "integration":
            return None
        return Change.ended(work, State.COMPLETE, LIKELY, unedited(["SCI"]))

    def change(
        self, work: Assignment, shared: Sequence[SegmentFits], settle: Settle = unsettled
    ) -> Change:
        """Subtract the fitted sky, in SCI alone."""
        [fits] = shared
        location = work.target.location
        if location in fits.errors:
            raise fits.errors[location]
        if location in fits.skipped:
            return Change.ended(work, State.SKIPPED, reason=fits.skipped[location])
        fit, sky = fits.found[location]
        if sky is None:
            found = SossFound(fit_notes=fit.notes)
            return Change.ended(work, State.SKIPPED, found, reason=fit.reason)

        def subtract(sci: Plane, integration: int, rows: slice) -> None:
            sky.subtract(sci[None], integration, rows)

        left_out = (member.name for member in (*fits.skipped, *fits.errors))
        found = found_by(fit, len(fits.found), left_out)
        limit = work.settings.soss_max_error
        reason = too_uncertain(sides_of(fit), limit, "soss_max_error")
        if reason:
            return Change.ended(work, State.FAILED, found, reason=reason)
        changes = Changes({"SCI": subtract})
        settle(changes, threads=2)  # the one array that is left: in two bands, not in one piece
        return Change.ended(work, State.COMPLETE, found, changes)


def fit_exposure(
    segments: Sequence[ExposureFacts],
    backgrounds: Sequence[Location],
    rule: SossRule,
    threads: int = 1,
) -> list[SegmentFits]:
    """Fit the sky of an exposure's segments, read from their sources a few rows at a time.

    A segment whose file goes bad is left out, and its neighbours are fitted without it. The
    library is read here alone: what is subtracted goes on to the segments with the fit. The one
    result stands in a list, as that of a task that serves several does.

    Parameters
    ----------
    segments : sequence of ExposureFacts
        In the order of time.
    backgrounds : sequence of Location
        The library, in one file or in several.
    threads : int
        Templates that are fitted at a time.
    """
    library = read_library(*backgrounds)
    fits = SegmentFits()
    by_frame: dict[tuple[int, int], dict[Location, Segment]] = defaultdict(dict)
    for facts in segments:
        by_frame[facts.window.shape][facts.location] = SourceSegment(facts.source)
    for frame, group in by_frame.items():
        part, reason = cut_library(library, frame)
        if part is None:
            fits.skipped |= dict.fromkeys(group, reason)
        else:
            _fit_frame(group, part, rule, threads, fits)
    return [fits]


def _fit_frame(
    group: dict[Location, Segment],
    library: NDArray[np.float32],
    rule: SossRule,
    threads: int,
    fits: SegmentFits,
) -> None:
    """Fit segments of one frame; the bad ones leave the group until the rest can be fitted."""
    left = dict(group)
    while left:
        try:
            found = fit_soss(list(left.values()), library, rule, threads=threads)
        except InputError as error:
            bad = next((location for location in left if str(location) == error.file), None)
            if bad is None:
                raise
            fits.errors[bad] = error
            del left[bad]
            continue
        skies: dict[int, FittedSky] = {}
        for location, fit in zip(left, found, strict=True):
            sky = None
            if fit.template is not None:
                # Segments with one template share its pixels, here and on their way to workers.
                known = skies.setdefault(fit.template, FittedSky.of(library[fit.template], fit))
                sky = replace(known, fit=fit)
            fits.found[location] = fit, sky
        return
