"""Which exposures a reference file is for: the values of a keyword, listed or its own."""

from __future__ import annotations

from bkgflow.matching import normal

__all__ = ["PATTERNS", "accepted_values"]

PATTERNS = {
    "EXP_TYPE": ("P_EXP_TY", "exposure.p_exptype"),
    "DETECTOR": ("P_DETECT", "instrument.p_detector"),
    "MODULE": ("P_MODULE", "instrument.p_module"),
    "CHANNEL": ("P_CHANNE", "instrument.p_channel"),
    "FILTER": ("P_FILTER", "instrument.p_filter"),
    "PUPIL": ("P_PUPIL", "instrument.p_pupil"),
}
"""Keywords that list several values ("A|B|") and go before the plain one, with their place below
``meta`` (stdatamodels)."""


def accepted_values(listed: object, own: object) -> frozenset[str]:
    """Return the values, in capitals, of a list, or else those of the plain keyword.

    Empty where every value is accepted: one of either is ANY, or neither says anything. An empty
    value among others stands for exposures that say nothing (N/A).
    """
    for text in ("" if value is None else str(value) for value in (listed, own)):
        values = [part.strip().upper() for part in text.split("|") if part.strip()]
        if "ANY" in values:
            return frozenset()
        if any(map(normal, values)):
            return frozenset(map(normal, values))
    return frozenset()
