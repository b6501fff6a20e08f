"""What the schemas of stdatamodels say of a file: the order of its cards, and of its arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from astropy.io import fits
from stdatamodels.jwst import datamodels

__all__ = ["arrays_of", "set_card"]

Schema = Mapping[str, Any]


def set_card(primary: fits.Header, keyword: str, value: str | float) -> None:
    """Set a card; a new one goes where the schema has it, below the title of its section."""
    if keyword in primary:
        primary[keyword] = value
        return
    cards = _cards()
    keywords = list(cards)
    at = keywords.index(keyword)
    section, comment = cards[keyword]
    card = (keyword, value, comment)
    before = next(each for each in reversed(keywords[:at]) if each in primary)
    later = (each for each in keywords[at:] if each in primary and cards[each][0] == section)
    first_of_section = next(later, None)
    if cards[before][0] == section:
        primary.insert(before, card, after=True)
    elif first_of_section is not None:
        primary.insert(first_of_section, card)
    else:
        # Each card goes right behind the same one, so the last comes first.
        for each in (card, (" ", ""), (" ", section), (" ", "")):
            primary.insert(before, each, after=True)


@lru_cache(maxsize=1)
def _cards() -> dict[str, tuple[str, str]]:
    """Return the section and the comment of each keyword of a primary header, in order."""
    meta = datamodels.JwstDataModel().schema["properties"]["meta"]
    return {
        each["fits_keyword"]: (section, str(each.get("title", "")))
        for section, each in _leaves(meta, "")
        if "fits_keyword" in each and each.get("fits_hdu", "PRIMARY") == "PRIMARY"
    }


@lru_cache
def arrays_of(model: str) -> tuple[str, ...]:
    """Return the EXTNAME of each array of a class of data models, in the order of its file."""
    schema = getattr(datamodels, model)().schema
    leaves = (leaf for _, leaf in _leaves(schema, "") if "fits_keyword" not in leaf)
    return tuple(leaf["fits_hdu"] for leaf in leaves if "fits_hdu" in leaf)


def _leaves(schema: Schema, section: str) -> Iterator[tuple[str, Schema]]:
    """Yield all that a schema has no more properties of, with the title of its section."""
    if "properties" not in schema:
        yield section, schema
        return
    for each in schema["properties"].values():
        yield from _leaves(each, schema.get("title", section))
