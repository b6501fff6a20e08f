"""Folders by the shortest way to them."""

from __future__ import annotations

import os

from bkgflow.io.storage.location import Location, PathLike

__all__ = ["folder_of", "without_detours"]


def folder_of(where: PathLike) -> Location:
    """Return the location of a folder, without ``..`` in its path where that means the same.

    What goes by way of a folder is lost with that, and hard to read. Behind a link ``..`` is
    another folder than the words say: there it stays.
    """
    found = Location.of(where)
    if not found.is_local or ".." not in found.url.split("/"):
        return found
    plain = Location(os.path.normpath(found.url))
    try:
        return plain if plain.real() == found.real() else found
    except ValueError:  # a NUL in it
        return found


def without_detours(given: str) -> str:
    """Return a folder as it was given on a command line, likewise."""
    return str(folder_of(given)) if ".." in given.split("/") else given
