"""Files that grow, and databases, of an output folder in an object store: kept on this machine.

An object cannot be appended to. What a run writes line by line grows in a folder of this user, and
is put into the store while the run goes on, and at its end.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

from bkgflow.errors import BkgflowError
from bkgflow.io.storage import objects
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.objects import digest_of
from bkgflow.io.storage.remote import Remote

__all__ = ["Mirror", "own_folder"]

EVERY = 30.0
"""Seconds after which what has grown is put into the store."""


def own_folder(output: Location) -> Location:
    """Return where a campaign keeps what must lie on a disk: its output folder, if that does.

    Of a URL it is a folder of this user, named by the URL: below ``$XDG_STATE_HOME/bkgflow``, or
    ``~/.local/state/bkgflow``.
    """
    if output.is_local:
        return output
    url = output.url.rstrip("/")
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    name = "".join(each if each.isalnum() or each in "-_" else "-" for each in url.split("/")[-1])
    return Location.of(state / "bkgflow" / f"{name[:40]}-{digest_of(url)}")


class Mirror:
    """A file beside the products that grows: itself on a disk, or the one an object is made of.

    Attributes
    ----------
    file : Location
        Where it is written.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self.file = own_folder(location.parent) / location.name
        self._put = -1
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def begin(cls, location: Location) -> Mirror:
        """Begin to write a file, after what is there already; its folder is made.

        Raises
        ------
        OSError
            If there is no such folder, and none can be made; or what the store says.
        """
        mirror = cls(location)
        mirror.file.parent.make_folder()
        if not location.is_local:
            mirror._fetch()
            mirror._thread = threading.Thread(target=mirror._go_on, daemon=True)
            mirror._thread.start()
        return mirror

    def _fetch(self) -> None:
        """Begin with what the store has, where another machine wrote it, or nobody any more."""
        remote = Remote.of(self._location.url)
        found = objects.head(remote)
        here = self.file.size()
        if found is None:
            with suppress(FileNotFoundError):
                self.file.path.unlink()
        elif here < found.size:
            self.file.path.write_bytes(remote.fetch())
        self._put = found.size if found else -1

    def _go_on(self) -> None:
        while not self._ended.wait(EVERY):
            self.put()

    def put(self) -> str:
        """Put what there is into the store; return why that could not be done."""
        if self._location.is_local:
            return ""
        try:
            data = self.file.path.read_bytes()
            if len(data) != self._put:
                objects.put(Remote.of(self._location.url), data)
                self._put = len(data)
        except FileNotFoundError:
            return ""
        except (OSError, BkgflowError) as problem:
            return str(getattr(problem, "strerror", None) or problem)
        return ""

    def end(self) -> str:
        """Put it there for the last time; return why that could not be done."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        return self.put()
