"""How arguments may be written: types that bring several spellings to one value."""

from __future__ import annotations

import os
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from bkgflow.detector import bits_of, names_of_bits
from bkgflow.matching import known_names
from bkgflow.upaths import as_given

__all__ = [
    "DEFAULT_PERCENTILES", "Bits", "File", "Files", "Flags", "Keywords", "Percentiles", "Several",
    "Share", "SourcePercentile",
]  # fmt: skip


def _in_order(percentiles: tuple[float, float]) -> tuple[float, float]:
    if not percentiles[0] < percentiles[1]:
        raise ValueError("the first percentile must be below the second")
    return percentiles


DEFAULT_PERCENTILES = (25.0, 50.0)


def _split(given: object) -> object:
    if given is None:  # the reference step's own default
        return DEFAULT_PERCENTILES
    return given.split(",") if isinstance(given, str) else given


def _as_text(given: object) -> object:
    """Paths of any type as text; several of them with commas."""
    if isinstance(given, list | tuple):
        return ",".join(str(_as_text(each)) for each in given) or None
    given = as_given(given)
    return os.fspath(given) if isinstance(given, os.PathLike) else given


class Several:
    """Marks an argument that may be given several times: its values are joined with commas."""


def _names(given: object) -> object:
    """Take names apart that stand behind each other with commas; all must be known."""
    items = [given] if isinstance(given, str) else given
    if not isinstance(items, list | tuple | set | frozenset):
        if items is None:
            return ()
        raise ValueError("allow_mismatch must be names of keywords, such as filter,bunit")
    return known_names(name for item in items for name in str(item).split(","))


Keywords = Annotated[tuple[str, ...], BeforeValidator(_names)]
"""Names of `bkgflow.matching.TABLE`, as a list or with commas."""

Percentile = Annotated[float, Field(ge=0, le=100)]

Percentiles = Annotated[
    tuple[Percentile, Percentile], BeforeValidator(_split), AfterValidator(_in_order)
]
"""Two of them, the lower first; also as strun's users write them, with a comma."""

File = Annotated[str | None, BeforeValidator(_as_text)]

Files = Annotated[str | None, BeforeValidator(_as_text), Several()]
"""Paths with commas, or a sequence of them."""


class Flags:
    """Marks an argument of DQ flags."""


def _flags(given: object) -> object:
    """Write DQ flags in one way, so that equal ones are equal values."""
    if given is None or (isinstance(given, str) and given.strip().upper() in ("", "NONE")):
        return None
    return names_of_bits(bits_of(given))


Bits = Annotated[str | None, BeforeValidator(_flags), Flags()]
"""Names of DQ flags with ``+`` between them; also as numbers, with commas, ``|``, after a ``~``."""


def _share(given: object) -> object:
    """Return any, all, or a share in percent between these."""
    word = given.strip().lower() if isinstance(given, str) else given
    try:
        percent = {"any": 0.0, "all": 100.0}.get(str(word)) if word in ("any", "all") else None
        percent = float(str(word)) if percent is None else percent
    except ValueError:
        percent = -1.0
    if not 0 <= percent <= 100:
        raise ValueError("bkg_dq must be any, all, or a share from 0 to 100 percent")
    return {0.0: "any", 100.0: "all"}.get(percent, percent)


Share = Annotated[str | float, BeforeValidator(_share)]


def _number_of(value: object) -> str:
    several = isinstance(value, list | tuple) or (isinstance(value, str) and "," in value)
    return "two" if several else "one"


SourcePercentile = Annotated[
    Annotated[Percentile, Tag("one")]
    | Annotated[tuple[Percentile, Percentile], BeforeValidator(_split), Tag("two")],
    Discriminator(_number_of),
]
"""One, or one for each side: left, right."""
