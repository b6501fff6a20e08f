"""For what, when and where on the sky an exposure was taken, as its headers say it."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bkgflow.io.exposures.windows import number
from bkgflow.matching import normal, plain_number

__all__ = ["NOWHERE", "POINTING_KEYS", "TAKEN_KEYS", "Taken", "directions", "offsets", "read_taken"]

TAKEN_KEYS = {
    "PROGRAM": "observation.program_number",
    "OBSERVTN": "observation.observation_number",
    "VISIT": "observation.visit_number",
    "SUBARRAY": "subarray.name",
    "READPATT": "exposure.readpatt",
    "EXPSTART": "exposure.start_time",
    "EXPMID": "exposure.mid_time",
    "EXPEND": "exposure.end_time",
    "IS_IMPRT": "exposure.imprint",
}
"""What is read of the primary header: FITS keyword to the key below ``meta``."""

POINTING_KEYS = {
    "RA_REF": "meta.wcsinfo.ra_ref",
    "DEC_REF": "meta.wcsinfo.dec_ref",
    "CRVAL1": "meta.wcsinfo.crval1",
    "CRVAL2": "meta.wcsinfo.crval2",
    "RA_V1": "meta.pointing.ra_v1",
    "DEC_V1": "meta.pointing.dec_v1",
}
"""The same of SCI's header, in pairs: where the aperture's reference point lies on the sky, the
WCS's own, and the telescope's axis. The first pair that several exposures all have tells how far
they are from each other."""

ARCSEC = 3600.0


@dataclass(frozen=True, slots=True)
class Taken:
    """For what, when and where on the sky an exposure was taken.

    Attributes
    ----------
    program, observation, visit : str
        PROGRAM, OBSERVTN and VISIT without leading zeros; empty where missing.
    subarray, readout : str
        SUBARRAY and READPATT in capitals; empty where missing.
    mid_time : float or None
        MJD (UTC, days) of its middle: EXPMID, or that between EXPSTART and EXPEND; None where
        neither is there.
    pointings : tuple of (str, float, float)
        The first keyword of a pair of `POINTING_KEYS`, and right ascension and declination in
        degrees; those pairs that it has.
    imprint : bool
        IS_IMPRT: whether it is one.
    """

    program: str = ""
    observation: str = ""
    visit: str = ""
    subarray: str = ""
    readout: str = ""
    mid_time: float | None = None
    pointings: tuple[tuple[str, float, float], ...] = ()
    imprint: bool = False

    def pointing(self, by: str) -> tuple[float, float] | None:
        """Return right ascension and declination (degrees) by a keyword; None where missing."""
        return next(((ra, dec) for name, ra, dec in self.pointings if name == by), None)


NOWHERE = Taken()
"""Of an exposure whose headers say nothing."""


def read_taken(primary: Callable[[str], Hashable], sci: Callable[[str], object]) -> Taken:
    """Return what the keywords of a primary header and of SCI's say."""
    numbers = (primary(name) for name in ("PROGRAM", "OBSERVTN", "VISIT"))
    program, observation, visit = map(plain_number, numbers)
    return Taken(
        program=program,
        observation=observation,
        visit=visit,
        subarray=normal(primary("SUBARRAY")),
        readout=normal(primary("READPATT")),
        mid_time=_mid_time(primary),
        pointings=_pointings(sci),
        imprint=normal(primary("IS_IMPRT")) == "T",
    )


def _mid_time(primary: Callable[[str], Hashable]) -> float | None:
    middle = _finite(primary("EXPMID"))
    if middle is not None:
        return middle
    start, end = _finite(primary("EXPSTART")), _finite(primary("EXPEND"))
    return None if start is None or end is None else (start + end) / 2


def _pointings(sci: Callable[[str], object]) -> tuple[tuple[str, float, float], ...]:
    names = list(POINTING_KEYS)
    found = []
    for first, second in zip(names[::2], names[1::2], strict=True):
        ra, dec = _finite(sci(first)), _finite(sci(second))
        if ra is not None and dec is not None and abs(dec) <= 90:
            found.append((first, ra, dec))
    return tuple(found)


def _finite(value: object) -> float | None:
    found = number(value)
    return found if found is not None and math.isfinite(found) else None


def directions(pointings: Sequence[tuple[float, float] | None]) -> NDArray[np.float64]:
    """Return pointings (right ascension and declination, degrees) as unit vectors: (n, 3) float64.

    NaN where one is None.
    """
    angles = np.radians([(math.nan, math.nan) if each is None else each for each in pointings])
    ra, dec = angles.reshape(-1, 2).T
    return np.stack((np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)), axis=-1)


def offsets(one: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far other directions are from one, (3,) and (n, 3): (n,) float64, arcsec.

    From the chord between them, which is exact for the smallest dithers, as an arc cosine is not.
    NaN where either is.
    """
    chords = np.sqrt(((others - one) ** 2).sum(axis=-1))
    apart: NDArray[np.float64] = np.degrees(2 * np.arcsin(np.minimum(chords / 2, 1.0))) * ARCSEC
    return apart
