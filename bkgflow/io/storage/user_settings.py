"""Files of settings that a user keeps: where they are looked for, and which there are."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from bkgflow.io.storage.location import Location

__all__ = ["files_in", "settings_folders"]


def settings_folders(drawer: str, variable: str) -> tuple[Location, ...]:
    """Return the folders of a user's settings of some sort, the one that counts most first.

    Parameters
    ----------
    drawer : str
        Its name below ``$XDG_CONFIG_HOME/bkgflow``, or ``~/.config/bkgflow``.
    variable : str
        Of the environment: names folders that go before that one, with colons between them.
    """
    named: list[str | Path] = [
        each for each in os.environ.get(variable, "").split(os.pathsep) if each
    ]
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    named.append(config / "bkgflow" / drawer)
    return tuple(Location.of(each) for each in named)


def files_in(folder: Location, suffixes: Collection[str]) -> list[Location]:
    """Return the files of a folder that end so, by their names; of one that is not there, none."""
    with suppress(OSError):
        return [each for each in folder.listing() if each.suffix in suffixes and each.is_file()]
    return []
