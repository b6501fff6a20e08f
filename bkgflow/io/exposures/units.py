"""Whether two units, as headers write them, are one."""

from __future__ import annotations

from bkgflow.io.fits.unwarned import unwarned
from bkgflow.matching import normal

__all__ = ["same_unit"]


def same_unit(one: str, other: str) -> bool:
    """Whether two values of BUNIT mean the same; one that says nothing agrees with every other.

    ``DN/s``, ``dn / s`` and ``DN s-1`` are one unit; ``MJy/sr`` and ``mJy/sr`` are two.
    """
    if not normal(one) or not normal(other) or one.strip() == other.strip():
        return True
    # Only now: it takes time to load, and units that differ are rare.
    from astropy import units

    with unwarned():
        parsed = [units.Unit(each.strip(), parse_strict="silent") for each in (one, other)]
    if parsed[0] == parsed[1]:
        return True
    # Letters of another size may be a slip of the pen, unless both mean something: MJy, mJy.
    alike = "".join(one.split()).upper() == "".join(other.split()).upper()
    return alike and not parsed[0].is_equivalent(parsed[1])
