"""What a worker must see to be of use to a plan."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath
from uuid import uuid4

from bkgflow.io.storage.location import Location
from bkgflow.io.storage.trial import UNSEEN, look
from bkgflow.kinds.masks import packages_for_masks
from bkgflow.planning.plan import Plan

__all__ = ["MOST_FILES", "Trial"]

MOST_FILES = 64
"""That a worker looks at."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a worker must see to be of use to a plan.

    Attributes
    ----------
    name : str
        Of this trial: workers remember which ones they passed.
    files : dict
        Some inputs and all references, and what the driver sees of each.
    allow_skew : bool
        Whether other versions of what results depend on are said, not refused.
    packages : dict
        What this plan's tasks need beyond what every one does, and the extra that brings each.
    """

    name: str
    files: dict[Location, str]
    output: Location
    allow_skew: bool = False
    packages: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: Plan, *, allow_skew: bool = False) -> Trial:
        """Return the trial of a plan's workers: one exposure of each folder, and its references."""
        folders = {each.location.parent: each.location for each in reversed(plan.exposures)}
        references = [
            each for unit in plan.units if unit.references for each in unit.references.files
        ]
        wanted = dict.fromkeys([*references, *folders.values()])
        there = [each for each in wanted if PurePath(each.url).is_absolute() or not each.is_local]
        seen = look(there[:MOST_FILES])
        # What the driver does not see either is the input's own fault, and said by its unit.
        files = {each: what for each, what in seen.items() if not what.startswith(UNSEEN)}
        packages = packages_for_masks(plan.settings)
        return cls(uuid4().hex, files, plan.output, allow_skew, packages)
