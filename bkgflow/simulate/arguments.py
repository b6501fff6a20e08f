"""The arguments of simulated programs: what the command line says of them, and their bounds.

One that is out of bounds raises SettingsError.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, NamedTuple

from bkgflow.detector import Window
from bkgflow.errors import SettingsError

__all__ = ["MOST", "Argument", "OnExposure", "Seed", "Size", "check", "check_share", "one_of"]

SMALLEST = 16
"""The smallest side of a cut-out, in pixels."""

MOST = 999
"""Observations, or exposures of one, that three digits can count."""

OnExposure = Callable[[Path], None] | None
"""Called with the path of each exposure as soon as it is written."""


class Argument(NamedTuple):
    """Makes an argument an option of the command line: its help, its default in words."""

    help: str
    default: str | None = None


Size = Annotated[
    int | None, Argument("Side of the detector window in pixels.", "the whole subarray")
]
Seed = Annotated[int, Argument("Of the random numbers; same seed, same program.")]


def check(frame: Window, size: int | None, seed: int, **numbers: tuple[int, ...]) -> None:
    """Refuse a size, a seed or other arguments that are no whole number within their bounds.

    ``frame`` is the whole detector, of which a size is a cut-out. The others are given as
    (value, least) or (value, least, most) by the name of the argument.
    """
    sizes = {} if size is None else {"size": (size, SMALLEST, min(frame.shape))}
    for name, (value, least, *most) in (sizes | {"seed": (seed, 0)} | numbers).items():
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or value < least or any(value > each for each in most):
            bounds = f"from {least} to {most[0]}" if most else f"of at least {least}"
            raise _refused(f"{name} must be a whole number {bounds}", repr(value))


def check_share(name: str, value: float, most: float = math.inf) -> None:
    """Refuse an argument that is not a finite number from 0 to the most."""
    if not 0 <= value <= most or not math.isfinite(value):
        raise _refused(f"{name} must be a number from 0 to {most:g}", value)


def _refused(rule: str, value: object) -> SettingsError:
    return SettingsError(rule, value=value, cure="Give a number within these bounds")


def one_of(name: str, value: str | None, known: Collection[str]) -> str:
    """Return the known word that a value is but for its case; for None the first one."""
    chosen = next(iter(known), "") if value is None else str(value).upper()
    if chosen in known or value is None:
        return chosen
    raise SettingsError(
        f"{name} must be {' or '.join(known) or 'left out for this instrument'}",
        value=chosen,
        cure="Give one of these" if known else f"Leave {name} out",
    )
