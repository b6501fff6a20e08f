"""Who holds an output folder, and what is said where that is not who should."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from bkgflow.errors import OutputError, StorageError
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.owner import Owner

__all__ = ["BEAT", "LOCK", "SILENT", "Holder", "held_by", "not_held"]

LOCK = ".bkgflow-lock"
"""Name of the file, in the folder that it is for."""

BEAT = 15.0
"""Seconds after which a run renews the time of its lock."""

SILENT = 60.0
"""Seconds without that, after which a run on another host counts as dead."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a folder: a run, by its short id; its process and user; since when."""

    run: str
    owner: Owner
    user: str
    since: str

    @property
    def words(self) -> str:
        """Return it as a user should read it."""
        who = f"{self.owner.words}, user {self.user}"
        return f"run {self.run}, {who}, since {self.since}"

    def to_json(self) -> bytes:
        """Return what the lock's file holds."""
        known = {"run": self.run, "process": str(self.owner), "user": self.user}
        return json.dumps({**known, "since": self.since}).encode()

    @classmethod
    def read(cls, data: bytes) -> Holder | None:
        """Return who a lock's file names; None where it names nobody, or is half written."""
        try:
            parts = json.loads(data)
            owner = Owner.read(parts["process"])
            if owner is None:
                return None
            return cls(parts["run"], owner, parts["user"], parts["since"])
        except (ValueError, KeyError, TypeError):
            return None


def held_by(holder: Holder | None, folder: Location) -> OutputError:
    """Return the error of a folder that another run has."""
    who = holder.words if holder else "a run that has just begun"
    cure = "Wait until it has ended, stop it, or give another folder"
    if holder and not holder.owner.here:
        cure += f"; if its process was killed, try again in {SILENT:.0f} s"
    return OutputError(
        "An output folder must belong to one run at a time", file=folder, value=who, cure=cure
    )


def not_held(lock: str | os.PathLike[str], holder: Holder | None) -> StorageError:
    """Return the error of a worker that does not find the lock of its run."""
    return StorageError(
        "A worker must find the lock of its run in the output folder",
        file=lock,
        value=f"that of {holder.words}" if holder else f"none, seen by {Owner.me().words}",
        cure="Give an output folder that all workers and the driver share; "
        "a run that has ended takes no more products",
    )
