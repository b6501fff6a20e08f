"""The lock of an output folder in an object store: an object that names who holds it.

It is made under the condition that there is none, and renewed and taken over under the condition
that it is still the one that was seen. Who does not renew it for a while counts as dead, by the
store's own clock; a process of this machine is looked at itself.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from bkgflow.errors import BkgflowError, StorageError
from bkgflow.io.storage import objects
from bkgflow.io.storage.holder import BEAT, LOCK, SILENT, Holder, held_by, not_held
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.mirror import own_folder
from bkgflow.io.storage.objects import writing_object
from bkgflow.io.storage.owner import Owner, user_name
from bkgflow.io.storage.refused import asking_about
from bkgflow.io.storage.remote import Remote
from bkgflow.io.storage.unwell import ChangedError

__all__ = ["check_held_remote", "hold_remote", "holder_of_remote"]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A lock as it was found: who holds it, which version of it that is, and how old."""

    holder: Holder | None
    etag: str
    age: float

    @property
    def living(self) -> bool:
        """Whether its run may live, for all that can be told from here."""
        if self.holder is None:
            return self.age < SILENT
        if self.holder.owner.here:
            return not self.holder.owner.dead
        return self.age < SILENT


def _lock_of(folder: Location) -> Remote:
    return Remote.of((folder / LOCK).url)


def _seen(lock: Remote) -> _Seen | None:
    """Look at a lock; None where there is none."""
    found = objects.fetch(lock)
    if found is None:
        return None
    data, said = found
    return _Seen(Holder.read(data), said.etag, said.age)


def _data(holder: Holder, beat: int) -> bytes:
    """Return what the object holds; it is another at each beat."""
    return json.dumps({**json.loads(holder.to_json()), "beat": beat}).encode()


@contextmanager
def hold_remote(folder: Location, run: str) -> Iterator[Holder | None]:
    """Hold an output folder, see `bkgflow.io.storage.lock.hold`."""
    lock = _lock_of(folder)
    holder = Holder(run, Owner.me(), user_name(), time.strftime("%Y-%m-%d %H:%M:%S %z"))
    with writing_object(folder.url, StorageError):
        own_folder(folder).make_folder()  # for the ledger
        etag, before = _acquired(lock, folder, holder)
    ended = threading.Event()
    beats = threading.Thread(target=_beat, args=(lock, holder, etag, ended), daemon=True)
    beats.start()
    try:
        yield before
    finally:
        ended.set()
        beats.join()
        with suppress(OSError, BkgflowError):
            found = _seen(lock)
            if found is not None and found.holder == holder:
                lock.remove()


def _acquired(lock: Remote, folder: Location, holder: Holder) -> tuple[str, Holder | None]:
    """Return the version of a lock that is ours, and the dead one that had it."""
    seen = None
    for _ in range(5):
        try:
            if (seen := _seen(lock)) is None:
                return objects.put(lock, _data(holder, 0), None), None
            if seen.living:
                break
            return objects.put(lock, _data(holder, 0), seen.etag), seen.holder
        except ChangedError:  # somebody else was first
            continue
    raise held_by(seen.holder if seen else None, folder)


def _beat(lock: Remote, holder: Holder, etag: str, ended: threading.Event) -> None:
    beat = 0
    while not ended.wait(BEAT):
        beat += 1
        try:
            etag = objects.put(lock, _data(holder, beat), etag)
        except ChangedError:  # it was taken over, or taken away: the workers notice it
            return
        except (OSError, BkgflowError):
            continue  # the store may answer next time


def check_held_remote(folder: Location, run: str) -> None:
    """See that a folder is held by a run, see `bkgflow.io.storage.lock.check_held`."""
    lock = _lock_of(folder)
    found = _seen(lock)
    if found is None or found.holder is None or found.holder.run != run:
        raise not_held(lock.url, found.holder if found else None)


def holder_of_remote(folder: Location) -> Holder | None:
    """Return who holds a folder and lives, see `bkgflow.io.storage.lock.holder_of`."""
    with asking_about(folder.url):
        found = _seen(_lock_of(folder))
    return found.holder if found is not None and found.living else None
