"""What the schemas of stdatamodels say of a file: its keywords, their order, its arrays.

Read once for each class of data models in a process.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from bkgflow.io.fits.yaml_types import Loader

__all__ = ["ROOT", "Keyword", "arrays_of", "cards", "keywords_of"]

Schema = Mapping[str, Any]

ROOT = ""
"""The section of what lies in ``meta`` itself."""

PRIMARY = "PRIMARY"

CORE = "jwst/datamodels/schemas/core.schema.yaml"
"""In stdatamodels: what the primary header of every data model may hold."""

TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
}

SAID = {"type", "enum", "fits_keyword", "fits_hdu", "title", "description", "blend_table",
        "blend_rule", "default", "$schema", "id"}  # fmt: skip
"""What a schema may say of a value that `Keyword.takes` decides by itself."""


@dataclass(frozen=True, slots=True, eq=False)
class Keyword:
    """A card that a class of data models reads and writes: where its value is in the tree."""

    hdu: str
    keyword: str
    path: str
    schema: Schema

    def takes(self, value: Hashable) -> bool:
        """Whether the data model would take a card's value; it passes by what is not valid."""
        types = TYPES.get(str(self.schema.get("type")))
        if types is None or not SAID.issuperset(self.schema):
            return _is_valid(self, type(value), value)
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            return False
        return value in self.schema.get("enum", (value,))


@lru_cache(maxsize=4096)
def _is_valid(keyword: Keyword, _kind: type, value: Hashable) -> bool:
    """Have asdf say whether a value is what a schema has; 1 and True are not the same."""
    from asdf import schema as asdf_schema

    try:
        asdf_schema.validate(value, schema=keyword.schema)
    except asdf_schema.ValidationError:
        return False
    return True


class _ListsOfHdusError(Exception):
    """A schema says of which HDUs a list is made, and not where each value is."""


@lru_cache
def keywords_of(model: str) -> tuple[Keyword, ...] | None:
    """Return the keywords of a class of data models; None where lists of HDUs are among them."""
    schema = _schema_of(model)
    try:
        return tuple(_keywords(schema, ""))
    except _ListsOfHdusError:
        return None


def _keywords(schema: Schema, path: str) -> Iterator[Keyword]:
    """Yield them as stdatamodels looks for them, in the order of the schema."""
    if any(each in schema for each in ("allOf", "oneOf", "not")) or (
        schema.get("type") == "array" and "fits_hdu" in str(schema.get("items"))
    ):
        raise _ListsOfHdusError
    if "fits_keyword" in schema:
        hdu = schema.get("fits_hdu") or PRIMARY
        yield Keyword(hdu, schema["fits_keyword"], path, schema)
    if schema.get("type") == "object":
        for name, each in schema.get("properties", {}).items():
            yield from _keywords(each, f"{path}.{name}" if path else name)


def _schema_of(model: str) -> Schema:
    from stdatamodels.jwst import datamodels

    schema: Schema = getattr(datamodels, model)().schema
    return schema


def _core_schema() -> Schema:
    """Return the schema that all data models begin with, as stdatamodels keeps it in a file."""
    # Read without the package: it takes a third of a second to import, and much else with it.
    spec = find_spec("stdatamodels")
    assert spec is not None and isinstance(spec.loader, SourceFileLoader)
    path = Path(spec.origin or "").parent / CORE
    schema: Schema = yaml.load(spec.loader.get_data(str(path)), Loader)
    return schema


@lru_cache(maxsize=1)
def cards() -> dict[str, tuple[str, str]]:
    """Return the section and the comment of each keyword of a primary header, in order."""
    meta = _core_schema()["properties"]["meta"]
    return {
        each["fits_keyword"]: (
            ROOT if section == meta.get("title", ROOT) else section,
            str(each.get("title", "")),
        )
        for section, each in _leaves(meta, ROOT)
        if "fits_keyword" in each and each.get("fits_hdu", PRIMARY) == PRIMARY
    }


@lru_cache
def arrays_of(model: str) -> tuple[str, ...]:
    """Return the EXTNAME of each array of a class of data models, in the order of its file."""
    schema = _schema_of(model)
    leaves = (leaf for _, leaf in _leaves(schema, ROOT) if "fits_keyword" not in leaf)
    return tuple(leaf["fits_hdu"] for leaf in leaves if "fits_hdu" in leaf)


def _leaves(schema: Schema, section: str) -> Iterator[tuple[str, Schema]]:
    """Yield all that a schema has no more properties of, with the title of its section."""
    if "properties" not in schema:
        yield section, schema
        return
    for each in schema["properties"].values():
        yield from _leaves(each, schema.get("title", section))
