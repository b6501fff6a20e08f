"""How a unit of work can end: a closed set, each with its reason."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Outcome"]


class Outcome(StrEnum):
    """The end of a unit. The first three are written to ``S_BKDSUB`` in its product."""

    COMPLETE = "COMPLETE"
    """The background was subtracted and the product written."""

    SKIPPED = "SKIPPED"
    """A rule says that there is nothing to subtract; the product is the unchanged exposure."""

    FAILED = "FAILED"
    """The method ran and found no usable fit; the product is written, its data unchanged."""

    QUARANTINED = "QUARANTINED"
    """An input is bad: no product, and an error that names file, rule, value and cure."""

    BLOCKED = "BLOCKED"
    """Never tried: the run ended or lost its cluster before this unit's turn."""

    @property
    def good(self) -> bool:
        """Whether the campaign may go on as if nothing had happened."""
        return self in {Outcome.COMPLETE, Outcome.SKIPPED}
