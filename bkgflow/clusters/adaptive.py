"""How many workers a cluster may have: few while there is little to do, and more as there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bkgflow.errors import SettingsError

__all__ = ["Adaptive"]


class Adaptive(NamedTuple):
    """Bounds between which a scheduler asks for workers, by what it has to do.

    Attributes
    ----------
    minimum, maximum : int
        Workers; at least one, because a run waits for the first one before it asks for anything.
    """

    minimum: int
    maximum: int

    @classmethod
    def of(cls, value: object) -> Adaptive | None:
        """Return the bounds that a profile or the command line gives; None for none.

        Parameters
        ----------
        value : str, mapping, pair of int, or None
            "1:20", ``{minimum: 1, maximum: 20}``, or (1, 20).

        Raises
        ------
        SettingsError
            If these are no bounds.
        """
        if value is None:
            return None
        parts: list[object] = []
        match value:
            case str():
                parts = [int(each) for each in value.split(":") if each.strip().isdecimal()]
            case Mapping() if set(value) == {"minimum", "maximum"}:
                parts = [value["minimum"], value["maximum"]]
            case tuple() | list():
                parts = list(value)
        match parts:
            case [int() as low, int() as high] if 1 <= low <= high:
                return cls(low, high)
        raise SettingsError(
            "Adaptive workers must be a minimum of at least 1 and a maximum no smaller than that",
            value=f"adaptive={value}",
            cure="Give adaptive: {minimum: 1, maximum: 20} in a profile, or --adaptive 1:20",
        )

    def __str__(self) -> str:
        """As the command line takes it."""
        return f"{self.minimum}:{self.maximum}"
