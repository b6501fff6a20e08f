"""Files below a folder: walked once, so that nothing has to be asked for one by one."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from bkgflow.io.storage.location import Location
from bkgflow.io.storage.remote import Remote

__all__ = ["Tree", "names_in", "walk"]

HIDDEN = "."
"""What the names of hidden files and folders begin with: those of an editor, of version control,
of macOS (``._x_asn.json``), and what bkgflow has not published yet."""


@dataclass(slots=True)
class Tree:
    """The files below a folder, without hidden ones; links to folders are followed.

    Attributes
    ----------
    top : Location
        The folder itself.
    folders : dict
        Names of the files in each folder, by its location, in the order of the names.
    unread : list of (Location, str)
        Folders below that may not be read, and what the system says.
    """

    top: Location
    folders: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unread: list[tuple[Location, str]] = field(default_factory=list)
    _holders: dict[str, list[str]] | None = None

    def files(self) -> Iterator[Location]:
        """Return every file, folder by folder."""
        for folder, names in self.folders.items():
            for name in names:
                yield Location(folder) / name

    def named(self, name: str) -> list[Location]:
        """Return the files of a name, wherever they lie below the top."""
        if self._holders is None:  # only a program whose files are scattered needs it
            self._holders = defaultdict(list)
            for folder, names in self.folders.items():
                for each in names:
                    self._holders[each].append(folder)
        return [Location(folder) / name for folder in self._holders.get(name, ())]


def walk(top: Location) -> Tree:
    """Look into a folder and all those below it, once.

    Raises
    ------
    OSError
        If the top itself may not be read.
    """
    return _walk_local(top) if top.is_local else _walk_remote(top)


def names_in(folder: Location) -> frozenset[str] | None:
    """Return the names of all files in a folder; None where the storage does not list them.

    A folder that is not there holds none. Behind a URL the list also tells of each file what
    version it is, so that nobody need ask for it again.
    """
    if not folder.is_local:
        try:
            return frozenset(Remote.of(folder.url).names(files=True))
        except FileNotFoundError:
            return frozenset()
        except OSError:
            return None  # some buckets give files, and no lists
    try:
        with os.scandir(folder.url) as entries:
            return frozenset(entry.name for entry in entries if not _is_folder(entry))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return frozenset()
    except OSError:
        return None  # what may not be listed may still be entered


def _walk_local(top: Location) -> Tree:
    tree = Tree(top)
    seen = {_inode(os.stat(top.url))}  # noqa: PTH116 - as for the folders below
    left = [top.url]
    while left:
        folder = left.pop()
        try:
            with os.scandir(folder) as entries:
                found = sorted(
                    (each for each in entries if not each.name.startswith(HIDDEN)),
                    key=lambda entry: entry.name,
                )
        except OSError as problem:
            if folder == top.url:
                raise
            tree.unread.append((Location(folder), problem.strerror or str(problem)))
            continue
        names, below = list[str](), list[os.DirEntry[str]]()
        for each in found:
            try:
                below.append(each) if each.is_dir() else names.append(each.name)
            except OSError as problem:  # a link to itself, or to where nobody may look
                tree.unread.append((Location(each.path), problem.strerror or str(problem)))
        tree.folders[folder] = tuple(names)
        for each in reversed(below):  # the last one is taken first
            with suppress(OSError):  # it has gone since
                inode = _inode(each.stat())
                if inode not in seen:  # a link may lead back up
                    seen.add(inode)
                    left.append(each.path)
    return tree


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or to where nobody may look
        return False


def _inode(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _walk_remote(top: Location) -> Tree:
    folders: dict[str, list[str]] = defaultdict(list)
    for path in Remote.of(top.url).below():
        *above, name = path.split("/")
        if not any(each.startswith(HIDDEN) for each in (*above, name)):
            folders["/".join((top.url.rstrip("/"), *above))].append(name)
    return Tree(top, {folder: tuple(names) for folder, names in sorted(folders.items())})
