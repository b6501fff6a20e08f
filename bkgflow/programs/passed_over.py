"""Files of a program that are no part of its plan, each with the reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from bkgflow.io.storage.location import Location

__all__ = ["PassedOver", "summed_up"]

MOST_NAMES = 2
"""Of files passed over for one reason, in a summary."""

MOST_LINES = 6
"""Of reasons."""


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A file or folder that is no part of a plan, and why.

    Attributes
    ----------
    reason : str
        A sentence about it: "it is older".
    instead : str
        Name of the association that is used instead; empty where there is none.
    exposures : tuple of str
        Names of those that it was passed over for, where its others are used; empty for all.
    """

    location: Location
    reason: str
    instead: str = ""
    exposures: tuple[str, ...] = ()

    def __str__(self) -> str:
        """All of it but the folder."""
        only = f" for {', '.join(self.exposures)}" if self.exposures else ""
        used = f"; {self.instead} is used" if self.instead else ""
        return f"{self.location.name or self.location}{only}: {self.reason}{used}"

    def to_dict(self) -> dict[str, object]:
        """Return plain values, for JSON."""
        return {
            "file": str(self.location),
            "reason": self.reason,
            "instead": self.instead,
            "exposures": list(self.exposures),
        }


def summed_up(passed_over: Iterable[PassedOver]) -> list[str]:
    """Say in a few lines what was passed over: one for each reason, with the names of a few."""
    by_reason: dict[str, list[PassedOver]] = defaultdict(list)
    for each in passed_over:
        by_reason[each.reason].append(each)
    groups = [
        [f"passed over {each}" for each in found]
        if len(found) <= MOST_NAMES
        else [f"passed over {len(found)} files, of each: {reason}"]
        for reason, found in by_reason.items()
    ]
    lines = [line for group in groups for line in group]
    if len(lines) > MOST_LINES:
        lines[MOST_LINES:] = [f"and {len(lines) - MOST_LINES} more; the log names all of them"]
    return lines
