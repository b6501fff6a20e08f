"""Files that appear at their locations whole or not at all.

What is to appear is first prepared: a `Draft` is a scratch file to write to. Publishing it is a
step of its own, because it waits for a disk: a worker first ends its task, then publishes.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from bkgflow.errors import StorageError
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.lock import check_held
from bkgflow.io.storage.many_files import METADATA, below, put_in_place, sync_below
from bkgflow.io.storage.owner import Owner
from bkgflow.io.storage.reached import ICECHUNK
from bkgflow.io.storage.refused import not_writable
from bkgflow.io.storage.remote import Remote

__all__ = [
    "PREFIX",
    "Draft",
    "LocalPublish",
    "MemoryPublish",
    "Publish",
    "PublishAnywhere",
    "check_writable",
    "copy_file",
    "elsewhere",
    "published",
    "publisher_of",
    "scratch_path",
    "unbuffered",
    "whole",
    "write_text",
    "writing",
]

CANNOT = {errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES}
"""What some network file systems answer when they are asked to sync a folder."""

PREFIX = ".bkgflow-"
"""How the names of hidden folders begin; then comes whose they are, and what tells them apart."""


def _sync(path: Path) -> None:
    """Have the file system keep what was written."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Draft:
    """A file that is written, and does not appear yet.

    Attributes
    ----------
    location : Location
        Where it is to appear.
    path : Path
        A scratch file on a disk of this machine, to write to; or a folder, for a product of many
        files, which the writer makes. Its name is the one wanted as far as printable ASCII goes:
        FITS headers, which repeat it, hold nothing else.
    appear : callable
        Makes the scratch file or folder appear at the location, or raises what the system does.
    """

    location: Location
    path: Path
    appear: Callable[[Path, Location], object]

    def publish(self) -> Location:
        """Make it appear, over an older file; return where.

        Raises
        ------
        OutputError
            If it cannot; then nothing appears, and nothing stays behind.
        """
        try:
            self.appear(self.path, self.location)
        except OSError as problem:
            raise not_writable(self.location, problem) from problem
        finally:
            self.discard()
        return self.location

    def discard(self) -> None:
        """Leave nothing behind. What was published stays."""
        shutil.rmtree(self.path.parent, ignore_errors=True)


class Publish(Protocol):
    """A way to make files appear."""

    def prepare(self, to: Location) -> Draft:
        """Begin a file; `OutputError` where nothing can be written."""


@dataclass(frozen=True, slots=True)
class LocalPublish:
    """Files on a disk of this machine, or on one that it shares.

    Attributes
    ----------
    sync : callable
        Has the file system keep a file, or the names in a folder, and waits until it does.
    run : str
        The short id of the run whose files these are; empty for this process's own. Hidden
        folders have it in their names, so that what a dead one left is known by it.
    home : Location or None
        The run's folder, where hidden folders are made and its lock is; without one, that of
        each file. A store that lies elsewhere must be on the same file system.
    """

    sync: Callable[[Path], object] = _sync
    run: str = ""
    home: Location | None = None

    def prepare(self, to: Location) -> Draft:
        """Begin a file in a hidden folder beside its location.

        The folders above are made, but not for a run: its driver has made its folder, and if
        that is gone, one that is made anew would hide it. Without the run's lock nothing is begun.
        """
        home = self.home or to.parent
        try:
            if self.run:
                check_held(home, self.run)
            else:
                to.parent.make_folder()
            return Draft(to, scratch_path(to, home.path, self.run), self._appear)
        except PermissionError as problem:  # of the folder: it takes nothing
            raise not_writable(to, problem, StorageError) from problem
        except OSError as problem:
            raise not_writable(to, problem) from problem

    def _appear(self, scratch: Path, to: Location) -> None:
        # A rename may reach the disk before the bytes do. Without the first sync a power
        # cut would leave a file of the right name and length that is full of zeros; without
        # the second one the ledger could know of a product whose name is lost.
        sync_below(scratch, self.sync)
        self.sync(scratch)
        if self.run:
            check_held(self.home or to.parent, self.run)  # it may have ended while this was written
        put_in_place(scratch, to.path)
        try:
            self.sync(to.parent.path)
        except OSError as problem:
            if problem.errno not in CANNOT:
                raise


@dataclass(frozen=True, slots=True, eq=False)
class MemoryPublish:
    """Files that appear in a dictionary: for tests, and for faults that disks seldom show.

    Attributes
    ----------
    files : dict of Location to bytes
        What appeared.
    fault : callable or None
        Called with the location before anything is published; raises what the system would.
    """

    files: dict[Location, bytes] = field(default_factory=dict)
    fault: Callable[[Location], object] | None = None

    def prepare(self, to: Location) -> Draft:
        """Begin a file among the machine's temporary ones."""
        return Draft(to, scratch_path(to, None), self._appear)

    def _appear(self, scratch: Path, to: Location) -> None:
        if self.fault is not None:
            self.fault(to)
        if not scratch.is_dir():
            self.files[to] = scratch.read_bytes()
            return
        for each in below(scratch):
            if each.is_file():
                self.files[to / each.relative_to(scratch).as_posix()] = each.read_bytes()


def publisher_of(to: Location, run: str = "", home: Location | None = None) -> Publish:
    """Return who makes files appear at a location, or in a folder: on a disk, or in a store.

    A run's folder, ``home``, is told where it is another than theirs.
    """
    if to.is_local:
        return LocalPublish(run=run, home=home)
    if to.url.startswith(ICECHUNK):
        from bkgflow.io.storage.icechunk_publish import IcechunkPublish

        return IcechunkPublish(run, home)
    from bkgflow.io.storage.remote_publish import RemotePublish

    return RemotePublish(run, home=home)


@dataclass(frozen=True, slots=True)
class PublishAnywhere:
    """Files of a disk and objects of stores, each by who makes such appear."""

    run: str = ""
    home: Location | None = None

    def prepare(self, to: Location) -> Draft:
        """See `Publish.prepare`."""
        return publisher_of(to, self.run, self.home).prepare(to)


@contextmanager
def writing(draft: Draft) -> Iterator[Path]:
    """Give a draft's path to write to. After an error nothing stays behind.

    Of what the system says an `OutputError` is made.
    """
    try:
        yield draft.path
    except OSError as problem:
        draft.discard()
        raise not_writable(draft.location, problem) from problem
    except BaseException:
        draft.discard()
        raise


@contextmanager
def whole(to: PathLike, by: Publish | None = None) -> Iterator[Path]:
    """Give a path to write to; what was written there then appears at its location.

    For small files: the caller waits until the disk has them. `OutputError` if it cannot.
    """
    where = Location.of(to)
    draft = (by or publisher_of(where)).prepare(where)
    with writing(draft) as path:
        yield path
    draft.publish()


def write_text(to: PathLike, text: str, by: Publish | None = None) -> None:
    """Write a text file as UTF-8, as `whole` does; its folder is made if it is not there."""
    with whole(to, by) as path:
        path.write_text(text, encoding="utf-8")


def copy_file(file: PathLike, to: PathLike) -> None:
    """Copy a small file, whole or not at all; the folder is made if it is not there."""
    with whole(to) as path:
        path.write_bytes(Location.of(file).read_bytes())


def check_writable(folder: PathLike) -> None:
    """Prove that files can be written into an output folder, or that it can be made.

    Nothing is left behind: a folder that is not there is not made yet. `OutputError` if not.
    """
    location = Location.of(folder)
    if not location.is_local:
        from bkgflow.io.storage.remote_publish import check_puts

        return check_puts(location / f"{PREFIX}token-{uuid4().hex[:8]}")
    wanted = location.path
    try:
        there = next(each for each in (wanted, *wanted.parents) if each.exists())
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as problem:
        raise not_writable(wanted, problem) from None


def published(location: Location) -> tuple[int, str]:
    """Return the bytes of what was published, and their checksum; (-1, "") where none is there.

    Of an object they are what was counted before it was put: it need not be read for that.
    """
    if location.is_local:
        return location.size(), location.checksum()
    if location.url.startswith(ICECHUNK):
        from bkgflow.io.storage.icechunks import checksum_in_commit

        with suppress(OSError):
            return location.size(), checksum_in_commit(location.url)
        return -1, ""
    from bkgflow.io.storage.objects import CHECKSUM, head

    with suppress(OSError):
        if (found := head(Remote.of(location.url))) is not None:
            return found.size, found.words.get(CHECKSUM, "")
        # A product of many objects: the one without which it does not open says it of all.
        if (found := head(Remote.of((location / METADATA).url))) is not None:
            return location.size(), found.words.get(CHECKSUM, "")
    return -1, ""


def elsewhere(name: str) -> Location:
    """Return a location for what its own folder does not take: among the temporary files."""
    return Location.of(tempfile.gettempdir()) / name


def scratch_path(to: Location, folder: Path | None, run: str = "") -> Path:
    """Return a path in a new hidden folder, whose name says whose it is.

    Without a folder it is among the temporary files of this machine.
    """
    made = tempfile.mkdtemp(prefix=f"{PREFIX}{run or Owner.me()}-", dir=folder)
    return Path(made) / re.sub(r"[^!->@-~ ]", "_", to.name)


def unbuffered(path: Path, *, again: bool = False) -> FileIO:
    """Open a draft's file to be written anywhere in it, by its descriptor.

    ``again`` says that it is there already, and that what it holds stays.
    """
    return path.open("r+b" if again else "wb", buffering=0)
