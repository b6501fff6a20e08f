"""Paths of other packages: of a store, as universal_pathlib has them, the URL is what counts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TypeVar

from bkgflow.errors import UsageError

__all__ = ["as_given"]

T = TypeVar("T")

PARTS = ("protocol", "path", "storage_options")
"""Attributes of a path in a store, by which it is known: its package is not imported for this."""


def as_given(given: T) -> T | str:
    """Return a path in a store as its URL; whatever else was given, as it is.

    Raises
    ------
    UsageError
        If the path has options of its own: workers, and the next run, would not know them.
    """
    if isinstance(given, str | os.PathLike) or not all(hasattr(given, part) for part in PARTS):
        return given
    options = getattr(given, PARTS[-1])
    # Without credentials a store is asked anonymously anyway.
    if isinstance(options, Mapping) and (named := sorted({*map(str, options)} - {"anon"})):
        raise UsageError(
            "A path in a store must have no options of its own",
            file=str(given),
            value=", ".join(named),
            cure="Put the endpoint and the credentials into the environment (AWS_ENDPOINT_URL,"
            " AWS_ACCESS_KEY_ID, …) or into fsspec's configuration, and give the URL",
        )
    return str(given)
