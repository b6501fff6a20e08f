"""The arguments of simulated programs: what the command line says of them, and their bounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, NamedTuple

from bkgflow.detector import Window
from bkgflow.errors import SettingsError

__all__ = [
    "MOST",
    "Argument",
    "OnExposure",
    "Seed",
    "Size",
    "check",
    "check_share",
    "one_of",
]

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

    Parameters
    ----------
    frame : Window
        The whole detector, of which a size is a cut-out; None is the whole of it.
    **numbers : (value, least) or (value, least, most)
        By the name of the argument.

    Raises
    ------
    SettingsError
        Where one is not a whole number, below the least or above the most.
    """
    if size is not None:
        _check_number("size", size, SMALLEST, min(frame.shape))
    _check_number("seed", seed, 0)
    for name, bounded in numbers.items():
        _check_number(name, *bounded)


def _check_number(name: str, value: int, least: int, most: int | None = None) -> None:
    """Refuse an argument that is not a whole number within its bounds."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if whole and least <= value and (most is None or value <= most):
        return
    bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
    raise SettingsError(
        f"{name} must be a whole number {bounds}",
        value=repr(value),
        cure="Give a number within these bounds",
    )


def check_share(name: str, value: float, most: float = math.inf) -> None:
    """Refuse an argument that is not a finite number from 0 to the most."""
    if not 0 <= value <= most or not math.isfinite(value):
        raise SettingsError(
            f"{name} must be a number from 0 to {most:g}",
            value=value,
            cure="Give a number within these bounds",
        )


def one_of(name: str, value: str | None, known: Collection[str]) -> str:
    """Return the known word that a value is but for its case; for None the first one.

    Raises
    ------
    SettingsError
        Where it is none of them.
    """
    chosen = next(iter(known), "") if value is None else str(value).upper()
    if chosen in known or value is None:
        return chosen
    raise SettingsError(
        f"{name} must be {' or '.join(known) or 'left out for this instrument'}",
        value=chosen,
        cure="Give one of these" if known else f"Leave {name} out",
    )
