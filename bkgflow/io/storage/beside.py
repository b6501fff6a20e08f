"""Files that are put beside their place, so that others can be there; and files that go."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterable

from bkgflow.io.storage.location import Location
from bkgflow.io.storage.many_files import METADATA, is_product
from bkgflow.io.storage.owner import Owner
from bkgflow.io.storage.publish import PREFIX
from bkgflow.io.storage.refused import not_writable
from bkgflow.io.storage.remote import Remote

__all__ = ["put_beside", "remove"]

SQLITE = ("-wal", "-shm", "-journal")
"""What stands behind a database's name in those of the files that belong to it."""


def put_beside(file: Location, word: str, clock: float | None = None) -> list[Location]:
    """Give what is at a location another name in its folder; return where it is now.

    It is called after the time, ``name.WORD-20261129-144105``, without its suffix; files that
    belong to a database go with it. An object keeps its suffix. Where nothing is there, nothing
    is done.

    Raises
    ------
    OutputError
        If the system does not do it.
    """
    now = time.strftime("%Y%m%d-%H%M%S", time.gmtime(clock))
    if not file.is_local:
        return _object_beside(file, f"{word}-{now}")
    path = file.path
    base = f"{path.stem}.{word}-{now}"
    number = 1
    while any(path.with_name(base + end).exists() for end in ("", *SQLITE)):
        number += 1
        base = f"{path.stem}.{word}-{now}-{number}"
    moved = []
    for end in (*SQLITE, ""):  # a journal without its database means nothing to anybody
        own = path.with_name(path.name + end)
        if not own.is_symlink() and not own.exists():
            continue
        try:
            moved.append(Location.of(own.rename(path.with_name(base + end))))
        except OSError as problem:
            raise not_writable(Location.of(own), problem) from problem
    return moved


def _object_beside(file: Location, words: str) -> list[Location]:
    """Give an object another name: it is copied within the store, and goes."""
    stem, dot, suffix = file.name.rpartition(".")
    other_place = file.parent / f"{stem or file.name}.{words}{dot}{suffix}"
    one, other = Remote.of(file.url), Remote.of(other_place.url)
    try:
        if not one.is_file():
            return []
        other.ask(lambda: other.system.cp_file(one.path, other.path))
        one.remove()
    except OSError as problem:
        raise not_writable(file, problem) from problem
    return [other_place]


def remove(files: Iterable[Location]) -> tuple[list[Location], list[str]]:
    """Remove files; return those that are gone, and a sentence for each that is not.

    Products that are folders go at once: no reader finds half of one.
    """
    gone, left = [], []
    for each in files:
        try:
            if not each.is_local:
                _remove_objects(each)
            elif is_product(each.path):
                _remove_product(each)
            else:
                each.path.unlink()
        except FileNotFoundError:
            gone.append(each)
        except OSError as problem:
            left.append(f"{each.name} cannot be removed: {problem.strerror or problem}")
        else:
            gone.append(each)
    return gone, left


def _remove_objects(where: Location) -> None:
    """Remove an object, or those of a product: first the one that it does not open without."""
    remote = Remote.of(where.url)
    names = remote.below() if remote.is_s3 else []
    for name in sorted(names, key=lambda name: name != METADATA):
        Remote.of((where / name).url).remove()
    if not names:
        remote.remove()


def _remove_product(product: Location) -> None:
    hidden = tempfile.mkdtemp(prefix=f"{PREFIX}{Owner.me()}-", dir=product.parent.path)
    try:
        product.path.rename(f"{hidden}/{product.name}")
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
