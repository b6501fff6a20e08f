"""Which SOSS files are segments of one exposure, and which of its segments are not there."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.planning.kind import Prepared

__all__ = ["SEGMENT", "exposures_of", "missing_segments", "number_of"]

SEGMENT = re.compile(r"-seg(\d+)")
"""How the pipeline numbers the files of one long exposure."""

MOST_NAMED = 10  # segments in a note


def exposures_of(prepared: Sequence[Prepared], *, apart: bool) -> list[Hashable]:
    """Return for each target what the segments of its exposure have in common.

    Headers tell it, wherever the files lie and whatever they are called. Where they do not, or
    where they have a segment twice, the segments of an exposure lie in one folder, and differ in
    the number that the pipeline gives to their names. ``apart``: every file is for itself.
    """
    by_header = [
        (each.target.segment.exposure, each.references and each.references.background)
        for each in prepared
    ]
    seen = Counter(
        (name, each.target.segment.number) for name, each in zip(by_header, prepared, strict=True)
    )
    twice = {name for (name, _), count in seen.items() if count > 1}
    return [
        name if name[0] and name not in twice and not apart
        else _by_name(each, apart=apart)
        for name, each in zip(by_header, prepared, strict=True)
    ]  # fmt: skip


def _by_name(prepared: Prepared, *, apart: bool) -> Hashable:
    location, references = prepared.target.location, prepared.references
    name = location.name if apart else SEGMENT.sub("", location.name)
    return location.parent, name, references and references.background


def number_of(target: ExposureFacts) -> int:
    """Return a segment's number, by its header or its name; 0 where neither has one."""
    named = SEGMENT.search(target.name)
    return target.segment.number or (int(named[1]) if named else 0)


def missing_segments(group: Iterable[Prepared]) -> list[str]:
    """Name the segments of an exposure that are not in its fit."""
    targets = [each.target for each in group]
    numbers = {number for each in targets if (number := number_of(each))}
    total = max([*numbers, *(each.segment.total or 0 for each in targets)], default=0)
    missing = [f"{n:03d}" for n in range(1, total + 1) if n not in numbers]
    if not numbers or not missing:
        return []
    are = "are" if len(missing) > 1 else "is"
    few = ", ".join(missing[:MOST_NAMED]) + (", ..." if len(missing) > MOST_NAMED else "")
    return [
        f"{len(numbers)} of {total} segments of the exposure in the fit, {len(missing)} missing: "
        f"segment {few} {are} not in the program"
    ]
