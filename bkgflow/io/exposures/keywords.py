"""The header values that decide which reference files an exposure needs."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["META_KEYS", "collect"]

META_KEYS = {
    "INSTRUME": "instrument.name",
    "DETECTOR": "instrument.detector",
    "MODULE": "instrument.module",
    "CHANNEL": "instrument.channel",
    "BAND": "instrument.band",
    "FILTER": "instrument.filter",
    "PUPIL": "instrument.pupil",
    "GRATING": "instrument.grating",
    "EXP_TYPE": "exposure.type",
    "SUBARRAY": "subarray.name",
    "DATE-OBS": "observation.date",
    "TIME-OBS": "observation.time",
    "SCATFILE": "source_catalog",
}
"""FITS keyword to the key below ``meta`` (the core schema of stdatamodels)."""


def collect(value_of: Callable[[str], object]) -> tuple[tuple[str, str], ...]:
    """Return the pairs of keyword and value that are there, as plain strings.

    Parameters
    ----------
    value_of : callable
        Returns the value of a keyword, or None.
    """
    found = ((keyword, value_of(keyword)) for keyword in META_KEYS)
    return tuple(
        (keyword, text)
        for keyword, value in found
        if value is not None and (text := str(value).strip())
    )
