"""Whether two files hold one exposure: by its numbers, by where it lies, by its bytes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.storage.location import Location

__all__ = ["identities", "same_exposure"]

PRODUCT = re.compile(r"_(rate|rateints)\.fits(\.gz)?$")
"""How the pipeline calls the two products of one exposure."""

PART_BYTES = 1 << 20


def same_exposure(one: ExposureFacts, other: ExposureFacts) -> bool:
    """Whether two exposures are one under two names.

    Exposures whose headers say which they are (`ExposureFacts.exposure_id`) are one if they say
    the same. Others are one if they are one file, a file and its copy, byte for byte, or the
    ``rate`` and ``rateints`` products that lie beside each other.
    """
    if one.exposure_id and other.exposure_id:
        return one.exposure_id == other.exposure_id
    if one.location.real() == other.location.real():
        return True
    root = PRODUCT.sub("", one.location.url)
    if root != one.location.url and root == PRODUCT.sub("", other.location.url):
        return True
    # A copy says that it was written when the other was: only then its bytes are read.
    written = one.written_as and one.written_as == other.written_as
    return bool(written) and _same_bytes(one.location, other.location)


def identities(exposures: Sequence[ExposureFacts]) -> tuple[str, ...]:
    """Return for each exposure a word that those share that are one (`same_exposure`).

    Known by their numbers, thousands are told apart without asking a disk.
    """
    words: list[str] = []
    alike: dict[str, list[int]] = defaultdict(list)
    for i, each in enumerate(exposures):
        marks = list(_marks(each))
        earlier = sorted({j for mark in marks for j in alike[mark]})
        same = (j for j in earlier if same_exposure(exposures[j], each))
        first = next(same, None)
        words.append(each.exposure_id or each.location.url if first is None else words[first])
        for mark in marks:
            # Of exposures that are one, the first says what there is to say of a mark.
            if first is None or first not in alike[mark]:
                alike[mark].append(i)
    return tuple(words)


def _marks(facts: ExposureFacts) -> Iterator[str]:
    """Yield that of which one at least is the same in exposures that are one."""
    yield f"products of {PRODUCT.sub('', facts.location.url)}"
    if facts.exposure_id:
        yield f"numbers {facts.exposure_id}"
        return
    yield f"file {facts.location.real()}"
    if facts.written_as:
        yield f"written {facts.written_as}"


def _same_bytes(one: Location, other: Location) -> bool:
    with one.open() as left, other.open() as right:
        while True:
            part = left.read(PART_BYTES)
            if part != right.read(PART_BYTES):
                return False
            if not part:
                return True
