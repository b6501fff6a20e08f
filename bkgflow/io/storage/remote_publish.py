"""Publishing into an object store: a scratch file on this machine, then a conditional put.

An object appears whole, by the store's own promise, and only if there is still what was there when
the draft was begun. A folder, such as a group of zarr, has one object without which it does not
open: that one is put last. The old folder stays until all of the new one is in the store, at a
staging place; then, within the time that the store takes to copy it, the folder has no such object,
and a reader finds nothing rather than a mixture.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from uuid import uuid4

from bkgflow.errors import OutputError, StorageError
from bkgflow.io.storage import objects
from bkgflow.io.storage.checksum import checksum_of
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.lock import check_held
from bkgflow.io.storage.objects import Head, writing_object
from bkgflow.io.storage.owner import Owner
from bkgflow.io.storage.publish import PREFIX, Draft, scratch_path, write_text
from bkgflow.io.storage.remote import Remote
from bkgflow.io.storage.trial import TOKEN

__all__ = ["TOP", "RemotePublish", "check_puts", "clear_scratch", "clear_staging", "staged"]

TOP = ("zarr.json", ".zgroup", ".zarray")
"""Names of the object that a folder does not open without."""


@dataclass(frozen=True, slots=True)
class RemotePublish:
    """Objects of a store that fsspec reaches.

    Attributes
    ----------
    run : str
        The short id of the run whose products these are; empty for this process's own.
    fault : callable or None
        Called before anything is put; raises what a store would.
    home : Location or None
        The run's folder, where its lock is; without one, that of each object.
    """

    run: str = ""
    fault: Callable[[], object] | None = None
    home: Location | None = None

    def prepare(self, to: Location) -> Draft:
        """Begin an object, or a folder of them, in a scratch file of this machine.

        Without the run's lock nothing is begun.
        """
        _clear_once()
        with writing_object(to.url, StorageError):
            if self.run:
                check_held(self.home or to.parent, self.run)
            before = objects.head(Remote.of(to.url))
        appear = _Appear(self.run, before, self.fault, self.home)
        return Draft(to, scratch_path(to, None, str(Owner.me())), appear)


@dataclass(frozen=True, slots=True)
class _Appear:
    """How a draft appears: only over what was there when it was begun."""

    run: str
    before: Head | None
    fault: Callable[[], object] | None
    home: Location | None

    def __call__(self, scratch: Path, to: Location) -> None:
        with writing_object(to.url):
            if self.fault is not None:
                self.fault()
            if self.run:
                check_held(self.home or to.parent, self.run)  # it may have ended meanwhile
            if scratch.is_dir():
                _put_folder(scratch, to, self.run, self.home)
            else:
                etag = self.before.etag if self.before else None
                objects.put_file(Remote.of(to.url), scratch, etag, checksum_of(str(scratch)))


def _files(folder: Path) -> list[str]:
    """Return the files below a folder as they follow it; what it does not open without, last."""
    names = [each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file()]
    return sorted(names, key=lambda name: (name in TOP, name))


def _put_folder(scratch: Path, to: Location, run: str, home: Location | None) -> None:
    names, whole = _files(scratch), checksum_of(str(scratch))
    tops = [name for name in names if name in TOP]
    if not tops:
        raise OutputError(
            "A folder must have an object without which it does not open",
            file=to,
            value=f"none of {', '.join(TOP)}",
            cure="Report it with the log: bkgflow has written no group of zarr",
        )
    old = set(Remote.of(to.url).below())
    if old.isdisjoint(TOP):  # nobody reads it yet: parts of a dead run, or nothing
        for name in old - set(names):
            Remote.of((to / name).url).remove()
        for name in names:
            _put_into(scratch / name, to / name, whole if name in TOP else "")
        return
    # In the run's own folder, where the next run clears up, if that lies in a store as well.
    beside = to.parent if home is None or home.is_local else home
    stage = beside / f"{PREFIX}{run or Owner.me()}-{uuid4().hex[:8]}" / to.name
    try:
        for name in names:
            _put_into(scratch / name, stage / name, whole if name in TOP else "")
        for name in sorted(old & set(TOP)):  # from here on the old one does not open
            Remote.of((to / name).url).remove()
        for name in names:
            if name in TOP:
                for gone in old - set(names):
                    Remote.of((to / gone).url).remove()
            objects.copy(Remote.of((stage / name).url), Remote.of((to / name).url))
    finally:
        for name in names:
            with suppress(Exception):  # the next run takes away what is left
                Remote.of((stage / name).url).remove()


def _put_into(file: Path, to: Location, checksum: str) -> None:
    objects.put_file(Remote.of(to.url), file, objects.ANY, checksum)


def check_puts(probe: Location) -> None:
    """Prove that an object can be put into a store, and taken away; `OutputError` if not."""
    write_text(probe, "")
    with writing_object(probe.url, StorageError):
        Remote.of(probe.url).remove()


def clear_staging(folder: Location, wanted: Callable[[str], bool]) -> int:
    """Take away staging places of a folder, by the marks in their names; return how many."""
    found = _hidden(folder)
    chosen = [name for name in found if wanted(name.removeprefix(PREFIX).rpartition("-")[0])]
    for path in (path for name in chosen for path in found[name]):
        Remote.of((folder / path).url).remove()
    return len(chosen)


def staged(folder: Location) -> dict[str, int]:
    """Return the names of a folder's staging places, and the bytes in each."""
    return {name: sum(sizes.values()) for name, sizes in _hidden(folder).items()}


def _hidden(folder: Location) -> dict[str, dict[str, int]]:
    """Return the objects of staging places, and of words that were left, with their sizes."""
    found: dict[str, dict[str, int]] = {}
    for path, size in Remote.of(folder.url).sizes_below().items():
        first, _, rest = path.partition("/")
        if first.startswith(PREFIX) and (rest or first.startswith(TOKEN)):
            found.setdefault(first, {})[path] = size
    return found


def clear_scratch() -> int:
    """Take away what dead processes of this machine have left among its temporary files."""
    return sum(_cleared(each) for each in _scratch_folders())


def _scratch_folders() -> Iterator[Path]:
    with suppress(OSError):
        yield from Path(tempfile.gettempdir()).glob(f"{PREFIX}*@*")


def _cleared(folder: Path) -> bool:
    owner = Owner.read(folder.name.removeprefix(PREFIX).rpartition("-")[0])
    if owner is None or not owner.dead:
        return False
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


@cache
def _clear_once() -> None:
    clear_scratch()
