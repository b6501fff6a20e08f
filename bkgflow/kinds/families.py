"""Which combined backgrounds are computed together, and in which bands of rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bkgflow.detector import Window
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.storage.location import Location
from bkgflow.planning.unit import Shared

__all__ = ["OUTPUT_BYTES_PER_PIXEL", "Family", "band_rows", "families"]

OUTPUT_BYTES_PER_PIXEL = 14
"""SCI, ERR (float32), DQ (uint32) and the count (uint16) of a combined background."""

BAND_PIXELS = 1 << 20
"""Most pixels of a band: few enough that a full frame keeps several workers busy."""

BAND_VALUES = 1 << 23
"""Values that go into a band, all exposures and integrations: enough that its task is worth
tens of milliseconds."""

MOST_BANDS = 8
"""Beyond, deep stacks would only make the graph larger."""

FAMILY_BYTES = 2 << 30
"""Most bytes of combined backgrounds that one family may leave in memory."""


@dataclass(frozen=True, slots=True)
class Family:
    """Combined backgrounds of one window that draw on the same exposures.

    Attributes
    ----------
    window : Window
        Their common detector window.
    members : tuple of Location
        All exposures, each once.
    backgrounds : tuple of Shared
        What is computed.
    """

    window: Window
    members: tuple[Location, ...]
    backgrounds: tuple[Shared, ...]

    @property
    def sets(self) -> list[tuple[int, ...]]:
        """For each background, the positions of its members in the family's."""
        position = {member: i for i, member in enumerate(self.members)}
        return [tuple(position[member] for member in b.members) for b in self.backgrounds]


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
                members = dict.fromkeys(member for b in part for member in b.members)
                yield Family(window, tuple(members), part)


def _connected(backgrounds: Sequence[Shared]) -> list[list[Shared]]:
    """Split into groups that share no exposure with each other."""
    root = list(range(len(backgrounds)))

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    first_user: dict[Location, int] = {}
    for i, background in enumerate(backgrounds):
        for member in background.members:
            a, b = sorted((find(first_user.setdefault(member, i)), find(i)))
            root[b] = a
    groups: dict[int, list[Shared]] = defaultdict(list)
    for i, background in enumerate(backgrounds):
        groups[find(i)].append(background)
    return list(groups.values())


def band_rows(window: Window, exposures: Iterable[ExposureFacts]) -> int:
    """Return how many rows of a window make one task.

    Bands are of one height: as few as keep a task's work near its bounds, and an even number,
    so that two workers, or four, are done at the same time.

    Parameters
    ----------
    window : Window
        Of the combined background.
    exposures : iterable of ExposureFacts
        What it is made of.
    """
    values = sum(facts.n_integrations or 1 for facts in exposures)
    pixels = window.nx * window.ny
    wanted = max(BAND_VALUES // values, pixels // MOST_BANDS)
    bands = -(-pixels // min(BAND_PIXELS, wanted))
    if bands > 1:
        bands = 2 * round(bands / 2)
    return -(-window.ny // bands)
