"""How far exposures may be from each other, as users write it: a time, or an angle on the sky."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING

from bkgflow.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["read_extents"]


def read_extents(name: str, given: object) -> dict[str, float]:
    """Return what users give as extents by what they are: "time" in seconds, "angle" in arcsec.

    Parameters
    ----------
    name : str
        Of the argument, for errors.
    given : str, Quantity, TimeDelta, timedelta, or several
        ``6h``, ``30min``, ``2d``, ``30arcsec``, ``2arcmin``: what astropy reads as a quantity;
        with commas, or a sequence. None, and nothing, for no extent.

    Raises
    ------
    SettingsError
        If one is neither a time nor an angle, is not above 0, or there are two of a kind.
    """
    found: dict[str, float] = {}
    for each in _several(given):
        kind, size = _extent(name, each)
        if kind in found:
            raise _refused(name, given)
        found[kind] = size
    return found


def _several(given: object) -> Iterator[object]:
    if given is None:
        return
    if isinstance(given, str):
        yield from filter(None, (each.strip() for each in given.split(",")))
    elif isinstance(given, list | tuple):
        for each in given:
            yield from _several(each)
    else:
        yield given


def _extent(name: str, given: object) -> tuple[str, float]:
    # Only where one is asked for: it takes time to load.
    from astropy import units
    from astropy.time import TimeDelta

    if isinstance(given, timedelta | TimeDelta):
        quantity = TimeDelta(given).to(units.s)
    else:
        try:
            quantity = units.Quantity(given)
        except (TypeError, ValueError):
            raise _refused(name, given) from None
    for kind, unit in (("time", units.s), ("angle", units.arcsec)):
        if quantity.isscalar and quantity.unit.is_equivalent(unit):
            size = float(quantity.to_value(unit))
            if math.isfinite(size) and size > 0:
                return kind, size
    raise _refused(name, given)


def _refused(name: str, given: object) -> SettingsError:
    return SettingsError(
        f"{name} must be a time, an angle on the sky, or one of each, above 0",
        value=repr(given)[:200],
        cure="Give a number with its unit, such as 6h, 30min or 2arcmin",
    )
