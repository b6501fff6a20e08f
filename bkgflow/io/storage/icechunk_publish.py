"""Publishing into a repository of icechunk: a scratch folder on this machine, then one commit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bkgflow.errors import OutputError, StorageError
from bkgflow.io.storage.checksum import checksum_of
from bkgflow.io.storage.icechunk_files import CREATED
from bkgflow.io.storage.icechunks import check_installed, commit_group, place_of
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.lock import check_held
from bkgflow.io.storage.many_files import METADATA
from bkgflow.io.storage.objects import writing_object
from bkgflow.io.storage.owner import Owner
from bkgflow.io.storage.publish import Draft, scratch_path

__all__ = ["IcechunkPublish"]


@dataclass(frozen=True, slots=True)
class IcechunkPublish:
    """Groups of a repository.

    Attributes
    ----------
    run : str
        The short id of the run whose products these are; empty for this process's own.
    home : Location or None
        The run's folder, where its lock is.
    """

    run: str = ""
    home: Location | None = None

    def prepare(self, to: Location) -> Draft:
        """Begin a group in a scratch folder; without the run's lock nothing is begun."""
        check_installed(to.url)
        _, group = place_of(to.url)
        if not group or "/" in group:
            raise OutputError(
                "A repository of icechunk must hold its products side by side",
                file=to,
                value=group or "the repository itself",
                cure="Give a name right behind that of the repository",
            )
        self._check()
        return Draft(to, scratch_path(to, None, str(Owner.me())), self._appear)

    def _check(self) -> None:
        if self.run and self.home is not None:
            with writing_object(self.home.url, StorageError):
                check_held(self.home, self.run)

    def _appear(self, scratch: Path, to: Location) -> None:
        if not scratch.is_dir():
            raise OutputError(
                "A repository of icechunk must hold groups of zarr",
                file=to,
                value="a single file",
                cure="Give products in zarr (--format zarr), and another output folder",
            )
        _say_when(scratch / METADATA)
        self._check()  # the run may have ended while this was written
        with writing_object(to.url):
            commit_group(to.url, scratch, checksum_of(str(scratch)))


def _say_when(metadata: Path) -> None:
    """Have a group say when it was committed; it needs no list of its own in a repository."""
    said = json.loads(metadata.read_bytes())
    said.pop("consolidated_metadata", None)
    said["attributes"][CREATED] = datetime.now(UTC).isoformat()
    metadata.write_text(json.dumps(said), encoding="utf-8")
