"""A fifth of the tests' time was asdf's, which parses the same few schemas over and over."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

import yaml
from asdf import schema

__all__ = ["keep_parsed_schemas"]

parsed = cache(yaml.load)


def load(content: Any, Loader: Any) -> Any:
    """`yaml.load`; of text that was seen before, what it gave then."""
    return (parsed if isinstance(content, bytes) else yaml.load)(content, Loader=Loader)


def keep_parsed_schemas() -> None:
    """Have asdf parse each schema once in a process; it checks models against them as before."""
    schema.yaml = SimpleNamespace(load=load)
