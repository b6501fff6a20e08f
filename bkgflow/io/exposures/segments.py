"""Which part of which exposure a file holds, as its headers say it, whatever it is called."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from bkgflow.io.exposures.setup import EXPOSURE_NUMBERS
from bkgflow.io.exposures.windows import whole_number
from bkgflow.matching import plain_number

__all__ = ["SEGMENT_KEYS", "UNKNOWN", "Segment", "read_segment"]

NUMBERS = EXPOSURE_NUMBERS | {"DETECTOR": "instrument.detector"}
"""What all segments of an exposure have in common, and no other exposure has."""

NEEDED = ("PROGRAM", "OBSERVTN", "VISIT", "EXPOSURE")

SEGMENT_KEYS = NUMBERS | {
    "EXSEGNUM": "exposure.segment_number",
    "EXSEGTOT": "exposure.segment_total",
}
"""FITS keyword to the key below ``meta``."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of an exposure.

    Attributes
    ----------
    exposure : str
        The same for all segments of one exposure; empty where the headers do not tell.
    number, total : int or None
        EXSEGNUM, from 1, and EXSEGTOT; None where missing or no whole number above 0.
    """

    exposure: str = ""
    number: int | None = None
    total: int | None = None


UNKNOWN = Segment()
"""Of a file whose headers say nothing."""


def read_segment(primary: Callable[[str], Hashable]) -> Segment:
    """Return what the keywords of a primary header say."""
    values = {name: plain_number(primary(name)) for name in NUMBERS}
    known = all(values[name] for name in NEEDED)
    number, total = (whole_number(primary(name)) for name in ("EXSEGNUM", "EXSEGTOT"))
    return Segment(
        " ".join(values.values()) if known else "",
        number if number and number > 0 else None,
        total if total and total > 0 else None,
    )
