"""Hidden folders of files that never appeared: who left them, and away with those of the dead."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bkgflow.errors import BkgflowError
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.owner import Owner
from bkgflow.io.storage.publish import PREFIX
from bkgflow.io.storage.reached import ICECHUNK
from bkgflow.io.storage.remote import Remote
from bkgflow.io.storage.trial import TOKEN, drop_token

__all__ = ["Cleared", "clear_dead", "clear_run", "dead_in"]

OLD = 86400.0
"""Seconds after which a hidden folder that names nobody counts as left behind."""

RUN_ID = 8
"""Letters of a run's short id."""


@dataclass(frozen=True, slots=True)
class Cleared:
    """How many hidden folders were taken away, and why others were left: a sentence each."""

    removed: int = 0
    kept: tuple[str, ...] = ()


def clear_dead(folder: Location) -> Cleared:
    """Take away what dead runs and processes left in a folder; its lock must be held.

    A run that lives would hold the lock, wherever it is: what names a run is dead. What names a
    process, such as that of ``bkgflow subtract``, is dead if it ran here and is gone; of another
    host's nobody knows, and it stays.
    """
    if not folder.is_local:
        return _clear_store(folder)
    _drop_tokens(folder)
    removed, kept = 0, []
    for path in _hidden(folder):
        if reason := _alive(path):
            kept.append(f"{path.name} is left there: {reason}")
        elif _remove(path):
            removed += 1
        else:
            kept.append(f"{path.name} was left by a dead process and cannot be removed")
    return Cleared(removed, tuple(kept))


def dead_in(folder: Location) -> list[tuple[Location, int]]:
    """Return the hidden folders that `clear_dead` would take away, with the bytes in them."""
    if not folder.is_local:
        from bkgflow.io.storage.remote_publish import staged

        found = staged(folder)
        return [(folder / name, size) for name, size in found.items() if not _living(_marked(name))]
    return [(Location.of(each), _size(each)) for each in _hidden(folder) if not _alive(each)]


def _clear_store(folder: Location) -> Cleared:
    """Do it in an object store: staging places, uploads that never ended, words that were left.

    An upload does not say whose it is; who held the lock is dead.
    """
    from bkgflow.io.storage.objects import abort_uploads
    from bkgflow.io.storage.remote_publish import clear_scratch, clear_staging

    try:
        removed = abort_uploads(Remote.of(folder.url))
        removed += clear_staging(folder, lambda mark: not _living(mark))
    except OSError as problem:
        return Cleared(0, (f"what dead runs left in {folder} is not cleared: {problem.strerror}",))
    return Cleared(removed + clear_scratch())


def _size(folder: Path) -> int:
    try:
        return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
    except OSError:
        return 0


def clear_run(folder: Location, run: str) -> int:
    """Take away what a run has begun and will not publish; return how many files that were.

    A worker elsewhere that still writes one of them cannot publish it any more.
    """
    if folder.url.startswith(ICECHUNK):
        return 0  # nothing is seen of what was not committed
    if not folder.is_local:
        from bkgflow.io.storage.remote_publish import clear_staging

        with suppress(OSError, BkgflowError):
            return clear_staging(folder, lambda mark: mark == run)
        return 0
    return sum(_remove(path) for path in _hidden(folder) if _mark(path) == run)


def _hidden(folder: Location) -> list[Path]:
    try:
        return [each for each in folder.path.glob(f"{PREFIX}*") if each.is_dir()]
    except OSError:
        return []


def _drop_tokens(folder: Location) -> None:
    """Take away what a driver and its workers left that died while they looked at the folder."""
    with suppress(OSError):
        for path in folder.path.glob(f"{TOKEN}*"):
            drop_token(folder, path.name)


def _mark(path: Path) -> str:
    """Return whom a hidden folder names: between the prefix and the random end."""
    return _marked(path.name)


def _marked(name: str) -> str:
    return name.removeprefix(PREFIX).rpartition("-")[0]


def _alive(path: Path) -> str:
    """Return why a hidden folder may still be wanted; empty if it is not."""
    mark = _mark(path)
    if Owner.read(mark) is not None or _is_run(mark):
        return _living(mark)
    try:
        age = time.time() - path.stat().st_mtime
    except OSError:
        return ""
    return "" if age > OLD else "it names nobody and is new"


def _is_run(mark: str) -> bool:
    return len(mark) == RUN_ID and set(mark) <= set("0123456789abcdef")


def _living(mark: str) -> str:
    """Return why what is marked so may still be wanted; empty where it is not."""
    owner = Owner.read(mark)
    if owner is None or owner.dead:
        return ""
    elsewhere = "" if owner.here else ", which cannot be asked from here"
    return f"it belongs to {owner.words}{elsewhere}"


def _remove(path: Path) -> bool:
    shutil.rmtree(path, ignore_errors=True)
    return not path.exists()
