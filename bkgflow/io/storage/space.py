"""Room on a disk: how much is free, and some of it kept for what must be written at the end."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bkgflow.errors import OutputError
from bkgflow.io.storage.identity import Stamp
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.many_files import holds_products, is_product, stamp_of
from bkgflow.io.storage.publish import Draft, Publish, write_text
from bkgflow.io.storage.reached import ICECHUNK
from bkgflow.io.storage.refused import not_writable
from bkgflow.io.storage.remote import Remote

__all__ = [
    "Free",
    "Reserve",
    "free_space",
    "moved",
    "name_in",
    "sizes_in",
    "stamps_in",
    "stamps_of",
]


@dataclass(frozen=True, slots=True)
class Free:
    """What a disk can still take: bytes, and files; None where the file system does not say."""

    size: int | None
    files: int | None


def free_space(folder: Location) -> Free:
    """Ask what can be written to a folder, or to the one above it that is there.

    Quotas are known as far as the file system counts them as its own size. An object store does
    not say.
    """
    if not folder.is_local:
        return Free(None, None)
    wanted = folder.path
    try:
        there = next(each for each in (wanted, *wanted.parents) if each.exists())
        found = os.statvfs(there)
    except OSError:
        return Free(None, None)
    return Free(
        found.f_bavail * found.f_frsize if found.f_blocks else None,
        found.f_favail if found.f_files else None,
    )


def name_in(folder: Location, file: Location) -> str:
    """Return by what name a folder finds a file: the way down from there, or all of its own."""
    return file.url.removeprefix(f"{folder.url.rstrip('/')}/")


def moved(where: str, before: Location, now: Location) -> str:
    """Return where something is that lay in a folder which lies elsewhere now; else as it was."""
    head, folder, name = where.partition(f"{before.url.rstrip('/')}/")
    return f"{head}{(now / name).url}" if folder and head in {"", ICECHUNK} else where


def stamps_in(folder: Location) -> dict[str, Stamp]:
    """Return the stamp of every file of a folder, by its name; none where it is not there.

    One listing: on a network disk it also brings what other hosts have written. Products that are
    folders count as files, and so do those in a store, whose names begin with the store's.
    """
    found: dict[str, Stamp] = {}
    if not folder.is_local:
        try:
            return Remote.of(folder.url).stamps()
        except OSError:
            return {}
    try:
        with os.scandir(folder.path) as entries:
            for entry in entries:
                try:
                    if entry.is_file():
                        stat = entry.stat()
                        found[entry.name] = Stamp(stat.st_size, stat.st_mtime_ns)
                    elif not entry.name.startswith(".") and entry.is_dir():
                        found |= _stamps_below(Path(entry.path))
                except OSError:
                    continue  # it went away meanwhile
    except OSError:
        return {}
    return found


def _stamps_below(folder: Path) -> dict[str, Stamp]:
    """Return the stamp of a product, or of those in a store; nothing of any other folder."""
    if is_product(folder):
        return {folder.name: stamp_of(folder)}
    if not holds_products(folder):
        return {}
    return {
        f"{folder.name}/{each.name}": stamp_of(each)
        for each in folder.iterdir()
        if is_product(each)
    }


def stamps_of(folder: Location, names: Iterable[str]) -> dict[str, Stamp]:
    """Do `stamps_in`, with files that lie elsewhere and are known by their whole paths."""
    found, stores = stamps_in(folder), dict[Location, dict[str, Stamp]]()
    for name in names:
        there, stamp = Location(name), None
        if not there.is_local:  # one listing of a store, not one of each of its products
            if there.parent not in stores:
                stores[there.parent] = stamps_in(there.parent)
            stamp = stores[there.parent].get(there.name)
        elif name.startswith("/") or (name.count("/") > 1 and name not in found):
            stamp = (folder / name).stamp()  # in a store that lies elsewhere, or deeper
        if stamp is not None:
            found[name] = stamp
    return found


def sizes_in(folder: Location) -> dict[str, int]:
    """Return the size in bytes of every file of a folder, by its name."""
    return {name: stamp.size for name, stamp in stamps_in(folder).items()}


@dataclass(frozen=True, slots=True)
class Reserve:
    """A small file whose room on the disk is taken before there is anything to write.

    File systems that never write in place (btrfs, zfs) may still have none when it is full.
    """

    draft: Draft

    @classmethod
    def of(cls, to: Location, size: int, by: Publish) -> Reserve:
        """Take room for a file; `OutputError` if there is none."""
        draft = by.prepare(to)
        try:
            _allocate(draft.path, size)
        except OSError as problem:
            draft.discard()
            raise not_writable(to, problem) from problem
        except BaseException:
            draft.discard()
            raise
        return cls(draft)

    def publish(self, text: str) -> Location:
        """Make the file appear with this text, as UTF-8, in the room that was taken.

        Where that is gone with its folder, the file is written anew, and its folder made.

        Raises
        ------
        OutputError
            If it cannot be written; then an older file stays, and a shorter text may still fit.
        """
        data = text.encode()
        try:
            with self.draft.path.open("r+b") as stream:  # not "wb": that would give the room back
                stream.write(data)
                stream.truncate()
        except FileNotFoundError:
            write_text(self.draft.location, text)
            return self.draft.location
        except OSError as problem:
            raise not_writable(self.draft.location, problem) from problem
        try:
            return self.draft.publish()
        except OutputError:
            if self.draft.location.parent.exists():
                raise
        write_text(self.draft.location, text)
        return self.draft.location

    def discard(self) -> None:
        """Give the room back."""
        self.draft.discard()


def _allocate(path: Path, size: int) -> None:
    with path.open("wb") as stream:
        try:
            os.posix_fallocate(stream.fileno(), 0, size)
        except (AttributeError, OSError):  # some systems and file systems cannot, or it is full
            stream.write(bytes(size))
            stream.flush()
        os.fsync(stream.fileno())
