"""The task that fits the sky of a SOSS exposure to all its segments at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from bkgflow.errors import InputError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.references.soss_library import SourceSegment, cut_library, read_library
from bkgflow.io.storage.location import Location
from bkgflow.methods.soss import FittedSky, Segment, SossFit, fit_soss
from bkgflow.rules import SossRule

__all__ = ["SegmentFits", "fit_exposure"]


@dataclass(slots=True, eq=False)
class SegmentFits:
    """What was found for each segment of an exposure.

    Attributes
    ----------
    found : dict
        The fit, and the sky to be subtracted: None where no template fits.
    skipped : dict
        Why a segment has no fit.
    errors : dict
        What is wrong with a segment's file.
    """

    found: dict[Location, tuple[SossFit, FittedSky | None]] = field(default_factory=dict)
    skipped: dict[Location, str] = field(default_factory=dict)
    errors: dict[Location, InputError] = field(default_factory=dict)


def fit_exposure(
    segments: Sequence[ExposureFacts], background: Location, rule: SossRule, threads: int = 1
) -> SegmentFits:
    """Fit the sky of an exposure's segments, read from their sources a few rows at a time.

    A segment whose file goes bad is left out, and its neighbours are fitted without it. The
    library is read here alone: what is subtracted goes on to the segments with the fit.

    Parameters
    ----------
    segments : sequence of ExposureFacts
        In the order of time.
    background : Location
        Of the sky library.
    threads : int
        Templates that are fitted at a time.
    """
    library = read_library(background)
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
    return fits


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
