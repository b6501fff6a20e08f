"""Several files by one name: patterns, home folders, and files that list others."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from itertools import chain
from typing import Any

from bkgflow.errors import FileError, StorageError
from bkgflow.io.storage.remote import Remote
from bkgflow.io.storage.web import is_web, path_of
from bkgflow.upaths import as_given

__all__ = ["expanded", "parted", "split_list"]

MOST_NESTED = 5
"""Files of lines that name each other, before it must be a circle."""


def expanded(text: str, nested: int = 0) -> list[str]:
    """Return the paths that a name stands for; most names stand for themselves.

    Parameters
    ----------
    text : str
        A path or a URL; ``~/…``; a pattern with ``*``, ``?``, ``[…]`` or ``**``; or ``@FILE``,
        whose lines are any of these. Blank lines, and those that begin with ``#``, are left out.
        Lines count from the working folder, or else from the folder of the file. A file that has
        such a name is meant itself.

    Returns
    -------
    list of str
        Of a pattern, in the order of the names, without hidden files.

    Raises
    ------
    FileError
        If no file fits a pattern, or a file of lines cannot be read.
    """
    path = os.path.expanduser(text) if text.startswith("~") else text  # noqa: PTH111 - text
    if path.startswith("@") and "://" in path and not _exists(path):
        return _listed(path[1:], nested)
    if "://" in path:
        return _matching(path)
    if _exists(path):
        return [path]
    if path.startswith("@"):
        return _listed(path[1:], nested)
    if not glob.has_magic(path):
        return [path]  # whoever opens it says that it is not there
    found = sorted(glob.glob(path, recursive=True))  # noqa: PTH207 - relative as it was given
    if not found:
        raise FileError(
            "A pattern must fit one file at least",
            file=os.path.abspath(path),  # noqa: PTH100 - text
            value="none",
            cure="Correct the pattern, or the folder that it is looked for in",
        )
    return found


def parted(text: str) -> list[str]:
    """Return the parts of a comma list; a file whose own name has a comma is one part."""
    if "," not in text:
        return [text]
    several = text.split(",")
    if "://" not in several[0]:
        return [text] if _exists(text) else several
    # A second URL in the name of an object: nobody has that.
    return [text] if text.count("://") == 1 and _is_there(text) else several


def _listed(name: str, nested: int) -> list[str]:
    name = os.path.expanduser(name)  # noqa: PTH111 - text
    try:
        if nested == MOST_NESTED:
            raise ValueError("files of lines that name each other in a circle")
        if "://" in name:
            lines = Remote.of(name).fetch().decode("utf-8-sig").splitlines()
        else:
            with open(name, encoding="utf-8-sig") as stream:  # noqa: PTH123 - text
                lines = list(stream)
        lines = [line.strip() for line in lines]
    except (OSError, ValueError) as problem:
        raise FileError(
            "A list (@FILE) must be a text file with a path on each line",
            file=name if "://" in name else os.path.abspath(name),  # noqa: PTH100 - text
            value=getattr(problem, "strerror", None) or problem,
            cure="Correct its name or its lines",
        ) from None
    said = (line for line in lines if line and not line.startswith("#"))
    folder = os.path.dirname(name)  # noqa: PTH120 - text
    if "://" in name:  # a line that is no URL of its own counts from the folder of the list
        said = (each if _is_whole(each) else f"{folder}/{each}" for each in said)
    return list(chain.from_iterable(expanded(_from(folder, each), nested + 1) for each in said))


def _is_whole(line: str) -> bool:
    """Whether a line says by itself where something is."""
    return line.removeprefix("@").startswith(("/", "~")) or "://" in line


def _matching(url: str) -> list[str]:
    """Return the objects that a pattern in a URL fits, in the order of their names."""
    if not _is_pattern(url) or _is_there(url):
        return [url]
    remote = Remote.of(url)
    try:
        found = remote.matching()
    except OSError as problem:
        raise FileError(
            "The bucket of a pattern must be readable",
            file=url,
            value=problem.strerror or problem,
            cure="Check the URL and the permissions",
        ) from None
    if not found:
        raise FileError(
            "A pattern must fit one file at least",
            file=url,
            value="none",
            cure="Correct the pattern, or the folder that it is looked for in"
            + (", which its server must list" if is_web(url) else ""),
        )
    return found


def _is_pattern(url: str) -> bool:
    """Whether a URL has marks of a pattern; of a web server, in its path alone."""
    rest = url.partition("://")[2]
    # Before the path there may be a host of brackets ([::1]), and behind it a query.
    if is_web(url):
        rest = path_of(url).partition("://")[2].partition("/")[2]
    return glob.has_magic(rest)


def _is_there(url: str) -> bool:
    """Whether something has this name itself; false where the store does not say."""
    try:
        return Remote.of(url).exists()
    except (OSError, StorageError):
        return False


def _from(folder: str, line: str) -> str:
    """Return a line as it counts from the working folder."""
    mark, path = ("@", line[1:]) if line.startswith("@") else ("", line)
    beside = os.path.join(folder, path)  # noqa: PTH118 - text
    if path.startswith("~") or "://" in path or _fits(path) or not _fits(beside):
        return line
    return mark + beside


def _fits(path: str) -> bool:
    return _exists(path) or (glob.has_magic(path) and bool(glob.glob(path, recursive=True)))  # noqa: PTH207


def _exists(path: str) -> bool:
    try:
        return os.path.lexists(path)
    except ValueError:  # a NUL, or half a character
        return False


def split_list(items: object) -> list[Any]:
    """Read a ``bkg_list``: one item, a comma list as the reference step has it, or a sequence.

    Each item may be a pattern (``bkg/*_rate.fits``), ``@FILE`` for a file of lines, or begin with
    ``~``; items of a sequence may be comma lists. Empty ones, as a trailing comma leaves them, are
    dropped. What is no text stays as it is.

    Raises
    ------
    FileError
        If no file fits a pattern, or a file of lines cannot be read.
    """
    if items is None:
        return []
    listed = getattr(items, "tolist", None)  # of an array or a column of names
    several = listed() if listed is not None else items
    if not isinstance(several, list | tuple | set | frozenset | Iterator):
        several = [several]
    return [each for item in several for each in _split(item)]


def _split(item: object) -> list[Any]:
    item = as_given(item)
    if not isinstance(item, str):
        return [item]
    return [each for part in parted(item) if part.strip() for each in expanded(part.strip())]
