"""Why a unit of a campaign is taken up by a run, or left as it is."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["CAUSES", "Cause"]


class Cause(StrEnum):
    """Why a unit is taken up, or left as it is."""

    REFUSED = "refused"
    """Its headers refuse it already: there is nothing to compute."""
    NEW = "new"
    """The campaign has not had it before."""
    LEFT = "not done before"
    """It was interrupted, or blocked."""
    INPUTS = "inputs"
    REFERENCES = "references"
    SETTINGS = "settings"
    VERSION = "version"
    PRODUCT = "product"
    """Its product is missing, or not as the ledger says."""
    UNKNOWN = "unknown product"
    """Its product is there, but the ledger does not know it."""
    RETRY = "retried"
    """It went wrong before, and is tried again because that was asked for."""
    FRESH = "fresh"
    """Everything is done anew because that was asked for."""
    KEPT = "complete and valid"
    """It is complete, and still valid."""
    BAD = "wrong for the same reason as before"
    """It went wrong for a reason that has not changed."""


CAUSES = ("inputs", "references", "settings", "version")
"""Changes because of which a unit is done again."""
