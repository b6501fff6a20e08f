"""The headers of many exposures, several at a time: behind a URL each takes its while."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from bkgflow.errors import InputError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.from_fits import inspect
from bkgflow.io.storage.location import Location

__all__ = ["each_inspected", "inspect_all"]

AT_A_TIME = 32
"""Exposures behind a URL whose headers are asked for at the same time."""


def inspect_all(locations: Sequence[Location]) -> list[ExposureFacts]:
    """Return the facts of exposures; the first error in their order is raised.

    Raises
    ------
    InputError
        If one of them is bad.
    """
    found = []
    for each in each_inspected(locations):
        if isinstance(each, InputError):
            raise each
        found.append(each)
    return found


def each_inspected(locations: Sequence[Location]) -> Iterator[ExposureFacts | InputError]:
    """Yield the facts of exposures in their order; of a bad one, its error."""
    if all(each.is_local for each in locations):
        yield from map(_inspected, locations)  # what a thread gains, the interpreter's lock takes
        return
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        yield from threads.map(_inspected, locations)


def _inspected(location: Location) -> ExposureFacts | InputError:
    try:
        return inspect(location)
    except InputError as error:  # a store that does not answer is nobody's in particular
        return error
