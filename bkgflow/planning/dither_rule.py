"""Which exposures of a group are each other's background: a value, checked when it is made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bkgflow.errors import SettingsError, UsageError
from bkgflow.io.exposures.extents import read_extents

__all__ = ["AT_LEAST", "DITHERS", "NARROWER", "DitherRule", "in_words", "rule_of"]

DITHERS = "dithers"
"""What ``backgrounds`` may be, beside nothing."""

NARROWER = ("observation", "visit")
"""What may part the exposures of a program further."""

AT_LEAST = 2
"""Backgrounds that an exposure must have, unless the caller says otherwise: of a single one, every
source and every bad pixel would be subtracted as it is."""

TIMES = {"d": 86400.0, "h": 3600.0, "min": 60.0, "s": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class DitherRule:
    """Which of the other exposures of its group are an exposure's background.

    Attributes
    ----------
    min_offset : float
        Arcsec that their pointings must be apart, at least; 0 for any.
    within_time : float or None
        Seconds that their mid-times may be apart; None for any.
    within_angle : float or None
        Arcsec that their pointings may be apart; None for any.
    at_least : int
        How many there must be, or the exposure is SKIPPED.
    narrower : tuple of str
        Those of `NARROWER` that must be the same as well.
    """

    min_offset: float = 0.0
    within_time: float | None = None
    within_angle: float | None = None
    at_least: int = AT_LEAST
    narrower: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        *,
        min_offset: float | None = None,
        within: object = None,
        at_least: int | None = None,
        narrower: str | Sequence[str] | None = None,
    ) -> DitherRule:
        """Return the rule that users give; None for what they do not say.

        Raises
        ------
        SettingsError
            If a value is out of bounds, or a word not known.
        """
        extents = read_extents("within", within)
        angle, least = extents.get("angle"), _offset(min_offset)
        if angle is not None and least > angle:
            raise SettingsError(
                "min_offset must be smaller than the angle in within",
                value=f"{least:g} and {angle:g} arcsec",
                cure="Give a smaller min_offset, or a larger within",
            )
        return cls(
            min_offset=least,
            within_time=extents.get("time"),
            within_angle=angle,
            at_least=_at_least(at_least),
            narrower=_narrower(narrower),
        )

    @property
    def asks_pointing(self) -> bool:
        """Whether it must be known where exposures point."""
        return self.min_offset > 0 or self.within_angle is not None

    def __str__(self) -> str:
        """What was asked for, as it is written; what is usual is left out."""
        words = [f"min_offset {self.min_offset:g} arcsec"] if self.min_offset else []
        if self.within_time is not None:
            words.append(f"within {in_words(self.within_time)}")
        if self.within_angle is not None:
            words.append(f"within {self.within_angle:g} arcsec")
        words += [f"at_least {self.at_least}"] if self.at_least != AT_LEAST else []
        return ", ".join((*words, *(f"of one {each}" for each in self.narrower)))


def in_words(seconds: float) -> str:
    """Return a time in the largest unit that leaves it above 1: "6 h"."""
    unit = next((name for name, size in TIMES.items() if seconds >= size), "s")
    return f"{seconds / TIMES[unit]:g} {unit}"


def rule_of(
    backgrounds: str | None,
    *,
    min_offset: float | None = None,
    within: object = None,
    at_least: int | None = None,
    narrower: str | Sequence[str] | None = None,
) -> DitherRule | None:
    """Return the rule of a plan's arguments; None where its backgrounds are those that are named.

    Raises
    ------
    UsageError
        If ``backgrounds`` is another word, or the others are given without it.
    """
    values = {
        "min_offset": min_offset, "within": within, "at_least": at_least, "narrower": narrower,
    }  # fmt: skip
    given = [name for name, value in values.items() if not _is_nothing(value)]
    if backgrounds is None and given:
        raise UsageError(
            f"{', '.join(given)} must come with backgrounds={DITHERS}",
            value="no backgrounds",
            cure=f"Give backgrounds={DITHERS} (--backgrounds {DITHERS}), or leave "
            f"{'it' if len(given) == 1 else 'them'} out",
        )
    if backgrounds is None:
        return None
    if backgrounds != DITHERS:
        raise UsageError(
            f"backgrounds must be {DITHERS}, or left out",
            value=backgrounds,
            cure=f"Give {DITHERS}; background files are named by associations or bkg_list",
        )
    return DitherRule.of(min_offset=min_offset, within=within, at_least=at_least, narrower=narrower)


def _is_nothing(value: object) -> bool:
    return value is None or (isinstance(value, str | list | tuple) and not value)


def _offset(given: float | None) -> float:
    offset = 0.0 if given is None else given
    if (
        isinstance(offset, bool)
        or not isinstance(offset, int | float)
        or not (0 <= offset < math.inf)
    ):
        raise SettingsError(
            "min_offset must be a number of arcsec, 0 or more",
            value=offset,
            cure="Give, for example, 1.5; without it no dither is too near",
        )
    return float(offset)


def _at_least(given: int | None) -> int:
    number = AT_LEAST if given is None else given
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise SettingsError(
            "at_least must be a whole number of backgrounds, 1 or more",
            value=number,
            cure=f"Give, for example, 3; without it, {AT_LEAST} are enough",
        )
    return number


def _narrower(given: str | Sequence[str] | None) -> tuple[str, ...]:
    several = given.split(",") if isinstance(given, str) else [*(given or ())]
    asked = {str(each).strip().lower() for each in several} - {""}
    if unknown := sorted(asked.difference(NARROWER)):
        raise SettingsError(
            f"narrower must be some of {', '.join(NARROWER)}",
            value=", ".join(unknown),
            cure=f"Name one of {', '.join(NARROWER)}; times and angles are for within",
        )
    return tuple(each for each in NARROWER if each in asked)
