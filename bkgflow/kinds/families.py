"""Which combined backgrounds are computed together.

A *family* draws on the same exposures: the sets of a nod pattern, or a single set that many
targets share.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bkgflow.detector import Window
from bkgflow.io.storage.location import Location
from bkgflow.planning.unit import Shared

__all__ = ["OUTPUT_BYTES_PER_PIXEL", "Family", "families"]

OUTPUT_BYTES_PER_PIXEL = 14
"""SCI, ERR (float32), DQ (uint32) and the count (uint16) of a combined background."""

FAMILY_BYTES = 2 << 30
"""Most bytes of combined backgrounds that one family may leave in memory."""


@dataclass(frozen=True, slots=True)
class Family:
    """Combined backgrounds of one window that draw on the same exposures.

    Each exposure is listed once, with its imprint; with another imprint it is another member.
    """

    window: Window
    members: tuple[tuple[Location, Location | None], ...]
    backgrounds: tuple[Shared, ...]

    @property
    def sets(self) -> list[tuple[int, ...]]:
        """For each background, the positions of its members in the family's."""
        position = {member: i for i, member in enumerate(self.members)}
        return [tuple(position[member] for member in b.pairs) for b in self.backgrounds]

    @property
    def imprints(self) -> dict[Location, tuple[int, ...]]:
        """For each imprint, the positions of the members from which it is subtracted."""
        users: dict[Location, list[int]] = defaultdict(list)
        for i, (_, imprint) in enumerate(self.members):
            if imprint is not None:
                users[imprint].append(i)
        return {imprint: tuple(positions) for imprint, positions in users.items()}


def families(backgrounds: Iterable[Shared]) -> Iterator[Family]:
    """Group backgrounds of one window that share exposures.

    Two sets belong together if they share an exposure, directly or through others. A group
    whose results would fill more than 2 GiB is cut, in order; an exposure at the cut is then
    read once for each side.
    """
    by_window: dict[Window, list[Shared]] = defaultdict(list)
    for background in backgrounds:
        by_window[background.window].append(background)
    for window, group in by_window.items():
        most = max(1, FAMILY_BYTES // (window.nx * window.ny * OUTPUT_BYTES_PER_PIXEL))
        for connected in _connected(group):
            for start in range(0, len(connected), most):
                part = tuple(connected[start : start + most])
                members = dict.fromkeys(pair for b in part for pair in b.pairs)
                yield Family(window, tuple(members), part)


def _connected(backgrounds: Sequence[Shared]) -> list[list[Shared]]:
    """Split into groups that share no exposure with each other."""
    root = list(range(len(backgrounds)))

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    first_user: dict[tuple[Location, Location | None], int] = {}
    for i, background in enumerate(backgrounds):
        for member in background.pairs:
            a, b = sorted((find(first_user.setdefault(member, i)), find(i)))
            root[b] = a
    groups: dict[int, list[Shared]] = defaultdict(list)
    for i, background in enumerate(backgrounds):
        groups[find(i)].append(background)
    return list(groups.values())
